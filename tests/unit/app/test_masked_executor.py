"""What engines say in errors becomes the answer to whoever asked: without secrets."""

from __future__ import annotations

import base64

import pytest

from node.app.masked_executor import MaskedExecutor
from node.domain.errors import Declined, EngineFailed, EngineOverloaded, EngineRefused, ExecutorError
from node.domain.results import Generation
from node.domain.secret import Secret
from node.observability.redaction import Redactor
from tests.unit.executors.doubles import Pieces, Scripted, chat

KEY = "sk-the-key-of-the-engine"


def masked(error: ExecutorError | None = None) -> tuple[MaskedExecutor, Scripted]:
    redactor = Redactor()
    redactor.register(Secret(KEY))
    inner = Scripted(error=error)
    return MaskedExecutor(inner, redactor.redact), inner


@pytest.mark.parametrize("kind", [Declined, EngineFailed, EngineRefused, EngineOverloaded])
async def test_an_error_keeps_its_kind_and_loses_the_key(kind: type[ExecutorError]) -> None:
    executor, _ = masked(kind(f"no: {base64.b64encode(KEY.encode()).decode()} or {KEY}"))
    with pytest.raises(kind) as caught:
        await executor.execute(chat("Why?"))
    assert type(caught.value) is kind
    assert KEY not in str(caught.value)
    assert str(caught.value).count("***") == 2
    assert caught.value.told == str(caught.value)
    assert isinstance(caught.value.__cause__, kind)


async def test_what_those_who_ask_may_read_loses_it_too() -> None:
    for error in (EngineFailed("no", told=f"no {KEY}"), EngineFailed(f"no {KEY}", told="no")):
        executor, _ = masked(error)
        with pytest.raises(EngineFailed) as caught:
            await executor.execute(chat("Why?"))
        assert KEY not in f"{caught.value} {caught.value.told}"
        assert {str(caught.value), caught.value.told} == {"no", "no ***"}


async def test_any_other_error_and_what_is_generated_pass_as_they_are() -> None:
    error = EngineFailed("out of memory")
    executor, _ = masked(error)
    with pytest.raises(EngineFailed) as caught:
        await executor.execute(chat("Why?"))
    assert caught.value is error
    executor, inner = masked()
    pieces = Pieces()
    assert await executor.execute(chat(KEY, "m"), pieces) == Generation(KEY, "m", "scripted")
    assert pieces.text == KEY
    assert executor.name == "scripted"
    await executor.aclose()
    assert inner.closed == 1
