"""How Ollama is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.domain.model_names import full_name
from node.executors.engine_url import check_engine_url, place_of

FOR_EVER: Final = -1
"""The value of ``keep_alive`` that has no end."""


@dataclass(frozen=True, slots=True)
class OllamaPolicy:
    """How Ollama is used.

    ``base_url`` is ``http`` or ``https``, host and port, with a path if need be.
    ``max_output`` is the most tokens of an answer, and what is asked for where a job sets no limit.
    ``concurrency`` is how many calls run at once as a rule, by the limit of `Limited` around it: so many connections are
    kept.
    ``connect_s`` is the time for making a connection, and as much again for its TLS handshake.
    ``model_override`` is asked for in place of every job's model; empty: the job's own.
    ``keep_alive`` is how long the model stays loaded: seconds, or a Go duration such as ``5m``; None: the
    engine's default. ``kept`` are models that stay loaded whatever that says. ``think`` is sent where it is set: models
    that think do so unless told False.
    ``batch`` is how many texts are embedded by one call. ``name`` is what results, events and settings call it.

    Raises:
        ValueError: the URL is not such a one, there is no name, or a number is below 1.
    """

    base_url: str = "http://127.0.0.1:11434"
    model_override: str = ""
    max_output: int = 4096
    concurrency: int = 4
    connect_s: float = 5.0
    recheck_s: float = 5.0
    """How long a missing engine is left alone."""
    keep_alive: float | str | None = None
    think: bool | None = None
    batch: int = 10
    name: str = "ollama"
    kept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_engine_url(self.base_url)
        if not self.name:
            raise ValueError("an engine has a name")
        if min(self.max_output, self.concurrency, self.batch) < 1:
            raise ValueError("an answer has one token at least, one call runs at least, and a batch has one text")

    def keep_alive_of(self, model: str) -> float | str | None:
        """What to ask for: without an end for the models that are kept."""
        return FOR_EVER if full_name(model) in map(full_name, self.kept) else self.keep_alive

    @property
    def place(self) -> str:
        """The URL as people may see it: without credentials."""
        return place_of(self.base_url)
