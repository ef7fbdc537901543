"""The engines of a node in production: which there are, what each is asked for, and when one is left alone."""

from __future__ import annotations

from node.domain.secret import Secret
from node.settings.vocabulary import (
    EngineEntries,
    FallbackUse,
    Hidden,
    Milliseconds,
    Number,
    OptionalBaseUrl,
    OptionalPath,
    Section,
    Texts,
    Whole,
    seconds,
    setting,
)


class EnginesSettings(Section):
    """The engines of `node`. Where none is listed, there are those that openai.url and ollama.url name, or Ollama here."""

    list: EngineEntries = setting(
        (),
        "Engines as NAME=KIND:URL, KIND being ollama or openai, such as gpu0=ollama:http://127.0.0.1:11434 or"
        " vllm=openai:http://127.0.0.1:8000/v1. A job goes to the one with the most free"
        " slots among those that have its model.",
    )
    routes: Texts = setting(
        (),
        "Which engines run which models, as PATTERN=ENGINE+ENGINE, the first to match counts: llama*=gpu0+vllm. Models"
        " that no route names are offered to all engines in turn.",
    )
    per_model: Texts = setting(
        (), "Jobs of a model that run at the same time at most, as PATTERN=NUMBER; others wait their turn."
    )
    fallbacks: Texts = setting(
        (),
        "Models to run where another cannot be, as PATTERN=MODEL+MODEL: llama3.1:70b=llama3.1:8b. The result names the"
        " model that ran.",
    )
    use_fallbacks: FallbackUse = setting(
        "owned",
        "Whether fallbacks count: owned (towards gateways that gateway.owned lists), always, or never.",
    )
    timeout_s: Number = seconds(300, "Time for one request to an engine.", ge=1, env=Milliseconds("OLLAMA_TIMEOUT"))
    first_piece_s: Number = seconds(
        180, "Time until an engine's first piece of an answer, the loading of the model included. 0: no limit."
    )
    silent_s: Number = seconds(30, "Silence in an answer after which the engine is given up. 0: no limit.")
    retries: Whole = setting(
        3,
        "How often a request that failed before its first piece is repeated.",
        ge=0,
        le=100,
        env="OLLAMA_MAX_RETRIES",
    )


class OpenAiSettings(Section):
    """An OpenAI-compatible server: vLLM, llama.cpp, SGLang, LM Studio, Exo."""

    url: OptionalBaseUrl = setting(
        "", "Base address of the server, its /v1 included. Empty: there is none.", env="OPENAI_BASE_URL"
    )
    api_key: Hidden = setting(Secret(""), "Key for this kind of server, where they ask for one.", env="OPENAI_API_KEY")
    connect_s: Number = seconds(5, "Time to connect.", ge=0.1, le=600)
    recheck_s: Number = seconds(5, "How long a missing server is left alone before it is looked for again.", ge=0.1)


class BreakerSettings(Section):
    """The circuit breaker before each engine and model."""

    enabled: bool = setting(
        default=True,
        description="Leave an engine alone whose model fails again and again.",
        env="ENABLE_CIRCUIT_BREAKER",
    )
    failures: Whole = setting(
        5,
        "Failed requests in a row, retries counted, that open the circuit.",
        ge=1,
        le=1000,
        env="CIRCUIT_BREAKER_THRESHOLD",
    )
    open_s: Number = seconds(
        60,
        "How long it stays open before one job is let through to try.",
        ge=0.1,
        env=Milliseconds("CIRCUIT_BREAKER_TIMEOUT"),
    )


class ModelSettings(Section):
    """The models of the engines: which are offered, loaded and fetched."""

    allowed: Texts = setting(
        (),
        "Models that are offered and run, by name or pattern such as llama3*. Empty: all that engines have.",
        env="ALLOWED_MODELS",
    )
    preload_enabled: bool = setting(
        default=True, description="Load the models of the preload list at the start.", env="MODEL_PRELOAD_ENABLED"
    )
    preload: Texts = setting((), "Models that are loaded at the start and stay.", env="MODEL_PRELOAD_LIST")
    pull: bool = setting(
        default=False, description="Fetch models that are allowed by name, or asked to be preloaded, and are not there."
    )
    pull_free_gb: Number = setting(
        20, "Free space on the disk below which no model is fetched.", unit="GB", ge=0, le=1_000_000
    )
    memory_threshold: Number = setting(
        0.8,
        "Share of memory, on the GPU where that can be read, above which idle models are unloaded.",
        unit="share",
        ge=0.05,
        le=1,
        env="MODEL_MEMORY_THRESHOLD",
    )
    refresh_s: Number = seconds(30, "How often engines are asked which models they have.", ge=1, le=3600)
    grace_s: Number = seconds(
        120, "How long models of an engine that is missing stay on offer, so that its restart goes unnoticed.", le=3600
    )


class RuleSettings(Section):
    """What a job must keep to; one that does not is answered with an error that names the rule."""

    max_messages: Whole = setting(1000, "Messages of a conversation.", ge=1, le=1_000_000)
    max_message_chars: Whole = setting(1_000_000, "Length of a message.", unit="characters", ge=1, le=1_000_000_000)
    max_chars: Whole = setting(4_000_000, "Length of a conversation.", unit="characters", ge=1, le=1_000_000_000)
    max_inputs: Whole = setting(10_000, "Texts of a job that asks for embeddings.", ge=1, le=10_000_000)
    max_scanned_chars: Whole = setting(
        50_000,
        "Length of a job beyond which it is refused where deny_file holds expressions: more is not searched.",
        unit="characters",
        ge=1,
        le=1_000_000_000,
    )
    roles: Texts = setting(("system", "user", "assistant", "tool"), "Roles that messages may have. Empty: any.")
    deny_file: OptionalPath = setting(
        None,
        "File of regular expressions, one a line; a job one of whose messages matches is refused. Each repeat must have"
        " an end, such as \\s{1,20} or .{0,200}, so that no text can keep the search busy.",
    )
    allow_file: OptionalPath = setting(
        None, "File of regular expressions, one a line; a job whose last message of a user matches none is refused."
    )
