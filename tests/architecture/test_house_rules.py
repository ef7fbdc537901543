"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "node").rglob("*.py"))
MAX_LINES = 400
MAX_FUNCTION_LINES = 50
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (part for part in ast.walk(tree) if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef))


def modules(breaks_the_rule: Callable[[Path], object]) -> list[str]:
    assert len(MODULES) > 100
    return [str(path.relative_to(ROOT)) for path in MODULES if breaks_the_rule(path)]


def test_no_module_outgrows_its_reader() -> None:
    assert modules(lambda path: len(path.read_text().splitlines()) > MAX_LINES) == []


def test_a_function_fits_on_a_screen() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}: {function.name}": (function.end_lineno or 0) - function.body[0].lineno + 1
        for path in MODULES
        for function in functions(tree_of(path))
    }
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


def evaluates_annotations(path: Path) -> bool:
    body = tree_of(path).body
    code = [part for part in body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]
    if not code or path.name == "__init__.py":
        return False
    return not (isinstance(code[0], ast.ImportFrom) and code[0].module == "__future__")


def test_annotations_are_not_evaluated_at_import() -> None:
    assert modules(evaluates_annotations) == []


def test_no_module_keeps_changing_globals() -> None:
    assert modules(lambda path: [part for part in ast.walk(tree_of(path)) if isinstance(part, ast.Global)]) == []


def test_nothing_waits_in_a_way_that_loses_a_cancel() -> None:
    assert modules(lambda path: re.search(r"\b(asyncio\.wait_for|time\.sleep)\(", path.read_text())) == []


def test_a_module_is_named_for_what_it_holds() -> None:
    assert modules(lambda path: VAGUE_NAMES & {path.stem, path.parent.name}) == []


def test_all_errors_are_one_tree_drawn_in_its_module() -> None:
    tree = ast.parse((ROOT / "node/domain/errors.py").read_text())
    classes = {part.name for part in tree.body if isinstance(part, ast.ClassDef)}
    drawn = set(re.findall(r"[├└]── (\w+)", ast.get_docstring(tree) or "")) | {"NodeError", "InputFault"}
    assert classes == drawn
