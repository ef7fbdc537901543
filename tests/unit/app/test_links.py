"""A node's link to its gateway, as the parts of a fleet are joined."""

from __future__ import annotations

import random
from typing import NoReturn

from node.app.links import GatewayLinks
from node.domain.policies import RetryPolicy
from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret
from node.domain.verdict import Ruling
from node.gateway.deployment import ClientPolicy, Deployment, Surroundings
from node.observability.redaction import Redactor
from node.ports.transport import Transport
from node.runtime.signals import Signal
from tests.support.events import RecordingSink
from tests.support.virtual_time import VirtualClock
from tests.unit.gateway.bench import SPEC, Gate
from tests.unit.gateway.scripted_gateway import ScriptedGateway
from tests.unit.sources.test_gateway_source import API_KEY, SUCCESS


class Transports:
    """All transports lead to one gateway."""

    def open(self, proxy: ProxyAddress | None) -> Transport:
        assert proxy is None
        return ScriptedGateway()


def lost() -> NoReturn:
    raise AssertionError("nothing was lost")


async def test_what_comes_with_jobs_is_masked_in_the_logs_of_the_whole_program() -> None:
    redactor = Redactor()
    around = Surroundings(
        *(Gate(), VirtualClock(), random.Random(1), RecordingSink()),
        remember=redactor.remember,
        redact=redactor.redact,
    )
    deployment = Deployment("https://gateway.example/", "https://auth.example", "0.0.4")
    links = GatewayLinks(Transports(), deployment, ClientPolicy(RetryPolicy()), around, Signal())
    link = links.open(SPEC, None, lost)
    assert link.source.source_id == link.membership.source_id == "https://gateway.example"
    assert (await link.source.settle(SUCCESS)).ruling is Ruling.SESSION_LOST
    assert redactor.redact(f"{API_KEY} is not shown") == "*** is not shown"
    redactor.remember(Secret("no session"))
    assert (await link.source.settle(SUCCESS)).reason == "the node has ***"
    await link.aclose()
