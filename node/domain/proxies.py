"""Addresses of proxies, as operators write them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from node.domain.secret import Secret

SCHEMES: Final = ("http", "https", "socks5")
"""How the proxy itself is spoken to."""


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """A proxy: its scheme (`SCHEMES`), host, port and, where it asks for them, user and password.

    ``str`` gives it without user and password, fit for people.
    """

    scheme: str
    host: str
    port: int
    username: str = field(default="", repr=False)
    password: Secret = Secret("")

    @classmethod
    def parse(cls, text: str) -> ProxyAddress:
        """Read ``[scheme://][username:password@]host:port``, a line of proxies.txt; without a scheme it is ``http``.

        Percent-encoded characters in username and password are decoded, so that ``@`` and ``:`` can be
        written there.

        Raises:
            ValueError: the text is not such an address. The message never repeats the text, which may
                hold a password.
        """
        url = text.strip() if "://" in text else f"http://{text.strip()}"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("a proxy is written host:port or username:password@host:port") from None
        if parts.scheme not in SCHEMES:
            raise ValueError(f"a proxy's scheme is one of {', '.join(SCHEMES)}")
        if not host or any(letter.isspace() for letter in host):
            raise ValueError("a proxy is written host:port or username:password@host:port")
        if port is None or port == 0:
            raise ValueError("a proxy needs a port from 1 to 65535")
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError("nothing may follow a proxy's port")
        return cls(
            scheme=parts.scheme,
            host=host,
            port=port,
            username=unquote(parts.username or ""),
            password=Secret(unquote(parts.password or "")),
        )

    @property
    def url(self) -> str:
        """The address with its credentials: for the connection, never for people."""
        if not self.username:
            return f"{self.scheme}://{self._host_and_port}"
        credentials = f"{quote(self.username, safe='')}:{quote(self.password.reveal(), safe='')}"
        return f"{self.scheme}://{credentials}@{self._host_and_port}"

    @property
    def credentials(self) -> Secret:
        """User and password as Basic authentication joins them (RFC 7617); empty where the proxy asks for none."""
        return Secret(f"{self.username}:{self.password.reveal()}" if self.username else "")

    def __str__(self) -> str:
        return f"{self.scheme}://{self._host_and_port}"

    @property
    def _host_and_port(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
