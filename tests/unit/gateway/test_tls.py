"""The shared TLS context, and what an operator may get wrong about it."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from node.domain.errors import InvalidInput
from node.gateway.tls import client_context
from tests.contract.transport.certificates import make_authority, write_certificate


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    return write_certificate(make_authority(), tmp_path / "ca.pem")


def trusted(context: ssl.SSLContext) -> int:
    return context.cert_store_stats()["x509_ca"]


def test_an_authority_is_added_to_the_defaults_or_replaces_them(ca_file: Path) -> None:
    usual = trusted(client_context())
    assert usual > 50
    assert trusted(client_context(ca_file)) == usual + 1
    assert trusted(client_context(ca_file, replace_defaults=True)) == 1


def test_whatever_is_trusted_it_is_verified(ca_file: Path) -> None:
    for context in (client_context(), client_context(ca_file), client_context(ca_file, replace_defaults=True)):
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_the_environment_counts_when_asked(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    assert trusted(client_context()) > 50
    assert trusted(client_context(trust_env=True)) == 1


@pytest.mark.parametrize("replace_defaults", [True, False])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file"),
        (b"", "no usable certificate"),
        (b"hello", "no usable certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no usable certificate"),
    ],
)
def test_a_file_that_is_no_use(tmp_path: Path, *, content: bytes | None, problem: str, replace_defaults: bool) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=problem) as caught:
        client_context(path, replace_defaults=replace_defaults)
    assert caught.value.faults[0].place == str(path)
    assert caught.value.faults[0].remedy


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        client_context(tmp_path)
