"""The whole examination of a node, put together from a plan."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from urllib.parse import urlsplit

from node.app.control import read_handles
from node.app.doctor.engines import EngineExamination
from node.app.doctor.findings import Finding, failed, passed, warned
from node.app.doctor.gateway import GatewayExamination
from node.app.doctor.machine import MachineExamination
from node.app.doctor.outlets import OutletExamination
from node.app.engines import EngineBuilder
from node.app.fleet import OUTBOX_FILE
from node.app.production_plan import ProductionPlan, clipped_job_time, is_claimed
from node.domain.errors import InputFault, InvalidInput, StorageUnavailable
from node.domain.events import Event
from node.domain.identity import NodeSpec
from node.domain.model_names import exact, matches
from node.gateway.deployment import Deployment
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.ports.clock import Clock
from node.settings.policies import to_policies


class _Nobody:
    """Hears events that the findings tell."""

    def emit(self, event: Event, /) -> None:
        del event


def faults_found(faults: Iterable[InputFault]) -> list[Finding]:
    """What is wrong with the settings."""
    return [failed("config", f"{fault.place}: {fault.problem}", fault.remedy) for fault in faults]


async def examine(plan: ProductionPlan, clock: Clock, faults: Sequence[InputFault] = ()) -> AsyncIterator[Finding]:
    """Look at everything that the node of this plan needs; findings come as they are made. Never raises.

    ``faults`` are why the plan is not whole: what it has is looked at all the same. The gateway and the engines are asked
    at the same time, so that the whole takes half a minute where all are silent.
    """
    spec = _chosen(plan)
    for finding in _settings(plan, spec, faults):
        yield finding
    for finding in _machine(plan, spec).findings():
        yield finding
    try:
        tls = client_context(plan.settings.gateway.ca_file)
    except InvalidInput as error:
        for finding in faults_found(error.faults):
            yield finding
        return
    loop = asyncio.get_running_loop()
    engines = loop.create_task(_engines(plan, clock, tls), name="ask engines")
    outlets = loop.create_task(OutletExamination(plan.settings).findings(), name="ask outlets")
    try:
        if plan.settings.gateway.url:
            async for finding in _gateway(plan, spec, clock, tls).findings():
                yield finding
        for finding in [*await engines, *await outlets]:
            yield finding
    finally:
        for asked in (engines, outlets):
            asked.cancel()
        await asyncio.wait([engines, outlets])


def _chosen(plan: ProductionPlan) -> NodeSpec | None:
    """The first identity that no process holds, which is the one that a node would take; else the first."""
    free = (spec for spec in plan.candidates if not is_claimed(plan, spec))
    return next(free, plan.candidates[0] if plan.candidates else None)


def _settings(plan: ProductionPlan, spec: NodeSpec | None, faults: Sequence[InputFault]) -> Iterator[Finding]:
    yield from faults_found(faults)
    if not faults and spec is not None:
        yield passed("config", f"the settings can be used; the node is {spec.node_id}, the worker {plan.worker}")
    for fault in plan.passed_over:
        yield warned("config", f"a row is passed over: {fault.place}: {fault.problem}", fault.remedy)
    if note := clipped_job_time(plan.settings):
        yield warned("config", note, "lower WORKER_TIMEOUT, or set gateway.lease_s to what the gateway grants")


def _machine(plan: ProductionPlan, spec: NodeSpec | None) -> MachineExamination:
    health = plan.settings.health
    left: list[str] = []
    with suppress(StorageUnavailable):
        left = [handle.url for handle in read_handles(plan.state_dir) if spec and handle.node == spec.node_id]
    return MachineExamination(
        state_dir=plan.state_dir,
        outbox=None if spec is None else plan.folder(spec) / OUTBOX_FILE,
        min_free_bytes=plan.settings.outbox.min_free_bytes,
        host=health.host,
        port=health.port if health.enabled else 0,
        hardware=plan.hardware,
        own_port=urlsplit(left[0]).port or 0 if left else 0,
    )


def _gateway(plan: ProductionPlan, spec: NodeSpec | None, clock: Clock, tls: ssl.SSLContext) -> GatewayExamination:
    gateway, policies = plan.settings.gateway, to_policies(plan.settings)
    return GatewayExamination(
        spec=spec,
        deployment=Deployment(gateway.url, gateway.effective_auth_url, gateway.node_version),
        timeouts=policies.timeouts,
        proxy_policy=policies.proxy,
        transports=HttpxTransportFactory(tls, trust_env=gateway.trust_env_proxies),
        clock=clock,
    )


async def _engines(plan: ProductionPlan, clock: Clock, tls: ssl.SSLContext) -> list[Finding]:
    if not plan.engines.entries:
        return []
    builder = EngineBuilder(
        *(plan.engines, plan.settings, tls, clock, random.Random(), _Nobody(), lambda: None), falls_back=False
    )
    models = plan.settings.models
    wanted = dict.fromkeys([*exact(models.allowed), *(models.preload if models.preload_enabled else ())])
    async with AsyncExitStack() as stack:
        engines = builder.build()
        stack.push_async_callback(engines.executor.aclose)
        for library in engines.libraries:
            stack.push_async_callback(library.aclose)
        examination = EngineExamination(
            libraries=engines.libraries,
            executors=engines.raw,
            offered=lambda model: matches(model, models.allowed),
            wanted=() if models.pull else tuple(wanted),
            clock=clock,
        )
        return [finding async for finding in examination.findings()]
