"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "node").rglob("*.py"))
MAX_LINES = 400
MAX_FUNCTION_LINES = 50
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}

module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (part for part in ast.walk(tree) if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef))


@module
def test_no_module_outgrows_its_reader(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@module
def test_a_function_fits_on_a_screen(path: Path) -> None:
    lengths = {
        function.name: (function.end_lineno or 0) - function.body[0].lineno + 1
        for function in functions(ast.parse(path.read_text()))
    }
    assert not {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES}


@module
def test_annotations_are_not_evaluated_at_import(path: Path) -> None:
    body = ast.parse(path.read_text()).body
    code = [part for part in body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]
    if code and path.name != "__init__.py":
        assert isinstance(code[0], ast.ImportFrom)
        assert code[0].module == "__future__"


@module
def test_no_module_keeps_changing_globals(path: Path) -> None:
    assert not [part for part in ast.walk(ast.parse(path.read_text())) if isinstance(part, ast.Global)]


@module
def test_nothing_waits_in_a_way_that_loses_a_cancel(path: Path) -> None:
    assert not re.search(r"\b(asyncio\.wait_for|time\.sleep)\(", path.read_text())


@module
def test_a_module_is_named_for_what_it_holds(path: Path) -> None:
    assert not VAGUE_NAMES & {path.stem, path.parent.name}


def test_all_errors_are_one_tree_drawn_in_its_module() -> None:
    tree = ast.parse((ROOT / "node/domain/errors.py").read_text())
    classes = {part.name for part in tree.body if isinstance(part, ast.ClassDef)}
    drawn = set(re.findall(r"[├└]── (\w+)", ast.get_docstring(tree) or "")) | {"NodeError", "InputFault"}
    assert classes == drawn
