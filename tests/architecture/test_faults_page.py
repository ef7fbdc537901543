"""docs/faults.md is complete and true."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.cli import exit_codes
from node.cli.exit_codes import ExitCode
from node.domain.verdict import Ruling
from node.protocol.routes import Step
from node.protocol.verdict import judge

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/faults.md").read_text()

STEPS = {
    "secret": Step.CHECK_SECRET,
    "identity": Step.CHECK_IDENTITY,
    "register": Step.REGISTER,
    "models": Step.UPDATE_MODELS,
    "poll": Step.POLL,
    "result": Step.UPDATE_RESULT,
    "points": Step.POINTS,
}

HTML = b"<html>Bad gateway</html>"
REFUSAL = b'{"detail": "no"}'
ANSWERS: dict[str, tuple[int, bytes] | None] = {
    "200 with HTML": (200, HTML),
    "200 with truncated JSON": (200, b'{"access_tok'),
    "204": (204, b""),
    "200 with null": (200, b"null"),
    "302": (302, HTML),
    **{str(status): (status, REFUSAL) for status in (400, 401, 403, 404, 409, 422, 429, 500)},
    "503 with HTML": (503, HTML),
    "nothing (hangs)": None,
    "half a body, then closes": None,
    "a reset": None,
}

WORDS = {
    Ruling.OK: "ok",
    Ruling.NO_JOB: "no job",
    Ruling.ALREADY: "already there",
    Ruling.RETRY: "retry",
    Ruling.SESSION_LOST: "session lost",
    Ruling.IDENTITY_REFUSED: "identity refused",
    Ruling.DEAD_LETTER: "dead letter",
    Ruling.REFUSED: "refused",
    Ruling.FAULT: "fault",
}

REQUIRED = (
    """
job: `temperature` null|job: no messages|job: empty content|job: `max_output` 0, negative or missing|job: unknown fields
job: 5 MB prompt|token expired while busy|auth service down at the start|auth service down later|proxy dead|proxy slow
proxy with a wrong password|proxy that shows the direct address|Ollama absent|Ollama: model missing|Ollama: stream cut
Ctrl+C once|Ctrl+C twice|nodes.csv with BOM|nodes.csv with blank lines|nodes.csv with duplicate ids
nodes.csv with bad numbers|nodes.csv with missing columns
""".strip()
    .replace("\n", "|")
    .split("|")
)


def rows(head: str) -> Iterator[list[str]]:
    """The cells of the table whose head begins so, without the head."""
    lines = iter(PAGE.splitlines())
    for line in lines:
        if line.startswith(f"| {head} |"):
            break
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def word(step: Step, answer: tuple[int, bytes] | None) -> str:
    if answer is None:
        return WORDS[Ruling.RETRY]
    status, body = answer
    ruling = judge(step, status, {}, body).verdict.ruling
    if ruling is Ruling.RENEW:
        return f"renew, then {WORDS[judge(step, status, {}, body, renewed=True).verdict.ruling]}"
    return WORDS[ruling]


def test_every_answer_at_every_step_is_on_the_page_and_true() -> None:
    told = {row[0]: row[1:] for row in rows("the gateway answers")}
    assert told == {
        name: [*(word(step, answer) for step in STEPS.values()), "left"] for name, answer in ANSWERS.items()
    }


def test_every_word_is_explained() -> None:
    words = {part for row in rows("the gateway answers") for cell in row[1:] for part in cell.split(", then ")}
    explained = {part.strip() for row in rows("word") for part in row[0].split(",")} | {"renew"}
    assert words <= explained


@pytest.mark.parametrize("fault", REQUIRED)
def test_a_fault_that_must_be_met_is_on_the_page(fault: str) -> None:
    found = [row for row in rows("fault") if row[0] == fault]
    assert len(found) == 1
    assert all(found[0])


@pytest.mark.parametrize("reference", sorted(set(re.findall(r"`(tests/[\w/.]+::\w+)`", PAGE))))
def test_the_tests_that_are_named_exist(reference: str) -> None:
    path, _, name = reference.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    names = {part.name for part in ast.walk(tree) if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in names


def test_every_fault_names_its_test_and_a_real_exit_code() -> None:
    codes = {str(code.value) for code in ExitCode} | {"–"}
    for fault, *_, code, test in rows("fault"):
        assert re.fullmatch(r"`tests/[\w/.]+::\w+`", test), fault
        assert set(re.findall(r"\d+|–", code)) <= codes, fault


def test_the_exit_codes_are_those_of_the_program() -> None:
    body = next(
        part for part in ast.parse(Path(exit_codes.__file__).read_text()).body if isinstance(part, ast.ClassDef)
    ).body[1:]
    meanings = [
        part.value.value for part in body if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
    ]
    expected = [[str(code.value), code.name, text] for code, text in zip(ExitCode, meanings, strict=True)]
    assert list(rows("code")) == expected
