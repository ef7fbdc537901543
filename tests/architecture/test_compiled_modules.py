"""What setup.cfg names to be compiled holds nothing that machine code by mypyc does otherwise than the interpreter."""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def named() -> list[str]:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    return settings["compiled"]["modules"].split()


def waits(part: ast.AST) -> Iterator[int]:
    """The lines at which a function may be left for a while."""
    for inner in ast.walk(part):
        if isinstance(inner, ast.Await | ast.AsyncWith | ast.AsyncFor | ast.Yield | ast.YieldFrom):
            yield inner.lineno


def is_timeout(block: ast.AsyncWith) -> bool:
    """Whether it is one whose end waits for nothing."""
    return all(ast.unparse(item.context_expr).startswith("asyncio.timeout(") for item in block.items)


def waits_in_handlers(tree: ast.AST) -> list[int]:
    """Where a function waits while it handles an exception: what it raises again may be another task's by then."""
    found = []
    for part in ast.walk(tree):
        match part:
            case ast.Try(handlers=handlers, finalbody=last):
                found += [line for inner in (*handlers, *last) for line in waits(inner)]
            case ast.AsyncWith() if not is_timeout(part):
                found.append(part.lineno)
            case ast.AsyncFunctionDef():
                found += [inner.lineno for inner in ast.walk(part) if isinstance(inner, ast.Yield)]
            case _:
                pass
    return found


def test_they_are_there_and_in_order() -> None:
    assert all((ROOT / module).is_file() for module in named())
    assert named() == sorted(set(named()))
    assert "node/worker/session_loop.py" in named()


@pytest.mark.parametrize("module", named())
def test_none_waits_while_it_handles_an_exception(module: str) -> None:
    assert waits_in_handlers(ast.parse((ROOT / module).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "body",
    [
        "try:\n  f()\n except E:\n  await g()",
        "try:\n  f()\n finally:\n  await g()",
        "async with a():\n  f()",
        "yield 1",
    ],
)
def test_a_wait_that_must_not_be_is_seen(body: str) -> None:
    assert waits_in_handlers(ast.parse(f"async def it():\n {body}")) != []


def test_a_wait_elsewhere_is_none_of_them() -> None:
    text = "async def it():\n async with asyncio.timeout(1):\n  try:\n   await f()\n  except E:\n   g()\n await g()"
    assert waits_in_handlers(ast.parse(text)) == []
