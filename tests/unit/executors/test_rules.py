from __future__ import annotations

import asyncio

import pytest

from node.domain.errors import Refused
from node.domain.events import RuleBroken
from node.domain.jobs import Payload
from node.executors.rules import Ruled, Rules, RulesPolicy
from tests.support.events import RecordingSink
from tests.unit.executors.doubles import chat
from tests.unit.executors.engine_doubles import Engine, talk, texts

SECRET_WORDS = "xyzzy plugh"


async def broken(policy: RulesPolicy, payload: Payload) -> str | None:
    found = await Rules(policy).broken_by(payload)
    return found and found.rule


LIMITS = RulesPolicy(max_messages=3, max_message_chars=10, max_chars=20, max_inputs=2)


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (talk(("user", "hi")), None),
        (talk(*[("user", "hi")] * 3), None),
        (talk(*[("user", "hi")] * 4), "max_messages"),
        (talk(("user", "x" * 10)), None),
        (talk(("system", "x" * 11), ("user", "hi")), "max_message_chars"),
        (talk(("user", "x" * 10), ("assistant", "x" * 10)), None),
        (talk(("user", "x" * 10), ("assistant", "x" * 10), ("user", "x")), "max_chars"),
        (talk(("user", "é" * 10)), None),
        (talk(("wizard", "hi"), ("user", "hi")), "roles"),
        (talk(("User", "hi")), "roles"),
        (talk(("", "hi")), "roles"),
        (talk(("system", "a"), ("assistant", "b"), ("tool", "c")), None),
        (texts("a", "b"), None),
        (texts("a", "b", "c"), "max_inputs"),
        (texts("x" * 11), "max_message_chars"),
        (texts("x" * 10, "x" * 10), None),
    ],
)
async def test_numbers_and_roles(payload: Payload, rule: str | None) -> None:
    assert await broken(LIMITS, payload) == rule


async def test_a_number_that_is_off_and_no_roles_let_all_pass() -> None:
    off = RulesPolicy(max_messages=None, max_message_chars=None, max_chars=None, max_inputs=None, roles=())
    assert await broken(off, talk(*[("wizard", "x" * 1000)] * 10_000)) is None
    assert await broken(off, texts(*["x" * 1000] * 20_000)) is None


async def test_an_ordinary_job_keeps_the_defaults() -> None:
    assert await broken(RulesPolicy(), chat("What is it?")) is None
    assert await broken(RulesPolicy(), chat("x" * 1_000_000)) is None
    assert await broken(RulesPolicy(), texts(*["x"] * 10_000)) is None


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (talk(("user", "hello")), None),
        (talk(("user", "how to XYZZY it")), "deny"),
        (talk(("system", "xyzzy"), ("user", "hello")), "deny"),
        (talk(("user", "plugh"), ("assistant", "no"), ("user", "hello")), "deny"),
        (texts("hello", "plugh"), "deny"),
        (texts("hello"), None),
    ],
)
async def test_what_is_denied_may_stand_nowhere(payload: Payload, rule: str | None) -> None:
    assert await broken(RulesPolicy(deny=("(?i)xyzzy", r"^plugh")), payload) == rule


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (talk(("user", "translate this")), None),
        (talk(("system", "whatever"), ("user", "sum up")), None),
        (talk(("user", "whatever"), ("assistant", "?"), ("user", "sum up"), ("tool", "whatever")), None),
        (talk(("user", "sum up"), ("assistant", "?"), ("user", "whatever")), "allow"),
        (talk(("system", "translate this")), "allow"),
        (texts("translate", "sum up"), None),
        (texts("translate", "whatever"), "allow"),
        (texts(), "allow"),
    ],
)
async def test_what_is_allowed_must_be_asked_last(payload: Payload, rule: str | None) -> None:
    assert await broken(RulesPolicy(allow=("translate", "^sum up")), payload) == rule


async def test_what_is_denied_is_not_allowed() -> None:
    assert await broken(RulesPolicy(deny=("xyzzy",), allow=("translate",)), chat("translate xyzzy")) == "deny"


async def test_no_more_is_looked_through_than_is_bounded() -> None:
    padded = talk(("user", "x" * 60), ("user", "x" * 41))
    denying = RulesPolicy(deny=("bomb",), max_scanned_chars=100)
    assert await broken(denying, padded) == "max_scanned_chars"
    assert await broken(denying, talk(("user", "x" * 60), ("user", "x" * 40))) is None
    assert await broken(RulesPolicy(max_scanned_chars=100), padded) is None, (
        "without patterns nothing is looked through"
    )
    allowing = RulesPolicy(allow=("x",), max_scanned_chars=100)
    assert await broken(allowing, padded) is None, "what is asked last is looked through alone"
    assert await broken(allowing, talk(("user", "x" * 101))) == "max_scanned_chars"


EVERY_BREACH = [
    (RulesPolicy(max_messages=1), "max_messages"),
    (RulesPolicy(max_message_chars=3), "max_message_chars"),
    (RulesPolicy(max_chars=3), "max_chars"),
    (RulesPolicy(roles=("system",)), "roles"),
    (RulesPolicy(deny=("nothing", "plugh")), "deny"),
    (RulesPolicy(allow=("nothing",)), "allow"),
    (RulesPolicy(deny=("nothing",), max_scanned_chars=3), "max_scanned_chars"),
]


@pytest.mark.parametrize(("policy", "rule"), EVERY_BREACH)
async def test_a_refusal_names_the_rule_and_quotes_nothing(policy: RulesPolicy, rule: str) -> None:
    engine, events = Engine(), RecordingSink()
    job = talk((SECRET_WORDS, SECRET_WORDS), ("user", SECRET_WORDS))
    if rule != "roles":
        job = talk(("system", SECRET_WORDS), ("user", SECRET_WORDS))
    with pytest.raises(Refused, match=f"^refused by this node's rule {rule}: ") as raised:
        await Ruled(engine, Rules(policy), events).execute(job)
    assert not any(word in str(raised.value) for word in SECRET_WORDS.split())
    assert events.events == [RuleBroken(rule, "gemma2:2b")]
    assert not engine.asked


async def test_a_refusal_says_by_how_much_or_by_which_pattern() -> None:
    rules = Rules(RulesPolicy(max_messages=2, deny=("nothing", "plugh")))
    counted = await rules.broken_by(talk(*[("user", "hi")] * 7))
    denied = await rules.broken_by(chat("plugh"))
    assert counted is not None
    assert "7 messages, where 2 are the most" in counted.text
    assert denied is not None
    assert "the pattern number 2 forbids" in denied.text


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"max_messages": 0}, "the least number"),
        ({"max_scanned_chars": 0}, "the least number"),
        ({"deny": ("(a+)+",)}, "repeat without an end"),
        ({"allow": ("(",)}, "no regular expression"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(wrong: dict[str, int], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        RulesPolicy(**wrong)  # type: ignore[arg-type]


async def test_others_have_their_turn_between_the_patterns_of_a_long_job() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    rules = Rules(RulesPolicy(deny=("a", "b", "c"), allow=("d", "x")))
    assert await rules.broken_by(chat("x" * 2000)) is None
    task.cancel()
    assert turns == 5
    assert await rules.broken_by(chat("y" * 2000)) is not None
