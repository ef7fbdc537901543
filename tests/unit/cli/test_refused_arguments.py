"""Arguments that cannot be used are told before anything runs."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

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
