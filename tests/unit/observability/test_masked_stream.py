"""Whatever is written to the standard streams is masked."""

from __future__ import annotations

import io
import os
import sys
import threading

import pytest

from node.observability.masked_stream import MOST_HELD, MaskedStream


class Written(io.StringIO):
    flushes = 0

    def flush(self) -> None:
        self.flushes += 1


def masked() -> tuple[MaskedStream, Written]:
    plain = Written()
    return MaskedStream(plain, lambda text: text.replace("hunter2", "***")), plain


def test_lines_are_masked_however_they_are_pieced_together() -> None:
    stream, plain = masked()
    for piece in ("hun", "ter", "2\nand hun"):
        assert stream.write(piece) == len(piece)
    assert plain.getvalue() == "***\n"
    stream.write("ter2")
    stream.flush()
    assert plain.getvalue() == "***\nand ***"
    assert plain.flushes == 1
    stream.flush()
    stream.writelines(["hunter2\n", "\n"])
    print("hunter2", 1, file=stream, flush=True)
    assert plain.getvalue() == "***\nand ******\n\n*** 1\n"


def test_a_line_without_an_end_is_not_held_for_ever() -> None:
    stream, plain = masked()
    stream.write("x" * (MOST_HELD + 1))
    assert len(plain.getvalue()) == MOST_HELD + 1


def test_it_is_as_the_stream_below() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="latin-1", errors="replace") as plain, os.fdopen(reading) as other_end:
        stream = MaskedStream(plain, str)
        assert (stream.encoding, stream.errors, stream.isatty(), stream.writable()) == (
            *("latin-1", "replace", False),
            True,
        )
        assert stream.fileno() == writing
        stream.write("last words")
        stream.close()
        assert plain.closed
        assert stream.closed
        assert other_end.read() == "last words"


def test_what_the_interpreter_says_of_unhandled_errors_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, plain = masked()
    monkeypatch.setattr(sys, "stderr", stream)

    def fail() -> None:
        raise ValueError("hunter2")

    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    thread = threading.Thread(target=fail, name="hunter2")
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError as error:
        sys.__excepthook__(ValueError, error, error.__traceback__)
    assert plain.getvalue().count("ValueError: ***\n") == 2
    assert "hunter2" not in plain.getvalue()


def test_threads_do_not_mix_their_lines() -> None:
    stream, plain = masked()
    threads = [
        threading.Thread(target=lambda letter=letter: [stream.write(letter * 30 + "\n") for _ in range(200)])
        for letter in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(plain.getvalue().splitlines()) == sorted(letter * 30 for letter in "abcd" for _ in range(200))


class Full(io.StringIO):
    def write(self, text: str, /) -> int:
        raise OSError(28, "No space left on device")


def test_a_stream_that_takes_nothing_is_told_and_hurts_nobody() -> None:
    told: list[Exception] = []
    stream = MaskedStream(Full(), str, told.append)
    print("some words", file=stream, flush=True)
    stream.write("without an end")
    stream.flush()
    assert [type(error) for error in told] == [OSError, OSError]
    gone = io.StringIO()
    gone.close()
    stream = MaskedStream(gone, str, told.append)
    print("some words", file=stream, flush=True)
    assert isinstance(told[-1], ValueError)
    with pytest.raises(OSError, match="No space"):
        print("some words", file=MaskedStream(Full(), str))
