"""Bytes that came on a connection after the reply that was read from it.

httpcore hands them to the next request on that connection as its reply, and shows them to nobody. They can wait
in three places: h11's buffer, a TLS object, and anyio's queue of what was received; what waits in the socket
httpcore sees for itself. Only the first place has a public name, so this module knows the insides of those
libraries, and takes a connection that it does not know its way in for one with leftovers.
"""

from __future__ import annotations

import ssl
from operator import attrgetter
from typing import Any, Final

import httpx
from anyio.streams.tls import TLSAttribute, TLSStream

_H11: Final = attrgetter("stream._stream._httpcore_stream._stream._connection._h11_state")
_SOCKET: Final = attrgetter("_stream")
_RECEIVED: Final = attrgetter("_protocol.read_queue")


def has_leftovers(response: httpx.Response) -> bool:
    """Whether more came than a reply that was read to its end and is not closed yet."""
    try:
        return bool(_H11(response).trailing_data[0]) or _holds_bytes(_SOCKET(response.extensions["network_stream"]))
    except AttributeError:
        return True


def _holds_bytes(stream: Any) -> bool:
    while isinstance(stream, TLSStream):
        if _says_more(stream.extra_attributes[TLSAttribute.ssl_object]()):
            return True
        stream = stream.transport_stream
    return bool(_RECEIVED(stream))


def _says_more(tls: ssl.SSLObject) -> bool:
    try:
        tls.read(1)
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLError:
        return True
    return True
