"""Arguments that cannot be used are told before anything runs."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from node.cli.main import app
from node.cli.options import assignment
from node.cli.simulation import SimulationOptions, run_simulation
from node.cli.submission import Question, run_submission
from node.domain.errors import InvalidInput


@pytest.mark.parametrize("summary", [".", "missing/summary.json"])
def test_a_summary_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, summary: str) -> None:
    monkeypatch.chdir(tmp_path)
    options = SimulationOptions({}, None, None, 0.1, 1, Path(summary), dashboard=False)
    with pytest.raises(InvalidInput, match="--summary"):
        run_simulation(options)


@pytest.mark.parametrize(
    ("prompt", "model", "place"), [("hello", "", "--model"), ("\udcff", "m", "PROMPT"), ("-", "m", "PROMPT")]
)
def test_a_question_that_the_wire_cannot_carry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompt: str, model: str, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff"), encoding="utf-8"))
    question = Question(prompt, model, 0, None, 1.0, "key")
    with pytest.raises(InvalidInput, match=place):
        run_submission(question, {"gateway.url": "http://127.0.0.1:9"}, None, None, as_json=False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("openai.api_key:sk-hush", "openai.api_key… is"),
        ("sk-hush", "is"),
        ("=x", "is"),
        ("openai.api_key", "openai.api_key… is"),
    ],
)
def test_an_assignment_that_is_none_is_told_without_its_value(text: str, told: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        assignment(text)
    assert caught.value.message == f"{told} not of the form section.key=value"
    assert assignment("openai.api_key=sk") == "openai.api_key=sk"


@pytest.mark.parametrize(("command", "meant"), [("runn", "run"), ("capactiy", "capacity"), ("merg", "merge")])
def test_a_misspelt_command_of_load_tests_is_not_taken_for_a_plan(command: str, meant: str) -> None:
    told = CliRunner().invoke(app, ["loadtest", command, "plan.toml"], env={"NO_COLOR": "1", "COLUMNS": "80"})
    assert told.exit_code == 2
    assert f"No such command or plan: {command}. Did you mean {meant}?" in told.output


def test_a_plan_may_have_nearly_the_name_of_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").write_text("name = 1")
    for plan in ("runs", "run.toml"):
        told = CliRunner().invoke(app, ["loadtest", plan])
        assert (told.exit_code, "No such command" in told.output) == (3, False)
