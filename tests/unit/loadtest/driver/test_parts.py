"""Small parts: behaviour, engine, identities, prompts, verdicts."""

from __future__ import annotations

import random

import pytest

from node.domain.errors import Declined
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.jobs import ChatPayload, EmbeddingPayload, Message
from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret
from node.executors.synthetic import SyntheticExecutor, SyntheticPolicy
from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.report import AuditReport, AuditVerdict, Finding, JobTotals
from node.loadtest.driver.behaviour import Behaviour
from node.loadtest.driver.engine import NodeEngine, PlannedEngine, engine_of_node
from node.loadtest.driver.identities import MadeIdentities, RosterIdentities
from node.loadtest.driver.submitter import prompt
from node.loadtest.driver.verdict import Verdict, verdict
from node.loadtest.figures.health import HealthVerdict
from node.loadtest.plan.distributions import Constant
from node.loadtest.plan.model import Engine
from node.loadtest.thresholds.parser import parse_threshold
from tests.support.virtual_time import VirtualClock, in_virtual_time


def chat(max_output: int | None = None) -> ChatPayload:
    return ChatPayload("m", (Message("user", "hello"),), max_output)


class Pieces:
    def __init__(self) -> None:
        self.text = ""

    async def push(self, text: str) -> None:
        self.text += text


@in_virtual_time
async def test_a_job_takes_the_time_of_its_tokens_at_its_nodes_speed() -> None:
    engine = PlannedEngine(
        Engine(output_tokens=Constant(value=30), tokens_per_s=Constant(value=10)), random.Random(1), 0
    )
    behaviour, clock, pieces = Behaviour(), VirtualClock(), Pieces()
    node = engine_of_node(engine, behaviour)
    began = clock.monotonic()
    made = await node.execute(chat(), pieces)
    assert clock.monotonic() - began == pytest.approx(3)
    assert made.output_tokens == 30
    assert len(made.text.split()) == 30
    assert pieces.text == made.text
    behaviour.slow(4, on=True)
    began = clock.monotonic()
    cut = await node.execute(chat(max_output=5))
    assert clock.monotonic() - began == pytest.approx(2)
    assert len(cut.text.split()) == 5
    behaviour.slow(4, on=False)
    assert behaviour.slowness == 1
    await node.aclose()
    await engine.aclose()


@in_virtual_time
async def test_no_two_answers_are_alike_and_none_is_taken_for_a_models() -> None:
    engines = [PlannedEngine(Engine(tokens_per_s=Constant(value=0)), random.Random(1), shard) for shard in (0, 1)]
    texts = [(await engine.execute(chat(1 + place))).text for engine in engines for place in range(200)]
    assert len(set(texts)) == 400
    assert all(text.startswith("[synthetic") for text in texts)
    assert (engines[0].name, NodeEngine(engines[0], Behaviour()).name) == ("synthetic", "synthetic")


async def test_what_is_no_chat_is_declined() -> None:
    with pytest.raises(Declined):
        await PlannedEngine(Engine(), random.Random(1), 0).execute(EmbeddingPayload("m", ("text",)))


def test_a_real_engine_is_as_fast_as_it_is() -> None:
    real = SyntheticExecutor(SyntheticPolicy(), random.Random(1))
    assert engine_of_node(real, Behaviour()) is real


def test_faults_of_one_kind_add_up() -> None:
    behaviour = Behaviour()
    for begin in (behaviour.silence, behaviour.answer_twice, behaviour.garble):
        begin(on=True)
        begin(on=True)
        begin(on=False)
    assert behaviour.is_silent
    assert behaviour.answers_twice
    assert behaviour.garbles
    for end in (behaviour.silence, behaviour.answer_twice, behaviour.garble):
        end(on=False)
    assert not (behaviour.is_silent)
    assert not (behaviour.answers_twice)
    assert not (behaviour.garbles)


def test_made_nodes_have_names_and_secrets_of_their_own() -> None:
    made = MadeIdentities("run1", Secret("k" * 32), lambda node: (f"m{node % 2}",))
    specs = [made.spec(node) for node in range(50)]
    assert len({spec.node_id for spec in specs}) == len({spec.identity.secret for spec in specs}) == 50
    assert made.spec(7) == specs[7]
    assert specs[7].models == ("m1",)
    other = MadeIdentities("run1", Secret("l" * 32), lambda _: ("m",))
    assert other.spec(7).identity.secret != specs[7].identity.secret


def test_nodes_of_a_roster_offer_what_the_plan_says_and_go_directly() -> None:
    identity = Identity(NodeId("n"), Secret("s"), AccountId("a"), "p")
    row = NodeSpec(identity, Hardware(1, 1, 1, "g", "o"), ("other",), ProxyAddress("http", "127.0.0.1", 8080))
    spec = RosterIdentities([row], lambda _: ("m",)).spec(0)
    assert (spec.identity, spec.models, spec.proxy) == (identity, ("m",), None)


@pytest.mark.parametrize("tokens", [1, 2, 40])
def test_a_prompt_is_as_long_as_asked_and_unlike_any_other(tokens: int) -> None:
    assert len(prompt(3, tokens).split()) == tokens
    assert prompt(3, tokens) != prompt(4, tokens)


TOTALS = JobTotals(1, 0, 1, 0, 1, 1, 1, 1, 1)
CLEAN = AuditReport(AuditVerdict.CLEAN, TOTALS, (Finding(Kind.LOST, 0, 1), Finding(Kind.STUCK, 0, 1)))
BROKEN = AuditReport(AuditVerdict.BROKEN, TOTALS, (Finding(Kind.LOST, 1, 1), Finding(Kind.STUCK, 0, 1)))
STUCK = AuditReport(AuditVerdict.BROKEN, TOTALS, (Finding(Kind.LOST, None, 1), Finding(Kind.STUCK, 2, 1)))
WELL, ILL = (HealthVerdict(is_void, (), {}) for is_void in (False, True))
MET = parse_threshold("jobs.lost == 0").evaluate({"jobs.lost": 0})
MISSED = parse_threshold("jobs.lost == 0").evaluate({"jobs.lost": 1})
UNKNOWN = parse_threshold("jobs.lost == 0").evaluate({})


@pytest.mark.parametrize(
    ("outcomes", "report", "health", "defects", "was_stopped", "expected"),
    [
        ([MET], CLEAN, WELL, (), False, Verdict.PASSED),
        ([], CLEAN, WELL, (), False, Verdict.PASSED),
        ([MET, MISSED], CLEAN, WELL, (), False, Verdict.FAILED),
        ([MET, UNKNOWN], CLEAN, WELL, (), False, Verdict.FAILED),
        ([MET], CLEAN, ILL, (), False, Verdict.VOID),
        ([MISSED], CLEAN, ILL, (), False, Verdict.VOID),
        ([MET], CLEAN, WELL, ("a defect",), False, Verdict.VOID),
        ([MET], BROKEN, ILL, (), False, Verdict.BROKEN),
        ([MISSED], CLEAN, WELL, (), True, Verdict.STOPPED),
        ([MET], BROKEN, WELL, (), True, Verdict.BROKEN),
        ([MET], STUCK, WELL, (), False, Verdict.BROKEN),
        ([MET], STUCK, WELL, (), True, Verdict.STOPPED),
    ],
)
def test_the_worst_counts(
    outcomes: list[object],
    report: AuditReport,
    health: HealthVerdict,
    defects: tuple[str, ...],
    was_stopped: bool,
    expected: Verdict,
) -> None:
    assert verdict(outcomes, report, health, defects, was_stopped=was_stopped) is expected  # type: ignore[arg-type]
