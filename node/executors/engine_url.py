"""Where an engine is."""

from __future__ import annotations

from urllib.parse import urlsplit


def check_engine_url(url: str) -> None:
    """Make sure that a URL is ``http`` or ``https``, host and port, with a path if need be.

    Raises:
        ValueError: it is not; the message is free of credentials.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Not chained: it quotes what stands where a port should, which may be a password.
        raise ValueError("an engine's URL is http://host:port; its port, or what is in front, is none") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"an engine's URL is http://host:port, not {place_of(url)}")


def place_of(url: str) -> str:
    """The URL as people may see it: without credentials."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
