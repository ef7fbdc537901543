"""Programs that are started are told what they need, and no secrets."""

from __future__ import annotations

import pytest

from node.runtime.child_environment import without_secrets
from node.settings.catalogue import catalogue

SECRET_NAMES = [name for info in catalogue().values() if info.secret for name in info.env_names]


@pytest.mark.parametrize(
    "name",
    [
        *SECRET_NAMES,
        *("HTTP_PROXY", "https_proxy", "OTEL_EXPORTER_OTLP_HEADERS", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "PGPASSWORD"),
        *("GITHUB_TOKEN", "API_KEY", "MY_APIKEY", "SSH_AUTH_SOCK", "GOOGLE_APPLICATION_CREDENTIALS"),
    ],
)
def test_what_may_be_secret_is_not_told(name: str) -> None:
    assert without_secrets({name: "hush", "PATH": "/bin"}) == {"PATH": "/bin"}


def test_a_login_in_an_address_is_not_told_whatever_the_name_is() -> None:
    assert without_secrets({"DATABASE_URL": "postgres://user:hush@host/x", "HOME": "http://host"}) == {
        "HOME": "http://host"
    }


@pytest.mark.parametrize(
    "name",
    ["PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "ROCM_PATH", "HIP_VISIBLE_DEVICES", "PYTHONPATH", "TZ", "TMPDIR"],
)
def test_the_rest_is(name: str) -> None:
    assert without_secrets({name: "x"}) == {name: "x"}
