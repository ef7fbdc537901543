"""Both state machines, every pair of state and input."""

from __future__ import annotations

import itertools

import pytest

from node.domain.errors import IllegalTransition
from node.domain.states import (
    LIFE_TABLE,
    SESSION_TABLE,
    Hold,
    Life,
    LifeInput,
    Machine,
    Session,
    SessionInput,
)

N, S, R, C, D, X, F = (
    Life.NEW,
    Life.STARTING,
    Life.RUNNING,
    Life.RECOVERING,
    Life.DRAINING,
    Life.STOPPED,
    Life.FAILED,
)

LIFE = {
    LifeInput.START: {N: S},
    LifeInput.READY: {S: R},
    LifeInput.FAULT: {S: C, R: C, D: D},
    LifeInput.REFUSED: {S: F},
    LifeInput.SESSION_LOST: {R: S, D: D},
    LifeInput.ELAPSED: {C: S},
    LifeInput.DRAIN: {N: X, S: X, R: D, C: X},
    LifeInput.DRAINED: {D: X},
    LifeInput.DEADLINE: {D: X},
    LifeInput.ABORT: {N: X, S: X, R: X, C: X, D: X},
}

SESSION = {
    SessionInput.GRANTED: dict.fromkeys(Session, Session.VALID),
    SessionInput.NEAR_EXPIRY: {Session.VALID: Session.EXPIRING},
    SessionInput.DENIED: {Session.VALID: Session.REJECTED, Session.EXPIRING: Session.REJECTED},
    SessionInput.DROPPED: {
        Session.VALID: Session.NONE,
        Session.EXPIRING: Session.NONE,
        Session.REJECTED: Session.NONE,
    },
}


@pytest.mark.parametrize(("state", "input_"), list(itertools.product(Life, LifeInput)))
def test_life_moves_by_its_table_alone(state: Life, input_: LifeInput) -> None:
    expected = LIFE[input_].get(state)
    machine = Machine(LIFE_TABLE, state)
    assert machine.takes(input_) is (expected is not None)
    if expected is None:
        with pytest.raises(IllegalTransition, match="does not take"):
            machine.feed(input_)
        assert machine.state is state
    else:
        assert machine.feed(input_) is expected
        assert machine.state is expected


@pytest.mark.parametrize(("state", "input_"), list(itertools.product(Session, SessionInput)))
def test_session_moves_by_its_table_alone(state: Session, input_: SessionInput) -> None:
    expected = SESSION[input_].get(state)
    machine = Machine(SESSION_TABLE, state)
    if expected is None:
        with pytest.raises(IllegalTransition):
            machine.feed(input_)
        assert machine.state is state
    else:
        assert machine.feed(input_) is expected


def test_every_live_state_can_be_aborted_and_no_ended_one_moves() -> None:
    for state in Life:
        machine = Machine(LIFE_TABLE, state)
        assert machine.takes(LifeInput.ABORT) is not state.is_over
        assert state.is_over is not any(machine.takes(input_) for input_ in LifeInput)


def test_every_state_of_a_life_can_be_reached_from_its_start() -> None:
    reached, frontier = {Life.NEW}, {Life.NEW}
    while frontier:
        frontier = {after for (before, _), after in LIFE_TABLE.items() if before in frontier} - reached
        reached |= frontier
    assert reached == set(Life)


def test_holds_add_up() -> None:
    holds = Hold.BACK_OFF | Hold.DISK
    assert holds & ~Hold.DISK == Hold.BACK_OFF
    assert not holds & ~Hold.DISK & ~Hold.BACK_OFF


@pytest.mark.parametrize("one", [Hold.NOTHING, Hold.DISK, Hold.DISK | Hold.ENGINE])
@pytest.mark.parametrize("other", [Hold.NOTHING, Hold.DISK, Hold.PAUSED, Hold.DISK | Hold.ENGINE])
def test_holds_are_added_and_taken_away(one: Hold, other: Hold) -> None:
    assert one.also(other) is one | other
    assert one.but(other) is one & ~other
