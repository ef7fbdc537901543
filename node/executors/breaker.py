"""Leaves a model of an engine alone that fails again and again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from node.domain.circuit import Circuit
from node.domain.errors import EngineFailed, EngineRefused
from node.domain.events import BreakerChanged
from node.domain.jobs import Payload
from node.domain.model_names import full_name
from node.domain.results import Output
from node.executors.model_circuit import BreakerPolicy, ModelCircuit
from node.executors.watched_pieces import WatchedPieces
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.ports.executor import Executor, Partials


class _Guarded(NamedTuple):
    """A model, by the name that the first job asked for, and its circuit."""

    model: str
    circuit: ModelCircuit


class Breaker:
    """A circuit for each model of one engine; names that mean the same model (`full_name`) share one.

    `node.domain.errors.EngineFailed` counts as a failure and an output as an answer; so does, as a failure, a call that
    was cancelled after a long silence, since deadlines of jobs may be shorter than an engine's. All else tells nothing
    of the engine: a job that it declined or refused, an engine that is full, any other call that was cancelled. Each
    change of a circuit is told as a `BreakerChanged`; one that was not told of yet is closed.
    """

    def __init__(self, executor: Executor, policy: BreakerPolicy, clock: Clock, events: EventSink) -> None:
        self._executor = executor
        self._policy = policy
        self._clock = clock
        self._events = events
        self._guarded: OrderedDict[str, _Guarded] = OrderedDict()

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`: the engine's."""
        return self._executor.name

    def states(self) -> Mapping[str, Circuit]:
        """How the circuits of the models stand that are remembered, the longest unused first."""
        return {model: circuit.state for model, circuit in self._guarded.values()}

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`.

        Raises:
            Declined: the model is left alone at present, or the engine declined.
        """
        circuit = self._circuit(payload.model)
        passage = circuit.admit()
        pieces, asked_at = WatchedPieces(partials), self._clock.monotonic()
        try:
            output = await self._executor.execute(payload, pieces)
        except EngineRefused:
            raise
        except EngineFailed as error:
            circuit.failed(passage, str(error), error.told)
            raise
        except asyncio.CancelledError:
            silent_s = self._clock.monotonic() - asked_at
            if not pieces.came and silent_s >= self._policy.silent_s:
                reason = f"{self.name} had said nothing for {silent_s:.0f} s when its call was ended"
                circuit.failed(passage, reason, reason)
            raise
        else:
            circuit.answered()
            return output
        finally:
            circuit.leave(passage)

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`: closes the engine; no circuit changes by time any more."""
        for _, circuit in self._guarded.values():
            circuit.close()
        await self._executor.aclose()

    def _circuit(self, model: str) -> ModelCircuit:
        key = full_name(model)
        guarded = self._guarded.get(key)
        if guarded is None:
            self._make_room()
            circuit = ModelCircuit(self.name, self._policy, self._clock, partial(self._tell, model))
            guarded = self._guarded[key] = _Guarded(model, circuit)
        self._guarded.move_to_end(key)
        return guarded.circuit

    def _make_room(self) -> None:
        """Forget the model unused for longest, a closed circuit sooner than another, but none with a call under way."""
        if len(self._guarded) < self._policy.max_models:
            return
        idle = [key for key, guarded in self._guarded.items() if guarded.circuit.is_idle]
        closed = (key for key in idle if self._guarded[key].circuit.state is Circuit.CLOSED)
        if idle:
            forgotten = self._guarded.pop(next(closed, idle[0]))
            forgotten.circuit.close("forgotten in favour of models asked for since")

    def _tell(self, model: str, state: Circuit, reason: str) -> None:
        self._events.emit(BreakerChanged(self.name, model, state.value, reason))
