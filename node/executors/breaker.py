"""Leaves a model of an engine alone that fails again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial

from node.domain.circuit import Circuit
from node.domain.errors import EngineFailed, EngineRefused
from node.domain.events import BreakerChanged
from node.domain.jobs import Payload
from node.domain.results import Output
from node.executors.model_circuit import BreakerPolicy, ModelCircuit
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.ports.executor import Executor, Partials


class Breaker:
    """A circuit for each model of one engine, by the name that jobs ask for.

    `node.domain.errors.EngineFailed` counts as a failure and an output as an answer. All else tells nothing of the
    engine: a job that it declined or refused, an engine that is full, a call that was cancelled. Each change of a
    circuit is told as a `BreakerChanged`; one that was not told of yet is closed.
    """

    def __init__(self, executor: Executor, policy: BreakerPolicy, clock: Clock, events: EventSink) -> None:
        self._executor = executor
        self._policy = policy
        self._clock = clock
        self._events = events
        self._circuits: OrderedDict[str, ModelCircuit] = OrderedDict()

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`: the engine's."""
        return self._executor.name

    def states(self) -> Mapping[str, Circuit]:
        """How the circuits of the models stand that are remembered, the longest unused first."""
        return {model: circuit.state for model, circuit in self._circuits.items()}

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`.

        Raises:
            Declined: the model is left alone at present, or the engine declined.
        """
        circuit = self._circuit(payload.model)
        passage = circuit.admit()
        try:
            output = await self._executor.execute(payload, partials)
        except EngineRefused:
            raise
        except EngineFailed as error:
            circuit.failed(passage, str(error))
            raise
        else:
            circuit.answered()
            return output
        finally:
            circuit.leave(passage)

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`: closes the engine; no circuit changes by time any more."""
        for circuit in self._circuits.values():
            circuit.close()
        await self._executor.aclose()

    def _circuit(self, model: str) -> ModelCircuit:
        circuit = self._circuits.get(model)
        if circuit is None:
            self._make_room()
            tell = partial(self._tell, model)
            circuit = self._circuits[model] = ModelCircuit(self.name, self._policy, self._clock, tell)
        self._circuits.move_to_end(model)
        return circuit

    def _make_room(self) -> None:
        """Forget the model unused for longest, a closed circuit sooner than another, but none with a call under way."""
        if len(self._circuits) < self._policy.max_models:
            return
        idle = [model for model, circuit in self._circuits.items() if circuit.is_idle]
        closed = (model for model in idle if self._circuits[model].state is Circuit.CLOSED)
        if idle:
            self._circuits.pop(next(closed, idle[0])).close("forgotten in favour of models asked for since")

    def _tell(self, model: str, state: Circuit, reason: str) -> None:
        self._events.emit(BreakerChanged(self.name, model, state.value, reason))
