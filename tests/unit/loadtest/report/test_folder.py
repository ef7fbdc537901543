"""The report's folder: what is ours is replaced, what is not is left alone, and nothing fails at the end that can fail before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from node.domain.errors import InvalidInput, StorageError
from node.loadtest.report.environment import environment
from node.loadtest.report.folder import SIGNATURES, ReportFolder, report_files
from node.loadtest.report.schema import report_schema
from node.observability.redaction import Redactor
from tests.unit.loadtest.report.outcomes import (
    broken,
    every,
    hostile,
    passed,
    void,
)

DOCS = Path(__file__).parents[4] / "docs"
SCHEMA = DOCS / "loadtest-report.schema.json"


def test_all_files_are_written_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "a/b"
    ReportFolder.prepared(folder, "--report").write(broken(), str)
    assert {path.name for path in folder.iterdir()} == set(SIGNATURES)
    assert json.loads((folder / "report.json").read_text())["verdict"] == "broken"


def test_an_earlier_report_is_replaced_and_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for outcome in (hostile(), broken(), passed()):
        ReportFolder.prepared(tmp_path, "--report").write(outcome, str)
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "passed"
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == len(SIGNATURES) + 1


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_file_that_no_load_test_wrote_is_refused_before_the_run(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(InvalidInput, match="no load test wrote it") as caught:
        ReportFolder.prepared(tmp_path, "--report")
    assert "--report" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_links_and_folders_are_nobodys_report(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text(SIGNATURES["junit.xml"])
    folder = tmp_path / "folder"
    (folder / "report.json").mkdir(parents=True)
    (folder / "junit.xml").symlink_to(target)
    (folder / "jobs.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InvalidInput) as caught:
        ReportFolder.prepared(folder, "--report")
    assert len(caught.value.faults) == 3


def test_a_file_in_place_of_the_folder_is_told_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="is no folder"):
        ReportFolder.prepared(tmp_path / "file", "--report")
    with pytest.raises(InvalidInput, match="cannot be written to"):
        ReportFolder.prepared(tmp_path / "file/below", "--report")


def test_what_fails_while_it_is_written_leaves_no_scraps(tmp_path: Path) -> None:
    folder = ReportFolder.prepared(tmp_path, "--report")
    (tmp_path / "series.csv").mkdir()
    with pytest.raises(StorageError, match=r"series\.csv"):
        folder.write(passed(), str)
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "report.json", "series.csv"}


def test_secrets_are_masked_in_every_file(tmp_path: Path) -> None:
    folder = ReportFolder.prepared(tmp_path, "--report")
    folder.write(broken(), lambda text: text.replace("gateway.test", "***"))
    for name in SIGNATURES:
        assert "gateway.test" not in (tmp_path / name).read_text()


def test_nothing_is_taken_for_a_secret_that_is_none() -> None:
    assert all(Redactor().redact(text) == text for _, text in report_files(replace(void(), environment=environment())))


@every
def test_every_document_is_of_the_schema(make: object) -> None:
    assert callable(make)
    files = dict(report_files(make()))
    assert list(files) == list(SIGNATURES)
    assert all(files[name].startswith(signature) for name, signature in SIGNATURES.items())
    jsonschema.Draft202012Validator(report_schema()).validate(json.loads(files["report.json"]))


def test_the_schema_in_the_docs_is_this_one() -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())
    written = json.dumps(report_schema(), indent=2) + "\n"
    assert SCHEMA.read_text() == written, "write `report_schema()` to docs/loadtest-report.schema.json anew"


def test_the_page_on_reports_has_every_file() -> None:
    told = (DOCS / "load-testing-reports.md").read_text()
    assert all(f"| `{name}` |" in told for name in SIGNATURES)
    assert SCHEMA.name in told


def test_a_document_of_another_kind_is_not_of_the_schema() -> None:
    document = dict(json.loads(dict(report_files(passed()))["report.json"]))
    for key, value in (("verdict", "fine"), ("schema", 2), ("audit", None), ("begun_at", "today")):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(report_schema()).validate({**document, key: value})
