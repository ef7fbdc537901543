"""The metrics of engines, their models, and the rules before them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from node.domain import events as ev
from node.observability.metric_families import LONG_S, SLOW_S, SPEEDS, Families
from node.observability.model_names import ModelNames


class EngineMetrics:
    """Counts what engines do. Models beyond the first few, and those that no engine has, share the label "other"."""

    def __init__(self, made: Families, models: ModelNames) -> None:
        self._models = models
        self._circuits: dict[tuple[str, str], tuple[str, str]] = {}
        self.available: Final = made.gauge("engine_available", "1 while an engine can be reached.", "engine")
        self.requests: Final = made.counter(
            "engine_requests", "Requests to engines by what came of them.", "engine", "model", "outcome"
        )
        self.duration: Final = made.histogram(
            "engine_request_duration_seconds", "Time of a request to an engine.", "engine", "outcome", buckets=SLOW_S
        )
        self.first_token: Final = made.histogram(
            "engine_first_token_seconds",
            "Time from a request to its first piece of text.",
            "engine",
            "model",
            buckets=SLOW_S,
        )
        self.speed: Final = made.histogram(
            "engine_output_tokens_per_second",
            "Output tokens a second after the first piece of text.",
            "engine",
            "model",
            buckets=SPEEDS,
        )
        self.prompt_tokens: Final = made.counter(
            "engine_prompt_tokens", "Tokens that engines read, where they tell.", "engine", "model"
        )
        self.output_tokens: Final = made.counter(
            "engine_output_tokens", "Tokens that engines made, where they tell.", "engine", "model"
        )
        self.finishes: Final = made.counter(
            "engine_finishes",
            "Answers of engines by why they ended: stop, length, other or unknown.",
            "engine",
            "reason",
        )
        self.breakers: Final = made.gauge(
            "breaker_state", "1 for the state a model's circuit is in, 0 for others.", "engine", "model", "state"
        )
        self.breaker_openings: Final = made.counter(
            "breaker_openings", "Times that a model's circuit opened.", "engine", "model"
        )
        self.fallbacks: Final = made.counter("fallbacks", "Jobs given to another model than asked for.", "model")
        self.rules_broken: Final = made.counter("rules_broken", "Jobs refused by a rule of the operator.", "rule")
        self.stock: Final = ModelMetrics(made, models)

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """See `node.observability.bus.Subscriber`."""
        return {
            ev.ModelsAnnounced: lambda event: self._models.offer(event.models),
            ev.EngineChanged: lambda event: self.available.labels(event.engine).set(event.available),
            ev.EngineCalled: self._on_called,
            ev.BreakerChanged: self._on_breaker,
            ev.FellBack: lambda event: self.fallbacks.labels(self._models.label(event.asked)).inc(),
            ev.RuleBroken: lambda event: self.rules_broken.labels(event.rule).inc(),
            **self.stock.handlers(),
        }

    def _on_called(self, event: ev.EngineCalled) -> None:
        model, outcome = self._models.label(event.model, works=not event.error), _outcome(event)
        self.requests.labels(event.engine, model, outcome).inc()
        self.duration.labels(event.engine, outcome).observe(event.took_s)
        if event.first_token_s is not None:
            self.first_token.labels(event.engine, model).observe(event.first_token_s)
            writing_s = event.took_s - event.first_token_s
            if event.output_tokens and not event.error and writing_s > 0:
                self.speed.labels(event.engine, model).observe(event.output_tokens / writing_s)
        if event.first_token_s is not None and not event.error:
            self.finishes.labels(event.engine, _finish(event)).inc()
        if event.prompt_tokens:
            self.prompt_tokens.labels(event.engine, model).inc(event.prompt_tokens)
        if event.output_tokens:
            self.output_tokens.labels(event.engine, model).inc(event.output_tokens)

    def _on_breaker(self, event: ev.BreakerChanged) -> None:
        circuit, model = (event.engine, event.model), self._models.label(event.model)
        now = (model, event.state)
        before = self._circuits.get(circuit)
        if before == now:
            return
        if before is not None:
            self.breakers.labels(event.engine, *before).dec()
        self.breakers.labels(event.engine, *now).inc()
        self._circuits[circuit] = now
        if event.state == "open":
            self.breaker_openings.labels(event.engine, model).inc()


class ModelMetrics:
    """Counts what is done with an engine's models: downloads, loading, unloading."""

    def __init__(self, made: Families, models: ModelNames) -> None:
        self._models = models
        self.changes: Final = made.counter(
            "model_changes", "Models pulled, loaded and unloaded.", "engine", "model", "action", "outcome"
        )
        self.change_duration: Final = made.histogram(
            "model_change_duration_seconds",
            "Time to pull, load or unload a model.",
            "engine",
            "action",
            buckets=LONG_S,
        )
        self.pulled: Final = made.gauge(
            "model_pull_completed_bytes", "Bytes that the latest download of a model has.", "engine", "model"
        )
        self.pull_size: Final = made.gauge(
            "model_pull_size_bytes", "Bytes that the latest download of a model will have.", "engine", "model"
        )

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """See `node.observability.bus.Subscriber`."""
        return {ev.ModelMoved: self._on_moved, ev.ModelPulling: self._on_pulling}

    def _on_moved(self, event: ev.ModelMoved) -> None:
        outcome = "error" if event.error else "success"
        model = self._models.label(event.model, works=not event.error)
        self.changes.labels(event.engine, model, event.action, outcome).inc()
        self.change_duration.labels(event.engine, event.action).observe(event.took_s)

    def _on_pulling(self, event: ev.ModelPulling) -> None:
        model = self._models.label(event.model)
        self.pulled.labels(event.engine, model).set(event.completed)
        if event.total is not None:
            self.pull_size.labels(event.engine, model).set(event.total)


def _outcome(event: ev.EngineCalled) -> str:
    if not event.error:
        return "success"
    if event.is_overload:
        return "overload"
    return "refusal" if event.is_refusal else "error"


def _finish(event: ev.EngineCalled) -> str:
    match event.finish_reason:
        case None:
            return "unknown"
        case "stop" | "length":
            return event.finish_reason
        case _:
            return "other"
