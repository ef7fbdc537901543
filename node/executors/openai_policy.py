"""How an OpenAI-compatible server is used."""

from __future__ import annotations

from dataclasses import dataclass

from node.domain.secret import Secret
from node.executors.engine_url import check_engine_url, place_of


@dataclass(frozen=True, slots=True)
class OpenAiPolicy:
    """How an OpenAI-compatible server is used.

    ``name`` is what results, events and settings call it. ``base_url`` is ``http`` or ``https``, and ends where the
    API's paths begin, as a rule with ``/v1``. ``api_key`` is sent as a bearer token where it is not empty.
    ``max_output`` is the most tokens of an answer, and what is asked for where a job sets no limit.
    ``concurrency`` is how many calls run at once as a rule, by the limit of `Limited` around it: so many connections are
    kept.
    ``connect_s`` is the time for making a connection, and as much again for its TLS handshake.
    ``model_override`` is asked for in place of every job's model; empty: the job's own.
    ``batch`` is how many texts are embedded by one call.

    Raises:
        ValueError: the URL is not such a one, there is no name, the key cannot be sent, or a number is below 1.
    """

    name: str
    base_url: str
    api_key: Secret = Secret("")
    model_override: str = ""
    max_output: int = 4096
    concurrency: int = 4
    connect_s: float = 5.0
    recheck_s: float = 5.0
    """How long a missing engine is left alone."""
    batch: int = 10

    def __post_init__(self) -> None:
        check_engine_url(self.base_url)
        if not self.name:
            raise ValueError("an engine has a name")
        key = self.api_key.reveal()
        if not (key.isascii() and key.isprintable()) or key != key.strip():
            raise ValueError("an API key has printable ASCII characters alone, and no space around it")
        if min(self.max_output, self.concurrency, self.batch) < 1:
            raise ValueError("an answer has one token at least, one call runs at least, and a batch has one text")

    @property
    def place(self) -> str:
        """The URL as people may see it: without credentials."""
        return place_of(self.base_url)
