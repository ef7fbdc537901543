"""What a node does, in words; and output that nobody takes."""

from __future__ import annotations

import pytest

from node.cli.node_display import condition


@pytest.mark.parametrize(
    ("presence", "holds", "words"),
    [
        ("idle", [], "idle"),
        ("paused", ["paused"], "paused"),
        ("paused", ["engine", "disk"], "held back by engine, disk"),
        ("paused", ["paused", "engine"], "paused and held back by engine"),
        ("processing", ["no-slot"], "processing (claims nothing: no-slot)"),
    ],
)
def test_nobody_but_who_was_paused_is_called_so(presence: str, holds: list[str], words: str) -> None:
    assert condition(presence, holds) == words
