from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from node.domain.errors import InputFault
from node.executors.prompt_book import PromptBook
from node.executors.prompts import load_prompts

HEAD = "prompt,m_response_1,m_response_2\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "prompts.csv"


def load(path: Path, text: str | bytes) -> tuple[PromptBook, tuple[InputFault, ...]]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_prompts([path])


def answers(book: PromptBook) -> dict[str, dict[str, tuple[str, ...]]]:
    return {prompt.text: dict(prompt.answers) for prompt in book.prompts}


def test_models_and_numbers_come_from_the_head(path: Path) -> None:
    text = (
        "id,llama3.1:latest_response_6,prompt,a_response_b:7b_response_12,llama3.1:latest_response_7\n"
        '1,"{""content"": ""one""}",Why?,"""two""",three\n'
    )
    book, faults = load(path, text)
    assert faults == ()
    assert answers(book) == {"Why?": {"llama3.1:latest": ("one", "three"), "a_response_b:7b": ("two",)}}


@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        ('{"content": "An answer"}', "An answer"),
        ('{"role": "assistant", "content": "Line\\nbreak \\u00e9", "model": null}', "Line\nbreak é"),
        ('{"content": "a raw\nline break"}', "a raw\nline break"),
        ('"A JSON string, with \\"quotes\\""', 'A JSON string, with "quotes"'),
        ('"To be" is a verb', '"To be" is a verb'),
        ('"never closed', '"never closed'),
        ("  plain text, with a comma ", "plain text, with a comma"),
        ("[1, 2, 3]", "[1, 2, 3]"),
        ("42", "42"),
        ("two\r\nlines", "two\r\nlines"),
        ("x" * 1_000_000, "x" * 1_000_000),
    ],
)
def test_a_cell_is_json_or_plain_text(path: Path, cell: str, answer: str) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["prompt", "m_response_1"], ["Why?", cell]])
    limit = csv.field_size_limit()
    book, faults = load_prompts([path])
    assert faults == ()
    assert answers(book) == {"Why?": {"m": (answer,)}}
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("null", "empty"),
        ('""', "empty"),
        ('{"content": " "}', "empty"),
        ('{"content": "cut off', "broken JSON"),
        ("{'content': 'python'}", "broken JSON"),
        ('{"a":' * 100_000, "broken JSON"),
        ('{"content": 9' + "9" * 5000 + "}", "broken JSON"),
        ("{}", "no content"),
        ('{"content": null}', "no content"),
        ('{"content": ["a"]}', "no content"),
        ('{"message": {"content": "deeper"}}', "no content"),
        ('{"content": "half \\ud83d a pair"}', "surrogate"),
        ('"half \\ud83d a pair"', "surrogate"),
    ],
)
def test_a_bad_cell_costs_itself_alone(path: Path, cell: str, problem: str) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["prompt", "m_response_1", "n_response_1"], ["What\nnow?", "first", "other"], ["Why?", cell, "good"]]
        )
    book, faults = load_prompts([path])
    assert answers(book) == {"What\nnow?": {"m": ("first",), "n": ("other",)}, "Why?": {"n": ("good",)}}
    (fault,) = faults
    assert (fault.place, fault.line, fault.column) == (str(path), 4, "m_response_1")
    assert problem in fault.problem
    assert fault.remedy


def test_bom_blank_lines_and_any_line_ends_are_taken(path: Path) -> None:
    text = '\ufeffPrompt , m_response_1,\r\n\r\n,,\r\n  \r\nWhy?,one,\r\n"Two\r\nlines?",two\r\nHow?,three,\r\n\r\n'
    for variant in (text, text.replace("\r\n", "\n"), text.replace("\r\n", "\r")):
        book, faults = load(path, variant)
        assert faults == ()
        assert [prompt.answers["m"] for prompt in book.prompts] == [("one",), ("two",), ("three",)]
        assert book.find("two lines") is not None


