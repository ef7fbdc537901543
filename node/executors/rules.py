"""What an operator lets jobs ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, assert_never

from node.domain.errors import Refused
from node.domain.events import RuleBroken
from node.domain.jobs import ChatPayload, EmbeddingPayload, Message, Payload
from node.domain.results import Output
from node.executors.pattern_safety import safe_pattern
from node.ports.events import EventSink
from node.ports.executor import Executor, Partials


@dataclass(frozen=True, slots=True)
class RulesPolicy:
    """The rules, each by the name that refusals and events give it; None sets a number off.

    Raises:
        ValueError: a number is below 1, or a pattern is none or could take too long.
    """

    max_messages: int | None = 1000
    max_message_chars: int | None = 1_000_000
    """Characters of a message, or of a text to embed."""
    max_chars: int | None = 4_000_000
    """Characters of all of them together."""
    max_inputs: int | None = 10_000
    """Texts of a job that asks for embeddings."""
    roles: tuple[str, ...] = ("system", "user", "assistant", "tool")
    """Roles that messages may have; any where there is none."""
    deny: tuple[str, ...] = ()
    """Regular expressions (`re`), none of which may be found in any message or text to embed."""
    allow: tuple[str, ...] = ()
    """Regular expressions, one of which, where there are any, must be found in the last message of the user.

    With embeddings it must be found in each text.
    """
    max_scanned_chars: int = 50_000
    """Characters of a job that patterns look at; a job with more is refused, since what is not looked at is not known."""

    def __post_init__(self) -> None:
        numbers = (self.max_messages, self.max_message_chars, self.max_chars, self.max_inputs, self.max_scanned_chars)
        if any(number is not None and number < 1 for number in numbers):
            raise ValueError("the least number of a rule is 1")
        _compiled((*self.deny, *self.allow))


class Broken(NamedTuple):
    """A rule that a job breaks: its name, and a sentence for the one who asked that quotes nothing of the job."""

    rule: str
    text: str


class Rules:
    """Judges jobs, in time that the rules themselves bound."""

    def __init__(self, policy: RulesPolicy) -> None:
        self._policy = policy
        self._deny = _compiled(policy.deny)
        self._allow = _compiled(policy.allow)

    def broken_by(self, payload: Payload) -> Broken | None:
        """The first rule that a job breaks; numbers are looked at before patterns."""
        return next(self._broken(payload), None)

    def _broken(self, payload: Payload) -> Iterator[Broken]:
        match payload:
            case ChatPayload(messages=messages):
                yield from self._by_messages(messages)
                texts: tuple[str, ...] = tuple(message.content for message in messages)
                asked = tuple(message.content for message in messages if message.role == "user")[-1:]
            case EmbeddingPayload(inputs=texts):
                yield from _more("max_inputs", len(texts), self._policy.max_inputs, "texts")
                asked = texts
            case _:
                assert_never(payload)
        policy = self._policy
        yield from _more("max_message_chars", max(map(len, texts), default=0), policy.max_message_chars, "characters")
        yield from _more("max_chars", sum(map(len, texts)), policy.max_chars, "characters in all")
        yield from self._by_patterns(texts, asked)

    def _by_messages(self, messages: Sequence[Message]) -> Iterator[Broken]:
        yield from _more("max_messages", len(messages), self._policy.max_messages, "messages")
        roles = self._policy.roles
        if roles and any(message.role not in roles for message in messages):
            yield _refusal("roles", f"messages have the roles {', '.join(roles)} alone")

    def _by_patterns(self, texts: Sequence[str], asked: Sequence[str]) -> Iterator[Broken]:
        scanned = sum(map(len, texts if self._deny else asked if self._allow else ()))
        yield from _more(
            "max_scanned_chars", scanned, self._policy.max_scanned_chars, "characters to be looked through"
        )
        for number, pattern in enumerate(self._deny, 1):
            if any(pattern.search(text) for text in texts):
                yield _refusal("deny", f"it has what the pattern number {number} forbids")
        if self._allow and not (asked and all(any(pattern.search(text) for pattern in self._allow) for text in asked)):
            yield _refusal("allow", "it is none of what this node is there for")


class Ruled:
    """Refuses jobs that break a rule before anything is done for them, and tells of it as a `RuleBroken`."""

    def __init__(self, executor: Executor, rules: Rules, events: EventSink) -> None:
        self._executor = executor
        self._rules = rules
        self._events = events

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`: the guarded one's."""
        return self._executor.name

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`.

        Raises:
            Refused: the job breaks a rule, which the message names.
        """
        if broken := self._rules.broken_by(payload):
            self._events.emit(RuleBroken(broken.rule, payload.model))
            raise Refused(broken.text)
        return await self._executor.execute(payload, partials)

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`: closes the guarded one."""
        await self._executor.aclose()


def _compiled(patterns: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(map(safe_pattern, patterns))


def _more(rule: str, count: int, most: int | None, what: str) -> Iterator[Broken]:
    if most is not None and count > most:
        yield _refusal(rule, f"{count} {what}, where {most} are the most")


def _refusal(rule: str, why: str) -> Broken:
    return Broken(rule, f"refused by this node's rule {rule}: {why}")
