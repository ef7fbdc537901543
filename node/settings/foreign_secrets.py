"""Secrets in what is configured beside the settings: in addresses, and in variables that libraries read by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from node.domain.secret import Secret

_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")
_HEADERS: Final = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
_TOKEN_CHARS: Final = 16
"""A part of a path that is shorter may well be a word, which would be masked wherever it stands."""


def secrets_of_environment(environ: Mapping[str, str]) -> Iterator[Secret]:
    """What the well-known variables for proxies and for OpenTelemetry hold in secret."""
    for name, value in environ.items():
        if name.lower() in _PROXIES:
            yield from secrets_of_login(value)
        elif name in _HEADERS:
            for header in value.split(","):
                written = header.partition("=")[2].strip()
                yield from (Secret(written), Secret(unquote(written)))


def secrets_of_login(url: str) -> Iterator[Secret]:
    """Password, and user and password, of an address, with a scheme or without: as they are written there, and decoded."""
    login, at, _ = url.rpartition("://")[2].rpartition("@")
    for text in (login, unquote(login)) if at else ():
        yield from (Secret(text), Secret(text.partition(":")[2]))


def secrets_of_address(url: str) -> Iterator[Secret]:
    """What may be a secret in an address that holds one: itself, its login, its query's values, long parts of its path."""
    if not url:
        return
    yield Secret(url)
    yield from secrets_of_login(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    yield from (Secret(parts.path), Secret(parts.query))
    for part in parts.path.split("/"):
        if len(part) >= _TOKEN_CHARS:
            yield from (Secret(part), Secret(unquote(part)))
    for _, value in parse_qsl(parts.query):
        yield Secret(value)


def secrets_of_query(url: str) -> Iterator[Secret]:
    """The values of an address's query."""
    yield from (Secret(value) for _, value in parse_qsl(url.partition("?")[2]))
