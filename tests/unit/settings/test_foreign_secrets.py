"""Secrets that stand in addresses, and in variables that are no settings, are known."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node.domain.secret import Secret
from node.settings.foreign_secrets import secrets_of_address, secrets_of_environment, secrets_of_login, secrets_of_query
from tests.unit.settings.conftest import Load


def told(secrets: Iterator[Secret]) -> set[str]:
    return {secret.reveal() for secret in secrets if secret}


@pytest.mark.parametrize("scheme", ["http://", "socks5://", ""])
def test_a_login_is_known_as_it_is_written_and_decoded(scheme: str) -> None:
    url = f"{scheme}user:p%40ss/w@rd@10.0.0.1:3128"
    assert told(secrets_of_login(url)) == {"user:p%40ss/w@rd", "user:p@ss/w@rd", "p%40ss/w@rd", "p@ss/w@rd"}
    assert told(secrets_of_login(f"{scheme}10.0.0.1:3128")) == set()


def test_an_address_that_is_a_secret_is_known_in_its_parts() -> None:
    url = "https://hooks.example/services/B0123456789abcdef%2F/x?auth=key%2Fkey&b="
    assert told(secrets_of_address(url)) == {
        *(url, "/services/B0123456789abcdef%2F/x", "auth=key%2Fkey&b="),
        *("B0123456789abcdef%2F", "B0123456789abcdef/", "key/key"),
    }
    assert told(secrets_of_address("")) == set()
    assert told(secrets_of_address("http://[x/path")) == {"http://[x/path"}


def test_values_of_a_query_are_known() -> None:
    assert told(secrets_of_query("http://collector:4318/v1/traces?key=a%20b&c=d")) == {"a b", "d"}
    assert told(secrets_of_query("http://collector:4318")) == set()


def test_variables_of_libraries_are_known(load_here: Load) -> None:
    environ = {
        "HTTP_PROXY": "http://u:one@proxy:1",
        "https_proxy": "http://u:two@proxy:1",
        "NO_PROXY": "u:three@proxy",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=four%3D, y-key = five ,bare",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "z=six",
        "PATH": "/bin",
    }
    expected = {"u:one", "one", "u:two", "two", "four%3D", "four=", "five", "six"}
    assert told(secrets_of_environment(environ)) == expected
    assert told(iter(load_here(environ=environ).foreign)) == expected
