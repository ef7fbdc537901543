"""Which line each event becomes: its level, its topic, its words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from node.domain import events as ev
from node.domain.ids import JobKey
from node.domain.states import Life, Session
from node.observability.log_files import Topic

DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR


class Entry(NamedTuple):
    """A line to be: ``event`` is one of few fixed phrases, what varies is in ``fields``.

    One that is ``notable`` tells whoever runs a single node what it does, be it trouble or not.
    """

    level: int
    topic: Topic
    event: str
    fields: dict[str, object]
    notable: bool = False


class Wording(NamedTuple):
    """How a kind of event is put, and the highest level that can come of it."""

    highest: int
    describe: Callable[[Any], Entry]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _s(seconds: float) -> float:
    return round(seconds, 2)


def _job(key: JobKey) -> dict[str, object]:
    return {"node": key.node, "job": key.job}


def _life_changed(event: ev.LifeChanged) -> Entry:
    level = INFO
    if event.after is Life.FAILED:
        level = ERROR
    elif event.after is Life.RECOVERING:
        level = WARNING
    fields: dict[str, object] = {"node": event.node, "input": event.input.value, "before": event.before.value}
    if event.reason:
        fields["reason"] = event.reason
    return Entry(level, Topic.NODES, f"node {event.after.value}", fields, notable=True)


def _session_changed(event: ev.SessionChanged) -> Entry:
    level = WARNING if event.state is Session.REJECTED else DEBUG
    fields: dict[str, object] = {"node": event.node, "generation": event.generation}
    if event.reason:
        fields["reason"] = event.reason
    return Entry(level, Topic.NODES, f"session {event.state.value}", fields)


def _holds_changed(event: ev.HoldsChanged) -> Entry:
    names = [hold.name or "" for hold in event.holds]
    return Entry(DEBUG, Topic.NODES, "holds", {"node": event.node, "holds": ",".join(names).lower()})


def _poll_started(event: ev.PollStarted) -> Entry:
    return Entry(DEBUG, Topic.NODES, "poll started", {"node": event.node, "late_ms": _ms(event.lateness_s)})


def _poll_ended(event: ev.PollEnded) -> Entry:
    fields = {"node": event.node, "took_ms": _ms(event.took_s), "job": event.job}
    return Entry(DEBUG, Topic.NODES, "poll ended", fields)


def _poll_failed(event: ev.PollFailed) -> Entry:
    fields: dict[str, object] = {"node": event.node, "took_ms": _ms(event.took_s), "reason": event.reason}
    fields["retry_in_s"] = _s(event.retry_in_s)
    return Entry(WARNING, Topic.CONNECTION_ERRORS, "poll failed", fields)


def _step_ended(event: ev.StepEnded) -> Entry:
    fields: dict[str, object] = {"node": event.node, "step": event.step, "took_ms": _ms(event.took_s)}
    fields["attempts"] = event.attempts
    if not event.error:
        return Entry(DEBUG, Topic.NODES, "step done", fields)
    return Entry(WARNING, Topic.CONNECTION_ERRORS, "step failed", {**fields, "error": event.error})


def _step_retried(event: ev.StepRetried) -> Entry:
    fields = {"node": event.node, "step": event.step, "attempt": event.attempt, "reason": event.reason}
    return Entry(WARNING, Topic.CONNECTION_ERRORS, "step retried", {**fields, "retry_in_s": _s(event.retry_in_s)})


def _job_claimed(event: ev.JobClaimed) -> Entry:
    return Entry(DEBUG, Topic.NODES, "job received", {**_job(event.key), "model": event.model})


def _job_skipped(event: ev.JobSkipped) -> Entry:
    return Entry(INFO, Topic.NODES, "job skipped", {**_job(event.key), "reason": event.reason})


def _job_ended(event: ev.JobEnded) -> Entry:
    fields = {**_job(event.key), "model": event.model, "took_ms": _ms(event.took_s)}
    if event.error:
        return Entry(WARNING, Topic.NODES, "job failed", {**fields, "error": event.error})
    fields |= {"executor": event.executor, "output_tokens": event.output_tokens}
    return Entry(INFO, Topic.NODES, "job done", fields)


def _result_accepted(event: ev.ResultAccepted) -> Entry:
    fields = {**_job(event.key), "took_ms": _ms(event.took_s), "attempts": event.attempts, "already": event.already}
    return Entry(DEBUG, Topic.NODES, "result accepted", fields)


def _result_delayed(event: ev.ResultDelayed) -> Entry:
    fields = {**_job(event.key), "attempt": event.attempt, "reason": event.reason, "retry_in_s": _s(event.retry_in_s)}
    return Entry(WARNING, Topic.CONNECTION_ERRORS, "result delayed", fields)


def _result_buried(event: ev.ResultBuried) -> Entry:
    return Entry(ERROR, Topic.NODES, "result refused for good", {**_job(event.key), "reason": event.reason})


def _result_unsafe(event: ev.ResultUnsafe) -> Entry:
    return Entry(ERROR, Topic.NODES, "result not on disk", {**_job(event.key), "reason": event.reason})


def _result_lost(event: ev.ResultLost) -> Entry:
    return Entry(ERROR, Topic.NODES, "result lost", {**_job(event.key), "reason": event.reason})


def _job_profiled(event: ev.JobProfiled) -> Entry:
    fields: dict[str, object] = {**_job(event.key), "model": event.model}
    fields |= {f"{name.removesuffix('_s')}_ms": _ms(seconds) for name, seconds in event.phases._asdict().items()}
    fields |= {"engine_calls": event.engine_calls, "cpu_ms": _ms(event.cpu_s), "loop_lag_ms": _ms(event.loop_lag_s)}
    fields["trace"] = f"{event.trace.trace_id:032x}"
    if event.error:
        fields["error"] = event.error
    return Entry(INFO, Topic.NODES, "job profiled", fields)


def _points_checked(event: ev.PointsChecked) -> Entry:
    fields: dict[str, object] = {"node": event.node, "points": event.points.points, "raw": event.points.raw}
    return Entry(INFO, Topic.POINTS, "points", fields)


def _models_announced(event: ev.ModelsAnnounced) -> Entry:
    return Entry(DEBUG, Topic.NODES, "models announced", {"node": event.node, "models": "|".join(event.models)})


def _auth_health_changed(event: ev.AuthHealthChanged) -> Entry:
    level = INFO if event.state == "closed" else WARNING
    return Entry(level, Topic.GENERAL, f"auth circuit {event.state}", {"reason": event.reason}, notable=True)


def _proxy_checked(event: ev.ProxyChecked) -> Entry:
    fields: dict[str, object] = {"proxy": event.proxy, "took_ms": _ms(event.took_s)}
    if event.error:
        return Entry(WARNING, Topic.CONNECTION_ERRORS, "proxy bad", {**fields, "error": event.error})
    return Entry(DEBUG, Topic.GENERAL, "proxy good", fields)


def _proxy_assigned(event: ev.ProxyAssigned) -> Entry:
    return Entry(INFO, Topic.NODES, "proxy assigned", {"node": event.node, "proxy": event.proxy})


def _engine_changed(event: ev.EngineChanged) -> Entry:
    fields: dict[str, object] = {"engine": event.engine, "reason": event.reason}
    if event.available:
        return Entry(INFO, Topic.GENERAL, "engine available", fields, notable=True)
    return Entry(WARNING, Topic.GENERAL, "engine missing", fields)


def _engine_called(event: ev.EngineCalled) -> Entry:
    fields: dict[str, object] = {"engine": event.engine, "model": event.model, "took_ms": _ms(event.took_s)}
    if event.error:
        said = "engine refused" if event.is_refusal else "engine full" if event.is_overload else "engine failed"
        return Entry(WARNING, Topic.ENGINE_REQUESTS, said, {**fields, "error": event.error})
    return Entry(INFO, Topic.ENGINE_REQUESTS, "engine answered", {**fields, "output_tokens": event.output_tokens})


def _breaker_changed(event: ev.BreakerChanged) -> Entry:
    fields: dict[str, object] = {"engine": event.engine, "model": event.model, "reason": event.reason}
    level = INFO if event.state == "closed" else WARNING
    return Entry(level, Topic.GENERAL, f"breaker {event.state}", fields, notable=True)


def _fell_back(event: ev.FellBack) -> Entry:
    fields: dict[str, object] = {"asked": event.asked, "tried": event.tried, "reason": event.reason}
    return Entry(WARNING, Topic.GENERAL, "fell back", fields)


def _rule_broken(event: ev.RuleBroken) -> Entry:
    return Entry(INFO, Topic.GENERAL, "job refused by rule", {"rule": event.rule, "model": event.model})


def _model_moved(event: ev.ModelMoved) -> Entry:
    fields: dict[str, object] = {"engine": event.engine, "model": event.model, "took_s": _s(event.took_s)}
    if event.error:
        return Entry(WARNING, Topic.GENERAL, f"model {event.action} failed", {**fields, "error": event.error})
    return Entry(INFO, Topic.GENERAL, f"model {event.action} done", fields)


def _model_pulling(event: ev.ModelPulling) -> Entry:
    fields: dict[str, object] = {"engine": event.engine, "model": event.model, "bytes": event.completed}
    return Entry(INFO, Topic.GENERAL, "model downloading", {**fields, "of": event.total})


def _notice(event: ev.Notice) -> Entry:
    fields: dict[str, object] = {"about": event.topic, "text": event.text}
    level = WARNING if event.is_trouble else INFO
    if event.node is None:
        return Entry(level, Topic.GENERAL, "notice", fields, notable=True)
    return Entry(level, Topic.NODES, "notice", {"node": event.node, **fields}, notable=True)


def _crash(event: ev.Crash) -> Entry:
    fields: dict[str, object] = {"task": event.task, "error": event.error, "trace": event.trace}
    if event.node is not None:
        fields["node"] = event.node
    return Entry(ERROR, Topic.GENERAL, "crash", fields)


WORDINGS: Final[Mapping[type[Any], Wording]] = MappingProxyType(
    {
        ev.LifeChanged: Wording(ERROR, _life_changed),
        ev.SessionChanged: Wording(WARNING, _session_changed),
        ev.HoldsChanged: Wording(DEBUG, _holds_changed),
        ev.PollStarted: Wording(DEBUG, _poll_started),
        ev.PollEnded: Wording(DEBUG, _poll_ended),
        ev.PollFailed: Wording(WARNING, _poll_failed),
        ev.StepEnded: Wording(WARNING, _step_ended),
        ev.StepRetried: Wording(WARNING, _step_retried),
        ev.JobClaimed: Wording(DEBUG, _job_claimed),
        ev.JobSkipped: Wording(INFO, _job_skipped),
        ev.JobEnded: Wording(WARNING, _job_ended),
        ev.ResultAccepted: Wording(DEBUG, _result_accepted),
        ev.ResultDelayed: Wording(WARNING, _result_delayed),
        ev.ResultBuried: Wording(ERROR, _result_buried),
        ev.ResultUnsafe: Wording(ERROR, _result_unsafe),
        ev.ResultLost: Wording(ERROR, _result_lost),
        ev.JobProfiled: Wording(INFO, _job_profiled),
        ev.PointsChecked: Wording(INFO, _points_checked),
        ev.ModelsAnnounced: Wording(DEBUG, _models_announced),
        ev.AuthHealthChanged: Wording(WARNING, _auth_health_changed),
        ev.ProxyChecked: Wording(WARNING, _proxy_checked),
        ev.ProxyAssigned: Wording(INFO, _proxy_assigned),
        ev.EngineChanged: Wording(WARNING, _engine_changed),
        ev.EngineCalled: Wording(WARNING, _engine_called),
        ev.BreakerChanged: Wording(WARNING, _breaker_changed),
        ev.FellBack: Wording(WARNING, _fell_back),
        ev.RuleBroken: Wording(INFO, _rule_broken),
        ev.ModelMoved: Wording(WARNING, _model_moved),
        ev.ModelPulling: Wording(INFO, _model_pulling),
        ev.Notice: Wording(WARNING, _notice),
        ev.Crash: Wording(ERROR, _crash),
    }
)
"""Every kind of event."""
