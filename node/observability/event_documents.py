"""Events as JSON for others to read: a format with a version, without prompts, answers and secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from node.domain import events as ev
from node.domain.ids import JobKey, NodeId
from node.domain.states import Life
from node.observability.status_document import Json, redacted
from node.ports.clock import Clock

VERSION: Final = 1
"""Fields may be added within a version; one that goes, or means something else, is a new version."""

Document = dict[str, Json]


def _life(event: ev.LifeChanged) -> Document:
    return {
        "before": event.before.value,
        "input": event.input.value,
        "after": event.after.value,
        "reason": event.reason,
    }


def _session(event: ev.SessionChanged) -> Document:
    return {"state": event.state.value, "generation": event.generation, "reason": event.reason}


def _finished(event: ev.JobEnded) -> Document:
    return {
        "outcome": "error" if event.error else "success",
        "executor": event.executor,
        "model": event.model,
        "took_s": event.took_s,
        "prompt_tokens": event.prompt_tokens,
        "output_tokens": event.output_tokens,
        "first_token_s": event.first_token_s,
        "finish_reason": event.finish_reason,
        "error": event.error,
    }


def _accepted(event: ev.ResultAccepted) -> Document:
    return {"took_s": event.took_s, "attempts": event.attempts, "already": event.already}


def _fields(*names: str) -> Callable[[Any], Document]:
    return lambda event: {name: getattr(event, name) for name in names}


class Form(NamedTuple):
    """How a kind of event is written: its type's name and, besides what all have, its fields."""

    type: str
    fields: Callable[[Any], Document]


FORMS: Final[Mapping[type[Any], Form]] = MappingProxyType(
    {
        ev.LifeChanged: Form("node.life", _life),
        ev.SessionChanged: Form("node.session", _session),
        ev.ModelsAnnounced: Form("node.models", lambda event: {"models": list(event.models)}),
        ev.JobClaimed: Form("job.claimed", _fields("model", "kind")),
        ev.JobSkipped: Form("job.skipped", _fields("reason")),
        ev.JobEnded: Form("job.finished", _finished),
        ev.ResultAccepted: Form("job.accepted", _accepted),
        ev.ResultBuried: Form("job.refused", _fields("reason")),
        ev.ResultUnsafe: Form("job.unsafe", _fields("reason")),
        ev.ResultLost: Form("job.lost", _fields("reason")),
        ev.AuthHealthChanged: Form("auth.changed", _fields("state", "reason")),
        ev.EngineChanged: Form("engine.changed", _fields("engine", "available", "reason")),
        ev.BreakerChanged: Form("engine.breaker", _fields("engine", "model", "state", "reason")),
        ev.FellBack: Form("model.fell_back", _fields("asked", "tried", "reason")),
        ev.RuleBroken: Form("job.rule_broken", _fields("rule", "model")),
        ev.ModelMoved: Form("model.moved", _fields("engine", "model", "action", "took_s", "error")),
        ev.Crash: Form("node.crash", _fields("task", "error")),
    }
)
"""The kinds that are told: what happens in the lives of jobs, nodes, engines and models."""


class Documents:
    """Writes events as documents: ``{"v": 1, "type": …, "at": …, "worker": …, "node": …}`` and the kind's own fields.

    ``at`` is Unix time in seconds; ``node`` is null where an event is of none; events of jobs have ``job`` and
    ``source``. All texts pass through ``redact``.
    """

    def __init__(self, worker: str, clock: Clock, redact: Callable[[str], str]) -> None:
        self._worker = worker
        self._clock = clock
        self._redact = redact

    def of(self, event: object) -> Document:
        """The document of an event whose kind is in `FORMS`."""
        form = FORMS[type(event)]
        head: Document = {
            "v": VERSION,
            "type": form.type,
            "at": self._clock.wall(),
            "worker": self._worker,
            "node": _node(event),
        }
        key = getattr(event, "key", None)
        if isinstance(key, JobKey):
            head |= {"job": key.job, "source": key.source}
        return {name: redacted(value, self._redact) for name, value in (head | form.fields(event)).items()}


def is_trouble(event: ev.Event) -> bool:
    """Whether somebody should look at what happened."""
    match event:
        case ev.LifeChanged(after=after):
            return after in {Life.RECOVERING, Life.FAILED}
        case ev.JobEnded(error=error) | ev.ModelMoved(error=error):
            return bool(error)
        case ev.EngineChanged(available=available):
            return not available
        case ev.BreakerChanged(state=state) | ev.AuthHealthChanged(state=state):
            return state == "open"
        case _:
            return isinstance(event, ev.ResultBuried | ev.ResultUnsafe | ev.ResultLost | ev.Crash)


def _node(event: object) -> NodeId | None:
    key = getattr(event, "key", None)
    node: NodeId | None = key.node if isinstance(key, JobKey) else getattr(event, "node", None)
    return node
