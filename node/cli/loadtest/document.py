"""The file of ``--json``: everything measured. Looked at before the run, and written so that no other file is lost by it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.cli.written_file import check_writable
from node.domain.errors import InputFault, InvalidInput, StorageError
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.report.folder import SIGNATURES, replace_file

_SIGNATURE: Final = SIGNATURES["report.json"].encode("ascii")
_OPTION: Final = "--json"


@dataclass(frozen=True, slots=True)
class DocumentFile:
    """A file that can be written to. `prepared` makes it."""

    path: Path

    @classmethod
    def prepared(cls, path: Path) -> DocumentFile:
        """See that it can be written: it is not there, is empty, or is an earlier run's document; or it is no plain file.

        Raises:
            InvalidInput: it cannot be, or it is somebody else's: a plan, say.
        """
        check_writable(path, _OPTION)
        if path.exists() and not path.is_file():
            return cls(path)
        try:
            if not path.exists():
                # Permissions alone do not tell: a file system may be read-only, or take no new files.
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
                path.unlink()
                return cls(path)
            with path.open("rb") as file:
                begins_with = file.read(len(_SIGNATURE))
        except OSError as error:
            problem = f"{str(path)!r} cannot be written ({_why(error)})"
            raise InvalidInput(
                [InputFault(_OPTION, problem, "name another file, or change its permissions")]
            ) from error
        if begins_with not in (b"", _SIGNATURE):
            problem = f"{str(path)!r} is there, and no load test wrote it"
            raise InvalidInput([InputFault(_OPTION, problem, "name another file, or move it away")])
        return cls(path)

    def write(self, outcome: LoadOutcome, redact: Callable[[str], str]) -> None:
        """Write it, in place of what is there only when all of it is written; ``redact`` masks secrets.

        Raises:
            StorageError: it could not be written.
        """
        content = redact(json.dumps(outcome.to_document(), indent=1) + "\n").encode("utf-8", "replace")
        try:
            if self.path.exists() and not (self.path.is_file() and os.access(self.path.parent, os.W_OK)):
                self.path.write_bytes(content)
            else:
                replace_file(self.path.resolve(), content)
        except OSError as error:
            raise StorageError(f"{str(self.path)!r} could not be written: {_why(error)}") from error


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__
