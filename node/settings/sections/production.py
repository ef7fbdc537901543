"""A node in production: who it is, how much it takes on, when it takes nothing, and how it is watched."""

from __future__ import annotations

from node.domain.secret import Secret
from node.settings.vocabulary import (
    DAY_S,
    Brokers,
    Hidden,
    HiddenUrl,
    KafkaTopic,
    Milliseconds,
    Number,
    OptionalPath,
    OptionalUrl,
    Section,
    Text,
    Whole,
    seconds,
    setting,
)


class IdentitySettings(Section):
    """Who the node of `node` is, where it is not a row of the roster (--node ID, or --claim for any that is free)."""

    id: Text = setting("", "The node's id.", env="NODE_ID")
    secret: Hidden = setting(Secret(""), "Its secret.", env="NODE_SECRET")
    secret_file: OptionalPath = setting(
        None, "File that holds the secret, in place of the secret itself.", env="NODE_SECRET_FILE"
    )
    account_id: Text = setting("", "The account that it belongs to.", env="ACCOUNT_ID")
    pub_key: Text = setting("", "The account's public key.", env="NODE_PUB_KEY")
    proxy: Hidden = setting(Secret(""), "Its proxy, as in proxies.txt. Empty: it connects directly.", env="NODE_PROXY")


class WorkerSettings(Section):
    """The process that runs a node in production, and how much it takes on."""

    id: Text = setting("", "Names the process in logs and metrics. Empty: the machine's name.", env="WORKER_ID")
    slots: Whole = setting(
        0,
        "Jobs at the same time. 0: as many as the engines together say, when the node starts, that they run at once, where 5"
        " stands for one that does not say or is not there yet.",
        ge=0,
        le=256,
        env=("WORKER_CONCURRENCY", "OLLAMA_NUM_PARALLEL"),
    )
    batch_size: Whole = setting(
        10,
        "Texts in one request for embeddings, and jobs that are claimed one right after the other.",
        ge=1,
        le=10_000,
        env="WORKER_BATCH_SIZE",
    )
    timeout_s: Number = seconds(
        0,
        "Time for one job from its receipt, held to what the gateway's lease allows. 0: as long as whoever asked waits,"
        " where the job tells, and node.job_deadline_s at most.",
        env=Milliseconds("WORKER_TIMEOUT"),
    )


class GateSettings(Section):
    """When a node claims no job, though it has a free slot."""

    max_memory: Number = setting(
        0.95, "Share of the machine's memory in use above which nothing is claimed.", unit="share", ge=0.05, le=1
    )
    failure_streak: Whole = setting(
        10, "Jobs failed by engines in a row after which the node rests. 0: it never does.", ge=0, le=10_000
    )
    failure_rest_s: Number = seconds(60, "How long it rests then, before it tries one job.", ge=0.1)
    idle_only: bool = setting(default=False, description="Claim only while nobody else uses the GPU.")
    gpu_busy: Number = setting(
        0.3, "Share of the GPU's time, without a job of this node, that counts as used.", unit="share", ge=0.01, le=1
    )
    gpu_idle_s: Number = seconds(60, "How long the GPU must have been idle before jobs are claimed again.", le=DAY_S)
    sample_s: Number = seconds(5, "How often memory, disk and GPU are looked at.", ge=0.5, le=3600)


class HealthSettings(Section):
    """The port on which a node in production is watched and steered."""

    enabled: bool = setting(default=True, description="Serve health, metrics and control.")
    host: Text = setting(
        "127.0.0.1", "Address to listen on; 0.0.0.0 in a container, so that probes reach it.", env="HEALTH_HOST"
    )
    port: Whole = setting(3008, "Port to listen on. 0: one that is free.", ge=0, le=65535, env="HEALTH_PORT")
    ready_poll_s: Number = seconds(
        60, "Age of the last poll above which the node does not count as ready.", ge=1, le=DAY_S
    )


class TracingSettings(Section):
    """Traces to an OpenTelemetry collector (extra: tracing), and profiles in the log and the metrics."""

    url: OptionalUrl = setting(
        "",
        "The collector's OTLP/HTTP address, such as http://127.0.0.1:4318. Empty: no traces.",
        env="OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    sample_rate: Number = setting(
        0.1,
        "Share of the jobs that are traced and profiled: each has a line in the log that says where its time went.",
        unit="share",
        ge=0,
        le=1,
        env="PERFORMANCE_SAMPLE_RATE",
    )


class EventSettings(Section):
    """Events to other systems: a Kafka topic (extra: kafka), and a web address for errors."""

    kafka: Brokers = setting((), "Kafka's bootstrap servers, as host:port. Empty: no events.", env="KAFKA_BROKERS")
    topic: KafkaTopic = setting("llm-node-events", "The topic.", env="KAFKA_TOPIC")
    webhook: HiddenUrl = setting(
        Secret(""),
        "Address that error events are posted to, as JSON; it may hold a secret. Empty: none.",
        env="ERROR_WEBHOOK_URL",
    )
