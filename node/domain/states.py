"""The two state machines of a node, each an enum of states, one of inputs, and a table.

A pair of state and input that is not in its table is a defect of the program and raises `IllegalTransition`.
What people read ("idle", "processing", …) is derived from these and stored nowhere: see
`node.domain.presence.describe`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, Flag, auto
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from node.domain.errors import IllegalTransition


class SingleHash:
    """Gives an enum's members the hash of what they are, single objects: `Enum` hashes their names, in Python code.

    They are the keys of what is counted and looked up many thousand times a second.
    """

    __hash__ = object.__hash__


class Life(SingleHash, Enum):
    """Where a node stands between its start and its end."""

    NEW = "new"
    STARTING = "starting"
    """Steps 1 to 5 of the protocol, the waits for the auth gate and a good proxy included."""
    RUNNING = "running"
    """In session: polls, works, hands results over."""
    RECOVERING = "recovering"
    """Out of session, waiting a drawn delay; open jobs run on to their deadline."""
    DRAINING = "draining"
    """No new jobs; open ones finish, results are sent, the node leaves."""
    STOPPED = "stopped"
    """Told to stop, and out of session; open jobs may still be ending."""
    FAILED = "failed"
    """Secret or identity was refused ``NodePolicy.refusals`` times in a row while the auth service was healthy."""

    @property
    def is_over(self) -> bool:
        """Whether nothing follows this state."""
        return self in {Life.STOPPED, Life.FAILED}


class LifeInput(SingleHash, Enum):
    """What moves a node from one `Life` to the next."""

    START = "start"
    READY = "ready"
    """Step 5 is done: the node is in session."""
    FAULT = "fault"
    """A step failed for good, or the program has a defect."""
    REFUSED = "refused"
    """The last refusal that makes a node FAILED."""
    SESSION_LOST = "session lost"
    ELAPSED = "elapsed"
    """The recovery delay is over."""
    DRAIN = "drain"
    DRAINED = "drained"
    """All open jobs ended in the drain's time."""
    DEADLINE = "deadline"
    """They did not: what was open is answered with an error."""
    ABORT = "abort"


class Session(SingleHash, Enum):
    """How a node's token stands."""

    NONE = "none"
    VALID = "valid"
    EXPIRING = "expiring"
    """Still good, and being renewed before its end."""
    REJECTED = "rejected"
    """Denied by the gateway before its time; being renewed."""


class SessionInput(SingleHash, Enum):
    """What moves a token from one `Session` to the next."""

    GRANTED = "granted"
    NEAR_EXPIRY = "near expiry"
    DENIED = "denied"
    """The gateway refused a request with this token."""
    DROPPED = "dropped"
    """Lost, or given up by leaving."""


LIFE_TABLE: Final[Mapping[tuple[Life, LifeInput], Life]] = MappingProxyType(
    {
        (Life.NEW, LifeInput.START): Life.STARTING,
        (Life.NEW, LifeInput.DRAIN): Life.STOPPED,
        (Life.NEW, LifeInput.ABORT): Life.STOPPED,
        (Life.STARTING, LifeInput.READY): Life.RUNNING,
        (Life.STARTING, LifeInput.FAULT): Life.RECOVERING,
        (Life.STARTING, LifeInput.REFUSED): Life.FAILED,
        (Life.STARTING, LifeInput.DRAIN): Life.STOPPED,
        (Life.STARTING, LifeInput.ABORT): Life.STOPPED,
        (Life.RUNNING, LifeInput.SESSION_LOST): Life.STARTING,
        (Life.RUNNING, LifeInput.FAULT): Life.RECOVERING,
        (Life.RUNNING, LifeInput.DRAIN): Life.DRAINING,
        (Life.RUNNING, LifeInput.ABORT): Life.STOPPED,
        (Life.RECOVERING, LifeInput.ELAPSED): Life.STARTING,
        (Life.RECOVERING, LifeInput.DRAIN): Life.STOPPED,
        (Life.RECOVERING, LifeInput.ABORT): Life.STOPPED,
        (Life.DRAINING, LifeInput.DRAINED): Life.STOPPED,
        (Life.DRAINING, LifeInput.DEADLINE): Life.STOPPED,
        (Life.DRAINING, LifeInput.FAULT): Life.DRAINING,
        (Life.DRAINING, LifeInput.SESSION_LOST): Life.DRAINING,
        (Life.DRAINING, LifeInput.ABORT): Life.STOPPED,
    }
)
"""Every move of a life; STOPPED and FAILED have none."""

SESSION_TABLE: Final[Mapping[tuple[Session, SessionInput], Session]] = MappingProxyType(
    {
        (Session.NONE, SessionInput.GRANTED): Session.VALID,
        (Session.VALID, SessionInput.GRANTED): Session.VALID,
        (Session.VALID, SessionInput.NEAR_EXPIRY): Session.EXPIRING,
        (Session.VALID, SessionInput.DENIED): Session.REJECTED,
        (Session.VALID, SessionInput.DROPPED): Session.NONE,
        (Session.EXPIRING, SessionInput.GRANTED): Session.VALID,
        (Session.EXPIRING, SessionInput.DENIED): Session.REJECTED,
        (Session.EXPIRING, SessionInput.DROPPED): Session.NONE,
        (Session.REJECTED, SessionInput.GRANTED): Session.VALID,
        (Session.REJECTED, SessionInput.DROPPED): Session.NONE,
    }
)
"""Every move of a token."""

StateT = TypeVar("StateT", bound=Enum)
InputT = TypeVar("InputT", bound=Enum)


class Machine(Generic[StateT, InputT]):
    """A state that moves by its table alone."""

    __slots__ = ("_table", "state")

    def __init__(self, table: Mapping[tuple[StateT, InputT], StateT], start: StateT) -> None:
        self._table = table
        self.state = start

    def feed(self, input_: InputT) -> StateT:
        """Move on and return the new state.

        Raises:
            IllegalTransition: the table does not list this pair; the state is unchanged.
        """
        try:
            self.state = self._table[self.state, input_]
        except KeyError:
            raise IllegalTransition(f"{self.state} does not take {input_}") from None
        return self.state

    def takes(self, input_: InputT) -> bool:
        """Whether the table lists this input for the present state."""
        return (self.state, input_) in self._table


class Hold(SingleHash, Flag):
    """Reasons not to claim a job. A node claims only when there is none."""

    NOTHING = 0
    BACK_OFF = auto()
    """The last poll failed, and the wait after it is not over."""
    PAUSED = auto()
    """Somebody paused the node."""
    NO_SLOT = auto()
    """All slots are busy."""
    ENGINE = auto()
    """No healthy engine."""
    DISK = auto()
    """The outbox takes no results, or the disk is nearly full."""
    MEMORY = auto()
    """The machine is nearly out of memory."""
    FAILURES = auto()
    """Too many jobs in a row failed on the engine."""
    GPU_BUSY = auto()
    """Something else uses the GPU."""
    DRAINING = auto()

    def also(self, more: Hold) -> Hold:
        """``self | more``, at no cost where one of them is `NOTHING`: an enum's own arithmetic takes a microsecond."""
        if not self._value_:
            return more
        return self | more if more._value_ else self

    def but(self, less: Hold) -> Hold:
        """``self & ~less``, at no cost where that leaves all of it or nothing."""
        if self is less:
            return Hold.NOTHING
        return self & ~less if self._value_ else self
