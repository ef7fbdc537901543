"""What the evil suites share."""

from __future__ import annotations

import ssl

import pytest

from node.gateway.tls import client_context
from tests.contract.transport.certificates import (
    Identity,
    make_authority,
    make_server,
    server_context,
    write_certificate,
)


@pytest.fixture(scope="session")
def tls() -> ssl.SSLContext:
    return client_context()


@pytest.fixture(scope="session")
def authority() -> Identity:
    return make_authority()


@pytest.fixture(scope="session")
def evil_tls(authority: Identity, tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's context and that of a server it trusts."""
    folder = tmp_path_factory.mktemp("tls")
    ours = client_context(write_certificate(authority, folder / "ca.pem"))
    return ours, server_context(make_server(authority), folder)
