"""What runs a job."""

from __future__ import annotations

from pathlib import Path

from node.domain.policies import Range
from node.settings.vocabulary import (
    BaseUrl,
    Executors,
    GoDuration,
    Number,
    Paths,
    Section,
    Text,
    Thinking,
    Whole,
    seconds,
    setting,
)


class ExecutorSettings(Section):
    """Which executors there are. A job that none of them takes is answered with an error."""

    order: Executors = setting(
        ("stored", "ollama", "synthetic"),
        "The executors, the first to take a job runs it: stored (answers from files), ollama (a model), synthetic"
        " (words without a model). Any may be left out.",
    )
    concurrency: Whole = setting(
        4, "Jobs that all nodes together run on an engine at the same time; others wait their turn.", ge=1, le=100_000
    )


class StoredSettings(Section):
    """Answers from prompt files, looked up by a job's last message."""

    files: Paths = setting(
        (Path("config/prompts/control_prompts.csv"), Path("config/prompts/test_prompts.csv")),
        "Prompt files (CSV). The default files may be missing; others must be there.",
        flag="--prompts",
    )
    delay_min_s: Number = seconds(0.3, "Shortest time that a stored answer pretends to take.", le=600)
    delay_max_s: Number = seconds(1.5, "Longest time that a stored answer pretends to take.", le=600)
    variation: Number = setting(
        0.0,
        "Chance with which a space between two words becomes two, so that the same answer is not the same text.",
        unit="share",
        ge=0,
        le=1,
    )

    @property
    def delay(self) -> Range:
        """What the time of an answer is drawn from, in seconds."""
        return Range(self.delay_min_s, self.delay_max_s)


class OllamaSettings(Section):
    """A local Ollama server."""

    url: BaseUrl = setting(
        "http://127.0.0.1:11434", "Base address of the server.", env=("OLLAMA_BASE_URL", "OLLAMA_API_URL")
    )
    model_override: Text = setting(
        "", "Model to run whatever a job asks for; the result names the one that ran. Empty: the job's own."
    )
    connect_s: Number = seconds(5, "Time to connect.", ge=0.1, le=600)
    recheck_s: Number = seconds(5, "How long a missing server is left alone before it is looked for again.", ge=0.1)
    keep_alive: GoDuration = setting(
        "",
        "How long the server keeps a model loaded: a Go duration such as 5m or 1h30m, a negative one for ever."
        " Empty: as the server is set.",
    )
    think: Thinking = setting(
        "default", "Whether models that can think do: on, off, or default, as they are made.", unit=""
    )

    @property
    def think_or_default(self) -> bool | None:
        """``think`` as the engine takes it; None leaves it to the model."""
        return None if self.think == "default" else self.think == "on"


class SyntheticSettings(Section):
    """Words without a model, at the pace of one."""

    tokens_per_s: Number = setting(
        80.0, "Pace of an answer. 0: all at once.", unit="tokens a second", ge=0, le=1_000_000
    )
    tokens_min: Whole = setting(40, "Length of the shortest answer.", unit="tokens", ge=1, le=1_000_000)
    tokens_max: Whole = setting(160, "Length of the longest answer.", unit="tokens", ge=1, le=1_000_000)
