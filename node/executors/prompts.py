"""Prompt files: CSV with a column ``prompt`` and columns ``<model>_response_<number>``.

A cell is JSON, an object with ``content`` or a string; plain text is taken as it is: the format of
docs/protocol.md. What is wrong costs the cell, or the row where that cannot be read, or the file where its head
cannot, and is told as an `InputFault`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from node.domain.errors import InputFault
from node.executors.prompt_book import PromptBook, StoredPrompt, matching_key

_PROMPT: Final = "prompt"
_RESPONSE: Final = re.compile(r"(?P<model>.+)_response_\d+")
_HEAD_REMEDY: Final = "name the columns prompt,<model>_response_1,<model>_response_2,…"
_CELL_REMEDY: Final = 'write {"content": "…"}, a JSON string or plain text; the other cells are used'


def load_prompts(paths: Iterable[Path]) -> tuple[PromptBook, tuple[InputFault, ...]]:
    """Read prompt files (UTF-8) into one book, and tell all that is wrong with them, in the order of the files.

    Never raises for what a file holds or for a file that cannot be read: such a file adds nothing to the book.
    Blocks while it reads; for use before the event loop runs.
    """
    faults: list[InputFault] = []
    prompts: list[StoredPrompt] = []
    for path in paths:
        text = _read(path, faults)
        if text is not None:
            prompts.extend(_PromptFile(str(path), faults).prompts(text))
    return PromptBook.of(prompts), tuple(faults)


def _read(path: Path, faults: list[InputFault]) -> str | None:
    try:
        data = path.read_bytes()
    except OSError as error:
        faults.append(InputFault(str(path), f"cannot be read: {error.strerror}", "name a file that exists"))
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        faults.append(InputFault(str(path), "is not UTF-8", "save the file as UTF-8", line))
        return None


@dataclass(frozen=True, slots=True)
class _Head:
    """Where in a row the prompt stands, and the answers: index, name of the column, model."""

    width: int
    prompt: int
    answers: tuple[tuple[int, str, str], ...]


class _BadCell(Exception):
    """A cell holds no answer; the message says why."""


@dataclass(slots=True)
class _PromptFile:
    """The reading of one file."""

    place: str
    faults: list[InputFault] = field(default_factory=list)

    def prompts(self, text: str) -> Iterator[StoredPrompt]:
        with _cells_up_to(len(text)):
            rows = self._rows(text)
            first = next(rows, None)
            if first is None:
                self._fault("is empty", _HEAD_REMEDY, 1)
                return
            head = self._head(*first)
            if head is None:
                return
            found = False
            for line, row in rows:
                prompt = self._prompt(head, line, row)
                if prompt is not None:
                    found = True
                    yield prompt
            if not found:
                self._fault("holds no prompt with an answer", "add a row a prompt")

    def _rows(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """Rows that hold something, each with the line on which it begins."""
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        while True:
            line = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self._fault(
                    f"the row cannot be read: {error}", "double the quotes inside a quoted cell, and close it", line
                )
                continue
            if any(cell.strip() for cell in row):
                yield line, row

    def _head(self, line: int, row: Sequence[str]) -> _Head | None:
        names = [cell.strip() for cell in row]
        prompt = next((index for index, name in enumerate(names) if name.casefold() == _PROMPT), None)
        if prompt is None:
            self._fault("has no column prompt", _HEAD_REMEDY, line)
            return None
        answers: dict[str, tuple[int, str, str]] = {}
        for index, name in enumerate(names):
            match = _RESPONSE.fullmatch(name)
            if match is None:
                if "_response" in name:
                    self._fault("the column is not used", "end its name in _response_<number>", line, name)
            elif name in answers:
                self._fault("the column stands twice", "give it another number; the first is used", line, name)
            else:
                answers[name] = (index, name, match["model"])
        if not answers:
            self._fault("has no column of answers", _HEAD_REMEDY, line)
            return None
        return _Head(len(names), prompt, tuple(answers.values()))

    def _prompt(self, head: _Head, line: int, row: Sequence[str]) -> StoredPrompt | None:
        if any(cell.strip() for cell in row[head.width :]):
            self._fault(
                f"the row has {len(row)} cells and the head {head.width}", "quote cells that hold a comma", line
            )
            return None
        text = row[head.prompt].strip() if head.prompt < len(row) else ""
        if not matching_key(text) or not _is_text(text):
            self._fault("the row has no prompt", "write one, or remove the row", line, _PROMPT)
            return None
        answers: dict[str, tuple[str, ...]] = {}
        for index, column, model in head.answers:
            try:
                answer = _answer(row[index] if index < len(row) else "")
            except _BadCell as bad:
                self._fault(str(bad), _CELL_REMEDY, line, column)
            else:
                answers[model] = (*answers.get(model, ()), answer)
        return StoredPrompt(text, answers) if answers else None

    def _fault(self, problem: str, remedy: str, line: int | None = None, column: str | None = None) -> None:
        self.faults.append(InputFault(self.place, problem, remedy, line, column))


def _answer(cell: str) -> str:
    """The answer in a cell. Raises `_BadCell` when there is none."""
    text = cell.strip()
    if text.startswith("{"):
        text = _content(_json(text))
    elif text.startswith('"'):
        # Plain text may begin with a quote: what is no JSON string stands for itself.
        with suppress(_BadCell):
            text = str(_json(text))
    if not text.strip() or text == "null":
        raise _BadCell("the cell is empty")
    if not _is_text(text):
        raise _BadCell("the cell holds half of a surrogate pair")
    return text


def _content(value: Any) -> str:
    match value:
        case {"content": str(content)}:
            return content
        case _:
            raise _BadCell("the cell's object has no content")


def _json(text: str) -> Any:
    try:
        # Not strict: a line break inside a JSON string is readable, and spreadsheets make them.
        return json.JSONDecoder(strict=False).decode(text)
    except (ValueError, RecursionError) as error:
        raise _BadCell("the cell is broken JSON") from error


def _is_text(text: str) -> bool:
    """Whether it can be sent as UTF-8, which half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def _cells_up_to(chars: int) -> Iterator[None]:
    """Let the csv module take cells of this length; its own limit, which it keeps for all, is put back."""
    former = csv.field_size_limit(max(chars, 1))
    try:
        yield
    finally:
        csv.field_size_limit(former)
