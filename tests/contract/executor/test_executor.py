"""What every executor keeps, whatever runs the job."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from node.domain.errors import Declined
from node.domain.jobs import ChatPayload, EmbeddingPayload, Message
from node.domain.policies import Range
from node.domain.results import Embeddings, Generation
from node.executors.first_taker import FirstTaker
from node.executors.limited import Limited
from node.executors.ollama import OllamaExecutor, OllamaPolicy
from node.executors.openai_compatible import OpenAiExecutor
from node.executors.openai_policy import OpenAiPolicy
from node.executors.prompt_book import PromptBook, StoredPrompt
from node.executors.stored import StoredExecutor, StoredPolicy
from node.executors.synthetic import SyntheticExecutor, SyntheticPolicy
from node.loadtest.driver.behaviour import Behaviour
from node.loadtest.driver.engine import NodeEngine, PlannedEngine
from node.loadtest.plan.distributions import Constant
from node.loadtest.plan.model import Engine
from node.ports.executor import Executor, InstantExecutor
from node.runtime.system import SystemClock
from tests.support.events import RecordingSink
from tests.support.waiting import wait_until
from tests.unit.executors import openai_server
from tests.unit.executors.doubles import Pieces, chat
from tests.unit.executors.ollama_server import Exchange, OllamaServer, echoing, embedding, refusing

MODEL = "gemma2:2b"
PROMPTS = [f"What is the number after {number}?" for number in range(20)]
SLOW = "Take a very long time."
UNKNOWN = "unknown:1b"


class Subjects:
    """Makes executors that answer `PROMPTS` soon, `SLOW` never, and have no model `UNKNOWN`."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.abandoned: Callable[[], bool] = lambda: True

    def stored(self) -> Executor:
        prompts = [StoredPrompt(text, {MODEL: (f"stored {text}", f"kept {text}")}) for text in PROMPTS]
        return StoredExecutor(PromptBook.of(prompts), StoredPolicy(Range(0, 0.01), 0.2), random.Random(1))

    def stored_slow(self) -> Executor:
        book = PromptBook.of([StoredPrompt(text, {MODEL: (text,)}) for text in [*PROMPTS, SLOW]])
        return StoredExecutor(book, StoredPolicy(Range(3600, 3600)), random.Random(1))

    def synthetic(self) -> Executor:
        return SyntheticExecutor(SyntheticPolicy(3, 60, 5000), random.Random(1))

    def synthetic_now(self) -> Executor:
        return SyntheticExecutor(SyntheticPolicy(3, 60, 0), random.Random(1))

    def planned(self, *, tokens_per_s: float) -> Executor:
        speed, length = Constant(value=tokens_per_s), Constant(value=3.0)
        return NodeEngine(
            PlannedEngine(Engine(output_tokens=length, tokens_per_s=speed), random.Random(1), 0), Behaviour()
        )

    def synthetic_slow(self) -> Executor:
        return SyntheticExecutor(SyntheticPolicy(3600, 3600, 1), random.Random(1))

    async def ollama(self) -> Executor:
        async def script(exchange: Exchange) -> None:
            if exchange.chat["model"] == UNKNOWN:
                await refusing(404, f"model '{UNKNOWN}' not found")(exchange)
            elif exchange.path == "/api/embed":
                await embedding(prompt_eval_count=1)(exchange)
            elif exchange.prompt == SLOW:
                await exchange.head()
                await exchange.part("It")
                await asyncio.Event().wait()
            else:
                await echoing(exchange)

        server = OllamaServer(script)
        await server.start()
        self._stack.push_async_callback(server.stop)
        self.abandoned = lambda: server.left > 0
        policy = OllamaPolicy(server.url, concurrency=8)
        return OllamaExecutor(policy, SystemClock(), RecordingSink(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    async def openai(self) -> Executor:
        async def script(exchange: Exchange) -> None:
            if exchange.chat["model"] == UNKNOWN:
                missing = {"error": {"message": f"The model `{UNKNOWN}` does not exist.", "code": 404}}
                await openai_server.refusing(404, missing)(exchange)
            elif exchange.path == "/v1/embeddings":
                await openai_server.embedding()(exchange)
            elif exchange.prompt == SLOW:
                await openai_server.stalling("It")(exchange)
            else:
                await openai_server.echoing(exchange)

        server = openai_server.OpenAiServer(script)
        await server.start()
        self._stack.push_async_callback(server.stop)
        self.abandoned = lambda: server.left > 0
        policy = OpenAiPolicy("vllm", f"{server.url}/v1", concurrency=8)
        return OpenAiExecutor(policy, SystemClock(), RecordingSink(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    async def make(self, kind: str, *, slow: bool = False) -> Executor:
        match kind:
            case "stored":
                made: Executor = self.stored_slow() if slow else self.stored()
            case "synthetic":
                made = self.synthetic_slow() if slow else self.synthetic()
            case "ollama":
                made = await self.ollama()
            case "openai":
                made = await self.openai()
            case "limited":
                made = Limited(await self.make("ollama"), 2)
            case "first taker":
                made = FirstTaker([self.stored(), await self.make("limited")])
            case _:
                raise AssertionError(kind)
        self._stack.push_async_callback(made.aclose)
        return made


KINDS = ["stored", "synthetic", "ollama", "openai", "limited", "first taker"]
DECLINING = [kind for kind in KINDS if kind != "synthetic"]
CHATTING = ["stored", "synthetic"]
"""Those that make no embeddings."""
EMBEDDING = [kind for kind in KINDS if kind not in CHATTING]


@pytest.fixture
async def subjects() -> AsyncIterator[Subjects]:
    async with AsyncExitStack() as stack:
        yield Subjects(stack)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_generation_names_its_executor_and_model(subjects: Subjects, kind: str) -> None:
    executor = await subjects.make(kind)
    generation = await executor.execute(chat(PROMPTS[0], MODEL))
    assert isinstance(generation, Generation)
    assert generation.text
    assert generation.model == MODEL
    assert generation.executor in executor.name.split("|")


@pytest.mark.parametrize("kind", KINDS)
async def test_pieces_joined_are_the_text(subjects: Subjects, kind: str) -> None:
    executor = await subjects.make(kind)
    for prompt in PROMPTS:
        pieces = Pieces()
        generation = await executor.execute(chat(prompt, MODEL), pieces)
        assert pieces.text == generation.text
        assert all(pieces.texts)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_conversation_is_answered_by_its_last_message(subjects: Subjects, kind: str) -> None:
    executor = await subjects.make(kind)
    turns = (
        Message("system", "Be brief."),
        Message("user", "Hi"),
        Message("assistant", ""),
        Message("user", PROMPTS[3]),
    )
    assert (await executor.execute(ChatPayload(MODEL, turns, 500, 0.5))).text


@pytest.mark.parametrize("kind", DECLINING)
async def test_what_is_declined_leaves_no_piece_and_no_harm(subjects: Subjects, kind: str) -> None:
    executor = await subjects.make(kind)
    pieces = Pieces()
    with pytest.raises(Declined) as declined:
        await executor.execute(chat("A prompt that nobody has stored", UNKNOWN), pieces)
    assert pieces.texts == []
    assert str(declined.value)
    assert "nobody has stored" not in str(declined.value)
    assert (await executor.execute(chat(PROMPTS[0], MODEL))).text


@pytest.mark.parametrize("kind", KINDS)
async def test_calls_at_once_do_not_mix(subjects: Subjects, kind: str) -> None:
    executor = await subjects.make(kind)
    takers = [Pieces() for _ in PROMPTS]
    answers = await asyncio.gather(
        *(executor.execute(chat(prompt, MODEL), taker) for prompt, taker in zip(PROMPTS, takers, strict=True))
    )
    assert [answer.text for answer in answers] == [taker.text for taker in takers]
    if kind != "synthetic":
        assert all(prompt in " ".join(answer.text.split()) for prompt, answer in zip(PROMPTS, answers, strict=True))


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelling_ends_a_call_promptly_and_harms_no_other(subjects: Subjects, kind: str) -> None:
    executor = await subjects.make(kind, slow=True)
    for _ in range(4):
        pieces = Pieces()
        call = asyncio.ensure_future(executor.execute(chat(SLOW, MODEL), pieces))
        if kind in EMBEDDING:
            await wait_until(lambda taken=pieces: taken.texts)
        else:
            await asyncio.sleep(0)
        assert not call.done()
        call.cancel()
        await asyncio.wait([call], timeout=5)
        assert call.cancelled()
    await wait_until(subjects.abandoned, what="the engine is told to stop")
    if kind in EMBEDDING:
        assert (await executor.execute(chat(PROMPTS[1], MODEL))).text


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelling_before_the_first_step_is_no_trouble(subjects: Subjects, kind: str) -> None:
    executor = await subjects.make(kind)
    call = asyncio.ensure_future(executor.execute(chat(PROMPTS[0], MODEL)))
    call.cancel()
    assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], asyncio.CancelledError)
    assert (await executor.execute(chat(PROMPTS[1], MODEL))).text


@pytest.mark.parametrize("kind", KINDS)
async def test_closing_twice_is_once(subjects: Subjects, kind: str) -> None:
    executor = await subjects.make(kind)
    await executor.execute(chat(PROMPTS[0], MODEL))
    await executor.aclose()
    await executor.aclose()


@pytest.mark.parametrize("kind", EMBEDDING)
async def test_embeddings_are_a_vector_for_each_text_in_order(subjects: Subjects, kind: str) -> None:
    executor = await subjects.make(kind)
    texts = tuple("x" * length for length in range(1, 26))
    made = await executor.execute(EmbeddingPayload(MODEL, texts))
    assert isinstance(made, Embeddings)
    assert [vector[0] for vector in made.vectors] == [float(len(text)) for text in texts]
    assert len({len(vector) for vector in made.vectors}) == 1
    assert made.model == MODEL
    assert made.executor in executor.name.split("|")
    assert made.prompt_tokens is not None


@pytest.mark.parametrize("kind", EMBEDDING)
async def test_embeddings_by_a_missing_model_are_declined(subjects: Subjects, kind: str) -> None:
    executor = await subjects.make(kind)
    with pytest.raises(Declined) as declined:
        await executor.execute(EmbeddingPayload(UNKNOWN, ("my secret diary",)))
    assert "diary" not in str(declined.value)
    assert (await executor.execute(chat(PROMPTS[0], MODEL))).text


@pytest.mark.parametrize("kind", CHATTING)
async def test_a_kind_that_is_not_for_it_is_declined(subjects: Subjects, kind: str) -> None:
    executor = await subjects.make(kind)
    with pytest.raises(Declined, match="chats alone"):
        await executor.execute(EmbeddingPayload(MODEL, ("one",)))


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_told_of_speed_makes_sense(subjects: Subjects, kind: str) -> None:
    executor = await subjects.make(kind)
    generation = await executor.execute(chat(PROMPTS[0], MODEL))
    assert isinstance(generation, Generation)
    assert generation.first_token_s is None or generation.first_token_s >= 0
    assert generation.tokens_per_s is None or generation.tokens_per_s > 0
    if kind in ("ollama", "openai", "limited"):
        assert generation.first_token_s is not None
        assert generation.finish_reason == "stop"


@pytest.mark.parametrize("kind", ["synthetic now", "planned now"])
async def test_who_can_answer_at_once_answers_as_if_it_were_waited_for(subjects: Subjects, kind: str) -> None:
    executor = subjects.synthetic_now() if kind == "synthetic now" else subjects.planned(tokens_per_s=0)
    assert isinstance(executor, InstantExecutor)
    for prompt in PROMPTS:
        now, awaited = executor.answer_now(chat(prompt, MODEL)), await executor.execute(chat(prompt, MODEL))
        assert isinstance(now, Generation)
        assert isinstance(awaited, Generation)
        assert now.text
        assert (now.model, now.executor) == (awaited.model, awaited.executor) == (MODEL, executor.name)
        assert now.output_tokens == len(now.text.split())
        short = executor.answer_now(chat(prompt, MODEL, max_output=2))
        assert isinstance(short, Generation)
        assert short.output_tokens == 2
    assert executor.answer_now(EmbeddingPayload(MODEL, ("a",))) is None


@pytest.mark.parametrize("kind", ["synthetic", "planned"])
async def test_what_takes_time_is_never_had_at_once(subjects: Subjects, kind: str) -> None:
    executor = subjects.synthetic() if kind == "synthetic" else subjects.planned(tokens_per_s=1000)
    assert isinstance(executor, InstantExecutor)
    assert executor.answer_now(chat(PROMPTS[0], MODEL)) is None
