"""What a node in production needs, read and checked before the event loop starts."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from node.app.control import NODES_FOLDER
from node.app.engines import EnginePlan, plan_engines
from node.app.ownership import is_own
from node.domain.errors import InputFault, InvalidInput, StorageError, StorageInUse, StorageUnavailable
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.secret import Secret
from node.executors.rules import RulesPolicy
from node.runtime.filelock import FileLock
from node.settings.foreign_secrets import secrets_of_address, secrets_of_login, secrets_of_query
from node.settings.identity import Identities, read_identities
from node.settings.load import Loaded
from node.settings.model import Settings
from node.settings.roster import UNKNOWN_MACHINE

_CLAIM_FILE = "node"
"""Beside it stands the lock by which a process holds an identity."""

_TRIAL = Identity(NodeId("dry-run"), Secret("no-secret-at-all"), AccountId("dry-run"), "none")


@dataclass(frozen=True, slots=True)
class ProductionPlan:
    """A run of a node in production. ``state_dir`` and ``logs`` are absolute, ``logs`` None where they have no folder
    of their own; ``worker`` names the process.

    ``candidates`` are the identities that it may take, in order; ``falls_back`` says whether other models may run than
    were asked for; ``foreign`` are secrets of the environment that are no settings; ``passed_over`` is what was wrong with
    rows of the roster that cannot be used.
    """

    settings: Settings
    candidates: tuple[NodeSpec, ...]
    hardware: Hardware
    engines: EnginePlan
    state_dir: Path
    logs: Path | None
    worker: str
    falls_back: bool
    is_dry_run: bool = False
    foreign: tuple[Secret, ...] = ()
    passed_over: tuple[InputFault, ...] = ()

    def secrets(self) -> Iterable[Secret]:
        """All secrets that the settings hold, empty ones included: none may appear anywhere."""
        settings = self.settings
        for spec in self.candidates:
            yield spec.identity.secret
            if spec.proxy is not None:
                yield spec.proxy.password
                yield spec.proxy.credentials
        yield from (settings.gateway.jwt_key, settings.openai.api_key, settings.identity.secret)
        yield from secrets_of_login(settings.identity.proxy.reveal())
        yield from secrets_of_address(settings.events.webhook.reveal())
        yield from secrets_of_query(settings.tracing.url)
        yield from self.foreign

    def folder(self, spec: NodeSpec) -> Path:
        """Where this node keeps its outbox and control file, and its logs where they have no folder elsewhere."""
        return self.state_dir / NODES_FOLDER / quote(spec.node_id, safe="")

    def log_folder(self, spec: NodeSpec) -> Path | None:
        """Where this node's logs are; None where the settings name no folder for logs."""
        return None if self.logs is None else self.logs / quote(spec.node_id, safe="")


@dataclass(frozen=True, slots=True)
class Claim:
    """An identity that this process holds until `release`: no other process on this state folder takes it."""

    spec: NodeSpec
    folder: Path
    lock: FileLock

    def release(self) -> None:
        """Give it up."""
        self.lock.release()


def plan_production(
    loaded: Loaded, cwd: Path, hardware: Hardware, *, node: str = "", claim: bool = False, dry_run: bool = False
) -> ProductionPlan:
    """Read who the node is, and its engines' settings. Reading blocks.

    Raises:
        InvalidInput: with everything that is missing or cannot be used.
    """
    plan, faults = read_production(loaded, cwd, hardware, node=node, claim=claim, dry_run=dry_run)
    if faults:
        raise InvalidInput(faults)
    return plan


