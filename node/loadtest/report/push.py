"""Final figures to a Prometheus Pushgateway."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import httpx
from prometheus_client import push_to_gateway

from node.domain.errors import InputFault, InvalidInput, TransportError
from node.domain.secret import Secret
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.report.exposition import final_families, registry_of
from node.loadtest.report.markup import plain

JOB: Final = "llm_loadtest"
"""The label ``job`` of what is pushed; the plan's name is the label ``plan``, and each run replaces the last one's."""

_TIMEOUT_S: Final = 10.0
_MOST_REASON: Final = 200


@dataclass(frozen=True, slots=True)
class PushTarget:
    """A Pushgateway: its address without credentials, which are sent as HTTP's basic ones where there are any."""

    address: str
    username: Secret = Secret("")
    password: Secret = Secret("")


def push_target(url: Secret, place: str) -> PushTarget:
    """Read an address such as ``https://user:password@push.example:9091``; ``place`` is the option that gives it.

    Raises:
        InvalidInput: it is none. Nothing of it is repeated there.
    """
    fault = InputFault(place, "this is no address of a Pushgateway", "give one such as http://127.0.0.1:9091")
    try:
        parsed = httpx.URL(url.reveal().strip())
    except (httpx.InvalidURL, ValueError):
        raise InvalidInput([fault]) from None
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.query or parsed.fragment:
        raise InvalidInput([fault])
    username, _, password = parsed.userinfo.decode("ascii", "replace").partition(":")
    address = str(parsed.copy_with(userinfo=b"")).rstrip("/")
    return PushTarget(address, Secret(unquote(username)), Secret(unquote(password)))


def push(outcome: LoadOutcome, target: PushTarget, tls: ssl.SSLContext, *, trust_env: bool = False) -> None:
    """Replace what the Pushgateway has of this plan. It blocks, for ten seconds at most with each step of the exchange.

    ``trust_env`` lets proxies be taken from the environment.

    Raises:
        TransportError: it did not take it; the text holds no credentials.
    """
    auth = httpx.BasicAuth(target.username.reveal(), target.password.reveal()) if target.username else None
    with httpx.Client(verify=tls, auth=auth, trust_env=trust_env) as client:
        push_to_gateway(
            target.address,
            job=JOB,
            registry=registry_of(final_families(outcome)),
            grouping_key={"plan": plain(outcome.plan.name)},
            timeout=_TIMEOUT_S,
            handler=_handler(client, target.address),
        )


def _handler(client: httpx.Client, address: str) -> Callable[..., Callable[[], None]]:
    """What prometheus_client has its requests carried out by: httpx, which follows no redirect."""

    def handler(
        url: str, method: str, timeout: float | None, headers: Sequence[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        def exchange() -> None:
            try:
                with client.stream(method, url, headers=list(headers), content=data, timeout=timeout) as reply:
                    reason = "" if reply.is_success else _reason(reply)
            except httpx.HTTPError as error:
                raise TransportError(f"{address}: {str(error) or type(error).__name__}") from error
            if not reply.is_success:
                raise TransportError(f"{address}: HTTP {reply.status_code}{reason}")

        return exchange

    return handler


def _reason(reply: httpx.Response) -> str:
    """The beginning of what it says, in one line."""
    first = next(reply.iter_bytes(_MOST_REASON), b"")
    text = " ".join(plain(first.decode("utf-8", "replace")).split())
    return f", {text}" if text else ""
