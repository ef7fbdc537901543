"""What a person reads about a node, derived from its life, its holds and its slots."""

from __future__ import annotations

from enum import Enum
from typing import Final, assert_never

from node.domain.states import Hold, Life, SingleHash

_PAUSES: Final = Hold.PAUSED | Hold.ENGINE | Hold.DISK | Hold.MEMORY | Hold.FAILURES | Hold.GPU_BUSY
"""What a person reads as "paused"."""


class Presence(SingleHash, Enum):
    """A node's condition in one word or two; `describe` says which it is when."""

    INITIALIZING = "initializing"
    REGISTERING = "registering"
    IDLE = "idle"
    CHECKING = "checking"
    PROCESSING = "processing"
    BACKING_OFF = "backing off"
    PAUSED = "paused"
    DRAINING = "draining"
    ERROR = "error"
    SHUTDOWN = "shutdown"


def describe(life: Life, holds: Hold, *, busy_slots: int, polling: bool) -> Presence:
    """Say in a word what a node is doing.

    All of STARTING is "registering", RECOVERING and FAILED are "error". Work comes before everything else that
    a running node does: one that runs a job while it polls for the next is processing. A pause, a missing engine
    and whatever else closes a gate are all "paused"; a poll is told only where nothing holds the node back.
    """
    match life:
        case Life.RUNNING:
            # First, since in a fleet at work all are.
            return _describe_running(holds, busy_slots=busy_slots, polling=polling)
        case Life.NEW:
            return Presence.INITIALIZING
        case Life.STARTING:
            return Presence.REGISTERING
        case Life.RECOVERING | Life.FAILED:
            return Presence.ERROR
        case Life.DRAINING:
            return Presence.DRAINING
        case Life.STOPPED:
            return Presence.SHUTDOWN
        case _:
            assert_never(life)


def _describe_running(holds: Hold, *, busy_slots: int, polling: bool) -> Presence:
    if busy_slots:
        return Presence.PROCESSING
    # Flags are members of which there is one each; to intersect them takes ten times as long as the rest of this.
    if holds is not Hold.NOTHING:
        if holds & _PAUSES:
            return Presence.PAUSED
        if holds & Hold.BACK_OFF:
            return Presence.BACKING_OFF
    return Presence.CHECKING if polling else Presence.IDLE