def read_production(
    loaded: Loaded, cwd: Path, hardware: Hardware, *, node: str = "", claim: bool = False, dry_run: bool = False
) -> tuple[ProductionPlan, tuple[InputFault, ...]]:
    """As `plan_production`, with what is wrong: the plan lacks candidates, gateway or engines where they cannot be read."""
    settings = loaded.settings
    faults: list[InputFault] = []
    candidates: Sequence[NodeSpec] = ()
    passed_over: tuple[InputFault, ...] = ()
    try:
        candidates, passed_over = _candidates(loaded, cwd, node=node, claim=claim, dry_run=dry_run)
    except InvalidInput as error:
        faults += error.faults
    engines = EnginePlan((), (), (), (), RulesPolicy(), settings.worker.slots)
    try:
        engines = plan_engines(loaded, cwd)
    except InvalidInput as error:
        faults += error.faults
    if not settings.gateway.url and not dry_run:
        remedy = "set API_GATEWAY_URL, or try everything against a sandbox with --dry-run"
        faults.append(InputFault("gateway", "no gateway is named", remedy, column="gateway.url"))
    if dry_run:
        settings, candidates = _on_this_machine(settings, candidates)
    plan = ProductionPlan(
        settings=settings,
        candidates=tuple(replace(spec, hardware=hardware) for spec in candidates),
        hardware=hardware,
        engines=engines,
        state_dir=(cwd / settings.state_dir).resolve(),
        logs=None if settings.logging.folder is None else (cwd / settings.logging.folder).resolve(),
        worker=settings.worker.id or platform.node() or "worker",
        falls_back=dry_run or _falls_back(settings),
        is_dry_run=dry_run,
        foreign=loaded.foreign,
        passed_over=passed_over,
    )
    return plan, tuple(faults)


def claim_identity(plan: ProductionPlan) -> Claim:
    """Take the first identity of the plan that no other process holds. Blocks.

    Raises:
        StorageInUse: all of them are held.
        StorageUnavailable: the state folder cannot be used.
    """
    for spec in plan.candidates:
        folder = plan.folder(spec)
        try:
            return Claim(spec, folder, FileLock.take(folder / _CLAIM_FILE))
        except StorageInUse:
            continue
        except StorageUnavailable as error:
            remedy = "let this user write there, or name another folder with --state-dir"
            raise StorageUnavailable(f"{error}; {remedy}") from error
    names = ", ".join(spec.node_id for spec in plan.candidates[:5])
    unusable = "".join(f"\n{fault}" for fault in plan.passed_over)
    remedy = "look at them with 'status', or end one with 'drain'; a roster may have more rows"
    problem = f"every node that this process may be runs already on {plan.state_dir}: {names}"
    raise StorageInUse(f"{problem}; {remedy}{unusable}")


def is_claimed(plan: ProductionPlan, spec: NodeSpec) -> bool:
    """Whether a process holds this identity, as far as this user may know. Blocks."""
    file = plan.folder(spec) / _CLAIM_FILE
    try:
        if FileLock.is_there(file):
            FileLock.take(file).release()
    except StorageError:
        return True
    return False


def clipped_job_time(settings: Settings) -> str:
    """That jobs get less time than was asked for, as a sentence without its full stop; empty where they do not."""
    asked_s, longest_s = settings.worker.timeout_s, settings.longest_job_s
    if asked_s <= longest_s:
        return ""
    return (
        f"WORKER_TIMEOUT asks for {asked_s:g} s a job, and jobs get {longest_s:g} s: more is not left of the gateway's"
        f" lease of {settings.lease_s:g} s (gateway.lease_s) when a result may take twice timeouts.result_s"
    )


def _candidates(loaded: Loaded, cwd: Path, *, node: str, claim: bool, dry_run: bool) -> Identities:
    if dry_run and not node and not claim and not loaded.settings.identity.id:
        return Identities((NodeSpec(_TRIAL, UNKNOWN_MACHINE, ()),))
    return read_identities(loaded, cwd, node=node, claim=claim)


def _on_this_machine(settings: Settings, candidates: Sequence[NodeSpec]) -> tuple[Settings, Sequence[NodeSpec]]:
    """The same without what belongs to the real gateway: the key of its tokens, and the way there by proxies."""
    own = {"jwt_key": Secret(""), "jwks_url": "", "trust_env_proxies": False}
    settings = settings.model_copy(update={"gateway": settings.gateway.model_copy(update=own)})
    return settings, [replace(spec, proxy=None) for spec in candidates]


def _falls_back(settings: Settings) -> bool:
    match settings.engines.use_fallbacks:
        case "owned":
            return is_own(settings.gateway.url, settings.gateway.owned)
        case wanted:
            return wanted == "always"
