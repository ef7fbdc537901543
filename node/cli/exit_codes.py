"""How the program ends, as a number."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of all commands, each with its meaning."""

    OK = 0
    """Done, and nothing lost."""
    DEFECT = 1
    """A defect of the program, told with its traceback."""
    USAGE = 2
    """A flag or argument that does not exist or does not fit."""
    INVALID_INPUT = 3
    """Settings, roster or proxies that cannot be used; every fault is listed."""
    NOT_ALLOWED = 4
    """Simulated nodes towards a gateway that is not declared as the operator's own."""
    UNREACHABLE = 5
    """The gateway, or the sandbox or shard that should have been started, does not answer, or refuses what was asked."""
    STORAGE = 6
    """The outbox or another file cannot be used: in use by another process, or the disk does not take it."""
    UNSENT = 7
    """Finished results are left in the outbox; they are sent by the next run."""
    REFUSED = 8
    """Every node's identity was refused."""
    LOST = 9
    """A claimed job has no accepted result and no other node by the gateway's own ledger, or its result was not put on disk."""
    JOB_FAILED = 10
    """The submitted job was answered with an error."""
    UNFIT = 11
    """The doctor found something that keeps a node from working."""
    THRESHOLDS = 12
    """A load test missed a threshold or could not judge one; no load met them; or it is worse than it may be."""
    AUDIT = 13
    """A load test's audit found a job lost, doubled or otherwise wrong."""
    VOID = 14
    """A load test's generator was the bottleneck: its figures say nothing of the gateway."""
    STOPPED = 15
    """A load test was stopped before its time; what was measured until then is told."""
    SETUP = 78
    """The Python version or a package is missing."""
    INTERRUPTED = 130
    """Ended at once: by the third signal, a load test by the second."""
