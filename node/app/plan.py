"""What a run of a fleet needs, read and checked before the event loop starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from node.app.ownership import check_own
from node.domain.errors import InputFault, InvalidInput
from node.domain.identity import NodeSpec
from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret
from node.executors.prompt_book import PromptBook
from node.executors.prompts import load_prompts
from node.settings.inputs import prompt_files, read_fleet_inputs
from node.settings.load import Loaded
from node.settings.model import Settings


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Settings and files of one run. ``warnings`` are faults of rows, lines and cells that were left out.

    ``simulated_roster`` says that there is no roster and the nodes were made up. ``state_dir`` is absolute, and so is
    ``log_folder``, None where the settings name none. ``seed``
    decides every draw of the fleet and of the sandbox; None: another one each time. ``foreign`` are secrets of the
    environment that are no settings.
    """

    settings: Settings
    nodes: tuple[NodeSpec, ...]
    proxies: tuple[ProxyAddress, ...]
    prompts: PromptBook
    state_dir: Path
    warnings: tuple[InputFault, ...] = ()
    simulated_roster: bool = False
    seed: int | None = None
    log_folder: Path | None = None
    foreign: tuple[Secret, ...] = ()

    @property
    def uses_sandbox(self) -> bool:
        """Whether no gateway is configured, so that the bundled one is started."""
        return not self.settings.gateway.url

    def secrets(self) -> Iterable[Secret]:
        """All secrets that the files and settings hold, empty ones included: none may appear anywhere."""
        for spec in self.nodes:
            yield spec.identity.secret
        for proxy in (*self.proxies, *(spec.proxy for spec in self.nodes if spec.proxy is not None)):
            yield proxy.password
            yield proxy.credentials
        yield self.settings.gateway.jwt_key
        yield from self.foreign


def plan_fleet(loaded: Loaded, cwd: Path, seed: int | None = None) -> FleetPlan:
    """Read the files that the settings name and check that the gateway may be simulated against. Reading blocks.

    Raises:
        InvalidInput: a file cannot be used, or anything is wrong in one and ``fleet.strict`` is set.
        NotAllowed: the gateway is neither on loopback nor declared as the operator's own.
    """
    settings = loaded.settings
    gateway = settings.gateway
    check_own([url for url in (gateway.url, gateway.auth_url) if url], gateway.owned)
    inputs = read_fleet_inputs(loaded, cwd)
    book, prompt_faults = load_prompts(prompt_files(loaded, cwd))
    if prompt_faults and settings.fleet.strict:
        raise InvalidInput([*inputs.faults, *prompt_faults])
    return FleetPlan(
        settings=settings,
        nodes=inputs.nodes,
        proxies=inputs.proxies,
        prompts=book,
        state_dir=(cwd / settings.state_dir).resolve(),
        warnings=(*inputs.faults, *prompt_faults),
        simulated_roster=inputs.simulated,
        seed=seed,
        log_folder=None if settings.logging.folder is None else (cwd / settings.logging.folder).resolve(),
        foreign=loaded.foreign,
    )
