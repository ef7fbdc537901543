"""A reply's headers, read when somebody looks at them: most polls are answered without that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class LazyHeaders(Mapping[str, str]):
    """Headers by name in lower case; values of a name that came several times are joined by a comma and a space."""

    __slots__ = ("_came", "_read")

    def __init__(self, came: list[tuple[bytes, bytes]]) -> None:
        self._came = came
        self._read: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return self._known()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())

    def _known(self) -> dict[str, str]:
        if self._read is None:
            self._read = read_headers(self._came)
        return self._read


def read_headers(came: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers as they came, by name in lower case."""
    read: dict[str, str] = {}
    for raw_name, raw_value in came:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        read[name] = f"{read[name]}, {value}" if name in read else value
    return read
