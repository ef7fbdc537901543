"""What a shard of a load test is given to do: a document for a process or machine that has no files of the plan's.

It holds no secret of the settings, but those that a shard needs: the developer's key, those of its own nodes, and what
opens a sandbox's control.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node import __version__
from node.app.loadtest.plan import LoadTestPlan
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.secret import Secret
from node.executors.prompt_book import PromptBook, StoredPrompt
from node.loadtest.driver.identities import Identities, MadeIdentities
from node.loadtest.plan.model import Plan
from node.loadtest.plan.scenario import Scenario, Schedule, Shard
from node.loadtest.plan.trace import TraceJob
from node.sandbox.handshake import Handshake
from node.sandbox.policy import SecretText
from node.settings.model import Settings


@dataclass(frozen=True, slots=True)
class ShardGateway:
    """Where the gateway is; ``handshake`` opens the control of a sandbox, ``is_bundled`` one that is the run's own."""

    url: str
    auth_url: str
    handshake: Handshake | None
    is_bundled: bool


@dataclass(frozen=True, slots=True)
class ShardWork:
    """A shard's part of a load test, ready to be carried out."""

    settings: Settings
    scenario: Scenario
    shard: Shard
    gateway: ShardGateway
    identities: Identities
    prompts: PromptBook
    api_key: Secret

    @property
    def schedule(self) -> Schedule:
        """What the shard does when, made anew."""
        return Schedule(self.scenario, self.shard)

    @property
    def node_names(self) -> tuple[str, ...]:
        """Of all nodes that it may ever start."""
        peak = self.schedule.population.peak
        return tuple(self.identities.spec(node).node_id for node in range(self.shard.index, peak, self.shard.count))


class RosterPart:
    """Some rows of a roster, by the plan's numbers of nodes. See `node.loadtest.driver.identities.Identities`."""

    def __init__(self, rows: Mapping[int, NodeSpec]) -> None:
        self._rows = rows

    def spec(self, node: int) -> NodeSpec:
        """See `Identities.spec`."""
        return self._rows[node]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True)


class _Row(_Document):
    number: int
    node_id: str
    secret: SecretText
    account_id: str
    pub_key: str
    hardware: Hardware

    def spec(self, models: tuple[str, ...]) -> NodeSpec:
        account = AccountId(self.account_id)
        return NodeSpec(Identity(NodeId(self.node_id), self.secret, account, self.pub_key), self.hardware, models)


class _Task(_Document):
    version: str
    index: Annotated[int, Field(ge=0)]
    count: Annotated[int, Field(ge=1)]
    settings: dict[str, Any]
    plan: dict[str, Any]
    traces: dict[str, tuple[TraceJob, ...]]
    roster: tuple[_Row, ...] | None
    prompts: tuple[tuple[str, dict[str, tuple[str, ...]]], ...]
    api_key: SecretText
    run: str
    key: SecretText
    url: str
    auth_url: str
    handshake: Handshake | None
    is_bundled: bool


def task_of(plan: LoadTestPlan, shard: Shard, gateway: ShardGateway, run: str) -> bytes:
    """The document, with secrets in clear. ``run`` is what names of nodes that are made up have in common."""
    return (
        _Task(
            version=__version__,
            index=shard.index,
            count=shard.count,
            settings=_told(plan.settings),
            plan=plan.scenario.plan.model_dump(mode="json"),
            traces={str(path): jobs for path, jobs in plan.scenario.traces.items()},
            roster=_rows(plan.roster, shard, plan.schedule.population.peak),
            prompts=tuple((one.text, dict(one.answers)) for one in plan.prompts.prompts),
            api_key=plan.api_key,
            run=run,
            key=plan.key,
            url=gateway.url,
            auth_url=gateway.auth_url,
            handshake=gateway.handshake,
            is_bundled=gateway.is_bundled,
        )
        .model_dump_json()
        .encode()
    )


def read_task(document: bytes) -> ShardWork:
    """The work in a document.

    Raises:
        ValueError: it is not one, or made by another version of this program.
    """
    try:
        task = _Task.model_validate_json(document)
        if task.version != __version__:
            raise ValueError(f"the task is of version {task.version}, and this program is {__version__}")
        traces = {Path(path): jobs for path, jobs in task.traces.items()}
        scenario = Scenario(Plan.model_validate(task.plan), traces)
        settings = Settings([task.settings])
    except ValidationError as error:
        raise ValueError(f"this is no task of a shard: {error.error_count()} errors") from error
    shard = Shard(task.index, task.count)
    models = Schedule(scenario, shard).models_of
    identities: Identities = MadeIdentities(task.run, task.key, models)
    if task.roster is not None:
        identities = RosterPart({row.number: row.spec(models(row.number)) for row in task.roster})
    return ShardWork(
        settings=settings,
        scenario=scenario,
        shard=shard,
        gateway=ShardGateway(task.url, task.auth_url, task.handshake, task.is_bundled),
        identities=identities,
        prompts=PromptBook.of(StoredPrompt(text, answers) for text, answers in task.prompts),
        api_key=task.api_key,
    )


def _rows(roster: tuple[NodeSpec, ...] | None, shard: Shard, peak: int) -> tuple[_Row, ...] | None:
    if roster is None:
        return None
    return tuple(
        _Row(
            number=number,
            node_id=spec.identity.node_id,
            secret=spec.identity.secret,
            account_id=spec.identity.account_id,
            pub_key=spec.identity.pub_key,
            hardware=spec.hardware,
        )
        for number, spec in enumerate(roster[:peak])
        if shard.has(number)
    )


def _told(section: BaseModel) -> dict[str, Any]:
    """What differs from the defaults, secrets left out: a shard asks no service that they would be for."""
    dumped = section.model_dump(mode="json", exclude_defaults=True)
    told: dict[str, Any] = {}
    for name, value in dumped.items():
        match getattr(section, name):
            case Secret():
                continue
            case BaseModel() as inner:
                told[name] = _told(inner)
            case _:
                told[name] = value
    return told
