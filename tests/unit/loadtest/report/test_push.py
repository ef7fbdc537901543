"""Metrics to a Pushgateway: over real HTTP, verified, and without a word of its credentials."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from node.domain.errors import InvalidInput, TransportError
from node.domain.secret import Secret
from node.gateway.tls import client_context
from node.loadtest.report.exposition import exposed, final_families
from node.loadtest.report.push import push, push_target
from tests.contract.transport.certificates import make_authority, make_server, server_context, write_certificate
from tests.unit.loadtest.report.outcomes import broken, hostile
from tests.unit.loadtest.report.pushgateways import pushgateway


def test_what_is_pushed_are_the_final_figures_by_plan() -> None:
    with pushgateway() as there:
        push(broken(), push_target(Secret(there.url + "/"), "--push-metrics"), client_context())
    ((request, headers, body),) = there.pushed
    assert request == "PUT /metrics/job/llm_loadtest/plan/test"
    assert body == exposed(final_families(broken()))
    assert headers["content-type"].startswith("text/plain; version=")
    assert "authorization" not in headers


def test_credentials_of_the_address_are_sent_and_not_repeated() -> None:
    with pushgateway(401, b"who are you?\nsecond line") as there:
        url = there.url.replace("http://", "http://user:p%40ss-word@")
        target = push_target(Secret(url), "--push-metrics")
        with pytest.raises(TransportError) as caught:
            push(broken(), target, client_context())
    assert there.pushed[0][1]["authorization"] == f"Basic {base64.b64encode(b'user:p@ss-word').decode()}"
    assert str(caught.value) == f"{there.url}: HTTP 401, who are you? second line"
    assert "ss-word" not in repr(target)


def test_hostile_names_make_one_path() -> None:
    with pushgateway() as there:
        push(hostile(), push_target(Secret(there.url), "--push-metrics"), client_context())
    ((request, _, _),) = there.pushed
    assert request.startswith("PUT /metrics/job/llm_loadtest/plan@base64/")
    assert request.count("/") == 5


def test_no_redirect_is_followed() -> None:
    with pushgateway() as other, pushgateway(307, location=f"{other.url}/metrics") as there:
        with pytest.raises(TransportError, match="HTTP 307"):
            push(broken(), push_target(Secret(there.url), "--push-metrics"), client_context())
        assert other.pushed == []


def test_nobody_there() -> None:
    with pytest.raises(TransportError, match="refused"):
        push(broken(), push_target(Secret("http://u:hunter22@127.0.0.1:1"), "--push-metrics"), client_context())


def test_tls_is_verified(tmp_path: Path) -> None:
    authority = make_authority()
    trusted = client_context(write_certificate(authority, tmp_path / "ca.pem"))
    with pushgateway(tls=server_context(make_server(authority), tmp_path)) as there:
        target = push_target(Secret(there.url), "--push-metrics")
        with pytest.raises(TransportError, match=r"(?i)certificate"):
            push(broken(), target, client_context())
        assert there.pushed == []
        push(broken(), target, trusted)
        assert len(there.pushed) == 1


@pytest.mark.parametrize(
    "url",
    ["", "push.example:9091", "ftp://push", "http://", "http://a/?b=c", "http://a/#b", "http://a:port", "http://\x00"],
)
def test_what_is_no_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        push_target(Secret(url.replace("//", "//user:hunter22@")), "--push-metrics")
    assert "hunter22" not in str(caught.value)
    assert "--push-metrics" in str(caught.value)