def test_a_row_that_cannot_be_read_is_told_and_the_next_is_used(path: Path) -> None:
    text = (
        HEAD
        + 'Why?,"{"content": "unescaped"}",good\n'
        + "How?,yes, it shifts,everything\n"
        + ",an answer,to nothing\n"
        + '"? ",an answer,to nothing\n'
        + "When?,one,two\n"
        + "Where?,one\n"
    )
    book, faults = load(path, text)
    assert answers(book) == {"When?": {"m": ("one", "two")}, "Where?": {"m": ("one",)}}
    assert [(fault.line, fault.column) for fault in faults] == [
        (2, None),
        (3, None),
        (4, "prompt"),
        (5, "prompt"),
        (7, "m_response_2"),
    ]
    assert "quotes" in faults[0].remedy
    assert "4 cells and the head 3" in faults[1].problem


def test_a_quote_that_is_never_closed_is_told_where_it_opens(path: Path) -> None:
    book, faults = load(path, HEAD + 'Why?,one,two\nHow?,"three,four\nWhen?,five,six\n')
    assert list(answers(book)) == ["Why?"]
    (fault,) = faults
    assert fault.line == 3
    assert "close" in fault.remedy


def test_the_same_prompt_in_two_files_has_the_answers_of_both(tmp_path: Path) -> None:
    control, test = tmp_path / "control.csv", tmp_path / "test.csv"
    control.write_text("prompt,m_response_1\nWhy is it so?,one\nWhy is it so,two\n")
    test.write_text("prompt,m_response_6,n_response_6\nwhy is  it so?,three,four\n")
    book, faults = load_prompts([control, test])
    assert faults == ()
    assert answers(book) == {"Why is it so?": {"m": ("one", "two", "three"), "n": ("four",)}}


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b"", 1, "is empty"),
        (b"\n\n", 1, "is empty"),
        (b"question,m_response_1\nWhy?,one\n", 1, "no column prompt"),
        (b"\nprompt,m_answer_1\nWhy?,one\n", 2, "no column of answers"),
        (b"prompt,m_response_1\n", None, "no prompt"),
        (b"prompt,m_response_1\nWhy?,caf\xe9\n", 2, "not UTF-8"),
        ("prompt,m_response_1\nWhy?,one\n".encode("utf-16"), 1, "not UTF-8"),
    ],
)
def test_a_file_that_is_none_is_told(path: Path, content: bytes, line: int | None, problem: str) -> None:
    book, (fault,) = load(path, content)
    assert book.prompts == ()
    assert fault.line == line
    assert problem in fault.problem


def test_a_file_that_cannot_be_opened_is_told_and_others_are_used(tmp_path: Path) -> None:
    good = tmp_path / "good.csv"
    good.write_text("prompt,m_response_1\nWhy?,one\n")
    book, faults = load_prompts([tmp_path / "missing.csv", good, tmp_path])
    assert list(answers(book)) == ["Why?"]
    assert [Path(fault.place).name for fault in faults] == ["missing.csv", tmp_path.name]
    assert "No such file" in faults[0].problem


def test_columns_that_are_not_used_are_told(path: Path) -> None:
    book, faults = load(path, "prompt,m_response_1,m_response_1,m_response_x,note\nWhy?,one,two,three,four\n")
    assert answers(book) == {"Why?": {"m": ("one",)}}
    assert [(fault.line, fault.column) for fault in faults] == [(1, "m_response_1"), (1, "m_response_x")]


@pytest.mark.parametrize(
    ("name", "numbers"), [("control_prompts.csv", range(1, 6)), ("test_prompts.csv", range(6, 11))]
)
def test_the_shipped_files_are_faultless(name: str, numbers: range) -> None:
    path = Path(__file__).parents[3] / "config" / "prompts" / name
    assert path.stat().st_size < 150_000
    book, faults = load_prompts([path])
    assert faults == ()
    assert 12 <= len(book.prompts) <= 20
    models = ("gemma2:2b", "llama3.1:latest", "qwen2.5:7b")
    assert book.models == models
    for prompt in book.prompts:
        assert all(len(set(prompt.answers[model])) == len(numbers) for model in models)
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file))
    assert head[1:] == [f"{model}_response_{number}" for model in _order(head) for number in numbers]
    cells = [cell for row in rows for cell in row[1:]]
    objects = [json.loads(cell) for cell in cells if cell.startswith("{")]
    assert 0 < len(objects) < len(cells), "most cells are objects, some are plain text"


def _order(head: list[str]) -> list[str]:
    return list(dict.fromkeys(name.rpartition("_response_")[0] for name in head[1:]))
