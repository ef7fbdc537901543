"""What a node does, in words; and output that nobody takes."""

from __future__ import annotations

import io
import os

import pytest

from node.cli.node_display import condition
from node.cli.output import OutputLoss


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


def test_a_loss_is_told_once_a_stream_what_came_before_too() -> None:
    loss, told = OutputLoss(), list[str]()
    stream = io.StringIO()
    loss.happened("standard output", stream, OSError(28, "No space left on device"))
    loss.told_to(told.append)
    loss.happened("standard output", stream, OSError(28, "No space left on device"))
    loss.happened("standard error", stream, ValueError("closed"))
    assert told == [
        "standard output does not take what is written (No space left on device): the node goes on without it",
        "standard error does not take what is written (ValueError): the node goes on without it",
    ]


def test_what_a_reader_that_went_left_unread_spoils_no_end() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        os.close(reading)
        stream.write("words")
        with pytest.raises(BrokenPipeError) as gone:
            stream.flush()
        OutputLoss().happened("standard output", stream, gone.value)
        stream.write("more words")
        stream.flush()
