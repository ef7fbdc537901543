"""All settings in one model; what each section holds is in `node.settings.sections`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from node.settings.sections.engines import (
    BreakerSettings,
    EnginesSettings,
    ModelSettings,
    OpenAiSettings,
    RuleSettings,
)
from node.settings.sections.execution import ExecutorSettings, OllamaSettings, StoredSettings, SyntheticSettings
from node.settings.sections.fleet import FleetSettings, NodeSettings, ProxySettings, StopSettings
from node.settings.sections.gateway import (
    AuthSettings,
    GatewaySettings,
    RetrySettings,
    SessionSettings,
    TimeoutSettings,
)
from node.settings.sections.keeping import LoggingSettings, OutboxSettings
from node.settings.sections.production import (
    EventSettings,
    GateSettings,
    HealthSettings,
    IdentitySettings,
    TracingSettings,
    WorkerSettings,
)
from node.settings.sections.sandbox import SandboxSettings, WorkloadSettings
from node.settings.vocabulary import FilePath, setting

_SPARE_S: Final = 1.0
_SHORTEST_JOB_S: Final = 0.1


class Settings(BaseSettings):
    """The settings of one run, immutable and valid each by itself.

    Made of layers, the first wins; what none of them names has its default. Nothing is read from the
    process's environment or from files here: `node.settings.load` does that and also checks that settings
    fit each other.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True, env_file=None
    )

    state_dir: FilePath = setting(
        Path("state"),
        "Folder for the outbox, logs and other state; it is made where it is missing.",
        flag="--state-dir",
    )
    gateway: GatewaySettings = GatewaySettings()
    timeouts: TimeoutSettings = TimeoutSettings()
    retry: RetrySettings = RetrySettings()
    session: SessionSettings = SessionSettings()
    auth: AuthSettings = AuthSettings()
    node: NodeSettings = NodeSettings()
    fleet: FleetSettings = FleetSettings()
    proxy: ProxySettings = ProxySettings()
    stop: StopSettings = StopSettings()
    executors: ExecutorSettings = ExecutorSettings()
    stored: StoredSettings = StoredSettings()
    ollama: OllamaSettings = OllamaSettings()
    synthetic: SyntheticSettings = SyntheticSettings()
    identity: IdentitySettings = IdentitySettings()
    worker: WorkerSettings = WorkerSettings()
    engines: EnginesSettings = EnginesSettings()
    openai: OpenAiSettings = OpenAiSettings()
    models: ModelSettings = ModelSettings()
    breaker: BreakerSettings = BreakerSettings()
    rules: RuleSettings = RuleSettings()
    gates: GateSettings = GateSettings()
    health: HealthSettings = HealthSettings()
    tracing: TracingSettings = TracingSettings()
    events: EventSettings = EventSettings()
    outbox: OutboxSettings = OutboxSettings()
    logging: LoggingSettings = LoggingSettings()
    sandbox: SandboxSettings = SandboxSettings()
    workload: WorkloadSettings = WorkloadSettings()

    def __init__(self, layers: Sequence[Mapping[str, Any]] = ()) -> None:
        """Take layers, the strongest first: each maps sections to tables of settings.

        Raises:
            pydantic.ValidationError: a value is not usable, or a name is unknown.
        """
        super().__init__(layers=layers)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The given layers and nothing else."""
        del env_settings, dotenv_settings, file_secret_settings
        if not isinstance(init_settings, InitSettingsSource):
            return (init_settings,)
        return tuple(InitSettingsSource(settings_cls, dict(layer)) for layer in init_settings.init_kwargs["layers"])

    @property
    def longest_job_s(self) -> float:
        """The longest that a job may take for its result to come, after one failed sending, before its lease ends."""
        return max(_SHORTEST_JOB_S, self.lease_s - 2 * self.timeouts.result_s - _SPARE_S)

    @property
    def job_deadline_s(self) -> float:
        """The time for one job."""
        asked_s = self.worker.timeout_s
        return min(asked_s, self.longest_job_s) if asked_s else self.node.job_deadline_s

    @property
    def lease_s(self) -> float:
        """Seconds that a claimed job is its node's: ``gateway.lease_s``, or the sandbox's where that is used."""
        return self.gateway.lease_s if self.gateway.url else self.sandbox.lease_s
