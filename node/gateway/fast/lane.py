"""One way to the network: directly, or by one proxy."""

from __future__ import annotations

import ssl

from node.domain.errors import TransportError
from node.domain.proxies import ProxyAddress
from node.gateway.fast.heads import Origin, origin_length
from node.gateway.fast.pool import Pool


class Lane:
    """The pools of all origins that are reached in one way. ``users`` is how many transports go by it."""

    __slots__ = ("_common", "_max_reply_bytes", "_pools", "_tls", "proxy", "users")

    def __init__(self, proxy: ProxyAddress | None, common: str, tls: ssl.SSLContext, max_reply_bytes: int) -> None:
        """Open nothing yet; ``common`` are the header lines of every request."""
        self.proxy = proxy
        self.users = 0
        self._common = common
        self._tls = tls
        self._max_reply_bytes = max_reply_bytes
        self._pools: dict[str, Pool] = {}

    def pool(self, url: str) -> Pool:
        """The connections to this URL's origin.

        Raises:
            ConnectFailed: it is no http or https address.
        """
        # An origin is found here only under the name that was checked when its pool was made.
        pool = self._pools.get(url[: url.find("/", 8)])
        if pool is None:
            base = url[: origin_length(url)]
            pool = self._pools.get(base)
            if pool is None:
                origin = Origin(base, self.proxy, self._common)
                pool = self._pools[base] = Pool(origin, self.proxy, self._tls, self._max_reply_bytes)
        return pool

    def fail_all(self, owner: object, error: TransportError) -> None:
        """End the exchanges of this owner."""
        for pool in self._pools.values():
            pool.fail_all(owner, error)

    async def aclose(self) -> None:
        """Close all connections, when nobody uses them any more."""
        for pool in self._pools.values():
            await pool.aclose()
