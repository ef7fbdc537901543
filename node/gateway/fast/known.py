"""The heads of replies that came lately.

A gateway answers most polls with the very same bytes, but for a date that changes once a second: a reply whose head came
before needs no parser, which calls back for each header of it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from node.gateway.fast.headers import LazyHeaders

_MOST: Final = 256
"""Heads that are kept; then all are forgotten, since those of a former second do not come again."""

_MOST_BYTES: Final = 2048


class KnownHead(NamedTuple):
    """What a head says. ``length`` is that of the body, in bytes."""

    status: int
    headers: LazyHeaders
    length: int


class KnownHeads(dict[bytes, KnownHead]):
    """Heads by their bytes, the empty line at their end included."""

    def learn(self, data: bytes, length: int, status: int, came: list[tuple[bytes, bytes]]) -> None:
        """Keep the head of ``data``, a whole reply and nothing else, whose body takes its last ``length`` bytes."""
        end = data.find(b"\r\n\r\n") + 4
        if end != len(data) - length or end > _MOST_BYTES:
            # It had an interim reply before it, or it is one that does not come again.
            return
        if len(self) >= _MOST:
            self.clear()
        self[data[:end]] = KnownHead(status, LazyHeaders(came), length)
