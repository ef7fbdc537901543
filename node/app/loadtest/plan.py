"""What a load test needs, read and checked before the event loop starts."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.app.ownership import check_own
from node.domain.errors import InputFault, InvalidInput
from node.domain.identity import NodeSpec
from node.domain.secret import Secret
from node.executors.prompt_book import PromptBook
from node.executors.prompts import load_prompts
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.plan.model import RealEngine
from node.loadtest.plan.overrides import parse_override
from node.loadtest.plan.reading import read_scenario
from node.loadtest.plan.scenario import Scenario, Schedule
from node.sandbox.bugs import Bug, parse_bugs
from node.settings.inputs import prompt_files
from node.settings.load import Loaded
from node.settings.model import Settings
from node.settings.roster import load_roster
from node.settings.text_file import display_path

_EXAMPLES: Final = 1000
"""Ids that a report has of each kind of finding: all that anybody looks up, and still a small file."""


@dataclass(frozen=True, slots=True)
class LoadTestOrder:
    """What was asked for on the command line.

    ``roster`` None has the nodes made up, and so an empty ``api_key`` the key. ``sandbox_faults`` are bugs to plant, as `parse_bugs` reads them.
    ``exclusive`` says that nobody else uses the gateway while the test runs. ``overrides`` take the place of what the
    plan says, as `node.loadtest.plan.overrides.parse_override` reads them.
    """

    plan_file: Path
    roster: Path | None
    api_key: Secret
    sandbox_faults: tuple[str, ...] = ()
    exclusive: bool = False
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadTestPlan:
    """A load test that can be begun. ``key`` is what secrets of made-up nodes are derived from."""

    settings: Settings
    scenario: Scenario
    schedule: Schedule
    roster: tuple[NodeSpec, ...] | None
    prompts: PromptBook
    bugs: tuple[Bug, ...]
    api_key: Secret
    key: Secret
    exclusive: bool
    state_dir: Path

    @property
    def uses_sandbox(self) -> bool:
        """Whether no gateway is configured, so that the bundled one is started."""
        return not self.settings.gateway.url

    @property
    def warnings(self) -> tuple[InputFault, ...]:
        """What the plan says that is hardly meant, there where it is run."""
        scenario = self.scenario
        return scenario.warnings if self.uses_sandbox else (*scenario.warnings, *scenario.warnings_elsewhere)

    @property
    def audit_policy(self) -> AuditPolicy:
        """What the audit takes for granted; the lease is the plan's alone, since a wrong one would accuse a gateway."""
        plan, on_sandbox = self.scenario.plan, self.uses_sandbox
        lease_s, copies = plan.lease_s(on_sandbox=on_sandbox), plan.copies(on_sandbox=on_sandbox)
        is_ours = on_sandbox or self.exclusive
        return AuditPolicy(lease_s=lease_s, copies=copies, owns_nodes=is_ours, owns_jobs=is_ours, examples=_EXAMPLES)

    def secrets(self) -> Iterable[Secret]:
        """All secrets that files, settings and flags hold."""
        yield from (self.api_key, self.key, self.settings.gateway.jwt_key)
        for spec in self.roster or ():
            yield spec.identity.secret


def plan_load_test(order: LoadTestOrder, loaded: Loaded, cwd: Path) -> LoadTestPlan:
    """Read plan, roster and prompts, and check that the gateway may be tested. Reading blocks.

    Raises:
        InvalidInput: a file or flag cannot be used.
        NotAllowed: the gateway is neither on loopback nor declared as the operator's own.
    """
    gateway = loaded.settings.gateway
    check_own([url for url in (gateway.url, gateway.auth_url) if url], gateway.owned)
    bugs = parse_bugs(order.sandbox_faults, "--sandbox-fault")
    if bugs and gateway.url:
        problem, remedy = "bugs can be planted into the bundled sandbox alone", "leave it or the gateway out"
        raise InvalidInput([InputFault("--sandbox-fault", problem, remedy)])
    overrides = tuple(map(parse_override, order.overrides))
    scenario = read_scenario(cwd / order.plan_file, display_path(order.plan_file, cwd), overrides)
    schedule = Schedule(scenario)
    roster = None if order.roster is None else _roster(order.roster, cwd, schedule.population.peak)
    is_real = isinstance(scenario.plan.engine, RealEngine)
    book, _ = load_prompts(prompt_files(loaded, cwd) if is_real else ())
    return LoadTestPlan(
        settings=loaded.settings,
        scenario=scenario,
        schedule=schedule,
        roster=roster,
        prompts=book,
        bugs=bugs,
        api_key=order.api_key or Secret(secrets.token_urlsafe(16)),
        key=Secret(secrets.token_urlsafe(32)),
        exclusive=order.exclusive,
        state_dir=(cwd / loaded.settings.state_dir).resolve(),
    )


def _roster(path: Path, cwd: Path, needed: int) -> tuple[NodeSpec, ...]:
    place = display_path(path, cwd)
    roster = load_roster(cwd / path, place=place)
    if len(roster.nodes) < needed:
        problem = f"{len(roster.nodes)} usable nodes are fewer than the {needed} of the plan"
        fault = InputFault(place, problem, "add rows, or lower the numbers of the plan's stages")
        raise InvalidInput([*roster.faults, fault])
    return tuple(roster.nodes)
