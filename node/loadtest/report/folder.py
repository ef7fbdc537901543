"""The folder that a report is written to: looked at before the run, and written whole or not at all, file by file."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.domain.errors import InputFault, InvalidInput, StorageError
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.report import exposition, junit, page
from node.loadtest.report.csv_tables import JOB_COLUMNS, SERIES_COLUMNS, jobs_csv, series_csv
from node.loadtest.report.exposition import exposed, final_families
from node.loadtest.report.junit import junit_xml

SIGNATURES: Final[Mapping[str, str]] = {
    "report.html": page.SIGNATURE,
    "report.json": '{\n "schema": ',
    "series.csv": ",".join(SERIES_COLUMNS),
    "jobs.csv": ",".join(JOB_COLUMNS),
    "junit.xml": junit.SIGNATURE,
    "metrics.prom": exposition.SIGNATURE,
}
"""The files of a report, and what each of them begins with: a file that does not is somebody else's."""


def report_files(outcome: LoadOutcome) -> Iterator[tuple[str, str]]:
    """Names and contents, in the order of `SIGNATURES`."""
    yield "report.html", page.page(outcome)
    yield "report.json", json.dumps(outcome.to_document(), indent=1) + "\n"
    yield "series.csv", series_csv(outcome)
    yield "jobs.csv", jobs_csv(outcome)
    yield "junit.xml", junit_xml(outcome)
    yield "metrics.prom", exposed(final_families(outcome)).decode("utf-8")


@dataclass(frozen=True, slots=True)
class ReportFolder:
    """A folder that can be written to. `prepared` makes it."""

    path: Path

    @classmethod
    def prepared(cls, path: Path, place: str) -> ReportFolder:
        """Make the folder where it is missing, and see that a report can be written; ``place`` is the option's name.

        Raises:
            InvalidInput: it cannot be made or written to, or has a file of a report's name that is none.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            _try_out(path)
        except FileExistsError:
            raise InvalidInput([InputFault(place, f"{str(path)!r} is no folder", "name a folder")]) from None
        except OSError as error:
            problem = f"{str(path)!r} cannot be written to ({error.strerror or type(error).__name__})"
            raise InvalidInput(
                [InputFault(place, problem, "name another folder, or change its permissions")]
            ) from error
        foreign = [name for name, signature in SIGNATURES.items() if not _is_ours(path / name, signature)]
        if foreign:
            remedy = "name another folder, or move them away"
            raise InvalidInput(
                [
                    InputFault(place, f"{str(path / name)!r} is there, and no load test wrote it", remedy)
                    for name in foreign
                ]
            )
        return cls(path)

    def write(self, outcome: LoadOutcome, redact: Callable[[str], str]) -> None:
        """Replace the files of an earlier report; all others stay as they are.

        Raises:
            StorageError: a file could not be written; those before it are.
        """
        for name, text in report_files(outcome):
            try:
                replace_file(self.path / name, redact(text).encode("utf-8", "replace"))
            except OSError as error:
                why = error.strerror or type(error).__name__
                raise StorageError(f"the report's {str(self.path / name)!r} could not be written: {why}") from error


def _is_ours(path: Path, signature: str) -> bool:
    """Whether there is nothing, or something that `report_files` wrote."""
    if not path.exists() and not path.is_symlink():
        return True
    expected = signature.encode("utf-8")
    try:
        if not path.is_file() or path.is_symlink():
            return False
        with path.open("rb") as file:
            return file.read(len(expected)) == expected
    except OSError:
        return False


def _try_out(folder: Path) -> None:
    trial = folder / f".report-{secrets.token_hex(6)}.tmp"
    os.close(os.open(trial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    trial.unlink()


def replace_file(path: Path, content: bytes) -> None:
    """Write beside the file and then in its place, so that nobody ever reads half of one."""
    new = path.with_name(f".{path.name}-{secrets.token_hex(6)}.tmp")
    try:
        with new.open("xb") as file:
            file.write(content)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
