"""The last point before a terminal or pipe: whatever is written there, by whomever, is masked."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from typing import Final, TextIO

MOST_HELD: Final = 65_536
"""Characters of a line that has not ended before they are written all the same."""


class MaskedStream(io.TextIOBase):
    """Takes the place of ``sys.stdout`` or ``sys.stderr``: what the interpreter says of unhandled errors comes this way.

    Text is masked line by line, since a secret may be written in pieces; what is left of a line is written when the
    stream is flushed. May be used from any thread.

    With ``on_loss`` nothing that goes wrong with the stream is raised: the text is dropped, and the error told.
    """

    def __init__(
        self, stream: TextIO, redact: Callable[[str], str], on_loss: Callable[[Exception], None] | None = None
    ) -> None:
        self._stream = stream
        self._redact = redact
        self._on_loss = on_loss
        self._held = ""
        self._guard = threading.RLock()

    @property
    def encoding(self) -> str:  # type: ignore[override] # typeshed has an attribute, where io has a property
        """The stream's own."""
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override] # as above
        """The stream's own."""
        return self._stream.errors

    def fileno(self) -> int:
        """The stream's own."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """The stream's own."""
        return self._stream.isatty()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str, /) -> int:
        """Write the lines that are whole now, and keep the rest."""
        with self._guard:
            whole, newline, self._held = (self._held + text).rpartition("\n")
            if len(self._held) > MOST_HELD:
                whole, newline, self._held = f"{whole}{newline}{self._held}", "", ""
            if whole or newline:
                self._put(f"{whole}{newline}")
        return len(text)

    def flush(self) -> None:
        """Write what is left of a line, too."""
        with self._guard:
            held, self._held = self._held, ""
            if held:
                self._put(held)
            with self._losses_told():
                self._stream.flush()

    def close(self) -> None:
        """Close the stream, too."""
        try:
            super().close()
        finally:
            self._stream.close()

    def _put(self, text: str) -> None:
        with self._losses_told():
            self._stream.write(self._redact(text))

    @contextlib.contextmanager
    def _losses_told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            if self._on_loss is None:
                raise
            self._on_loss(error)
