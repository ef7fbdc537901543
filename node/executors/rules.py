"""What an operator lets jobs ask for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, assert_never

from node.domain.errors import Refused
from node.domain.events import RuleBroken
from node.domain.jobs import ChatPayload, EmbeddingPayload, Message, Payload
from node.domain.results import Output
from node.executors.pattern_safety import safe_pattern
from node.ports.events import EventSink
from node.ports.executor import Executor, Partials

_SHORT_CHARS: Final = 1000
"""What is looked through in no time to speak of."""


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
    """Judges jobs, in time that the rules themselves bound, with a turn for others after each search."""

    def __init__(self, policy: RulesPolicy) -> None:
        self._policy = policy
        self._deny = _compiled(policy.deny)
        self._allow = _compiled(policy.allow)

    async def broken_by(self, payload: Payload) -> Broken | None:
        """The first rule that a job breaks; numbers are looked at before patterns."""
        texts, asked = _texts(payload)
        broken = next(self._by_numbers(payload, texts, asked), None)
        return broken or await self._by_patterns(texts, asked)

    def _by_numbers(self, payload: Payload, texts: Sequence[str], asked: Sequence[str]) -> Iterator[Broken]:
        policy = self._policy
        match payload:
            case ChatPayload(messages=messages):
                yield from self._by_messages(messages)
            case EmbeddingPayload():
                yield from _more("max_inputs", len(texts), policy.max_inputs, "texts")
            case _:
                assert_never(payload)
        yield from _more("max_message_chars", max(map(len, texts), default=0), policy.max_message_chars, "characters")
        yield from _more("max_chars", sum(map(len, texts)), policy.max_chars, "characters in all")
        scanned = sum(map(len, texts if self._deny else asked if self._allow else ()))
        yield from _more("max_scanned_chars", scanned, policy.max_scanned_chars, "characters to be looked through")

    def _by_messages(self, messages: Sequence[Message]) -> Iterator[Broken]:
        yield from _more("max_messages", len(messages), self._policy.max_messages, "messages")
        roles = self._policy.roles
        if roles and any(message.role not in roles for message in messages):
            yield _refusal("roles", f"messages have the roles {', '.join(roles)} alone")

    async def _by_patterns(self, texts: Sequence[str], asked: Sequence[str]) -> Broken | None:
        for number, pattern in enumerate(self._deny, 1):
            if await _found(pattern, texts):
                return _refusal("deny", f"it has what the pattern number {number} forbids")
        if self._allow and not (asked and await self._allowed(asked)):
            return _refusal("allow", "it is none of what this node is there for")
        return None

    async def _allowed(self, asked: Sequence[str]) -> bool:
        for text in asked:
            for pattern in self._allow:
                if await _found(pattern, (text,)):
                    break
            else:
                return False
        return True


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
        if broken := await self._rules.broken_by(payload):
            self._events.emit(RuleBroken(broken.rule, payload.model))
            raise Refused(broken.text)
        return await self._executor.execute(payload, partials)

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`: closes the guarded one."""
        await self._executor.aclose()


def _compiled(patterns: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(map(safe_pattern, patterns))


def _texts(payload: Payload) -> tuple[Sequence[str], Sequence[str]]:
    """All texts of a job, and those in which somebody asks for something."""
    if isinstance(payload, EmbeddingPayload):
        return payload.inputs, payload.inputs
    texts = tuple(message.content for message in payload.messages)
    return texts, tuple(message.content for message in payload.messages if message.role == "user")[-1:]


async def _found(pattern: re.Pattern[str], texts: Sequence[str]) -> bool:
    found = any(pattern.search(text) for text in texts)
    if sum(map(len, texts)) > _SHORT_CHARS:
        await asyncio.sleep(0)
    return found


def _more(rule: str, count: int, most: int | None, what: str) -> Iterator[Broken]:
    if most is not None and count > most:
        yield _refusal(rule, f"{count} {what}, where {most} are the most")


def _refusal(rule: str, why: str) -> Broken:
    return Broken(rule, f"refused by this node's rule {rule}: {why}")
