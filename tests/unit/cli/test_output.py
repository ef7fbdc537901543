"""Output that nobody takes."""

from __future__ import annotations

import errno
import io
import os

import pytest

from node.cli.exit_codes import ExitCode
from node.cli.output import OutputLoss, output_failed

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_loss_is_told_once_a_stream_what_came_before_too() -> None:
    loss, told = OutputLoss(), list[str]()
    stream = io.StringIO()
    loss.happened("standard output", stream, FULL)
    loss.told_to(told.append)
    loss.happened("standard output", stream, FULL)
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


def test_lost_output_is_an_exit_code_where_nothing_else_is_wrong() -> None:
    loss = OutputLoss("the run")
    loss.happened("standard error", io.StringIO(), FULL)
    assert loss.exit_code(ExitCode.OK) is ExitCode.OK
    loss.happened("standard output", io.StringIO(), FULL)
    assert loss.exit_code(ExitCode.OK) is ExitCode.STORAGE
    assert loss.exit_code(ExitCode.AUDIT) is ExitCode.AUDIT


def test_a_reader_that_went_is_no_loss_where_it_ends_the_program() -> None:
    loss = OutputLoss(ends_with_reader=True)
    with pytest.raises(BrokenPipeError):
        loss.happened("standard output", io.StringIO(), BrokenPipeError(errno.EPIPE, "Broken pipe"))
    assert loss.exit_code(ExitCode.OK) is ExitCode.OK


def test_a_full_disk_is_no_defect_and_other_errors_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert output_failed(FULL)
    assert capsys.readouterr().err == "What was to be written is lost: No space left on device.\n"
    assert not output_failed(OSError(errno.EBADF, "Bad file descriptor"))
