"""Everything that this program raises on purpose.

::

    NodeError
    ├── IllegalTransition       a state machine was fed what its table does not list: a defect
    ├── InvalidInput            settings, roster, proxies or flags: all faults at once
    ├── NotAllowed              simulated identities or answers towards what is not the operator's own
    ├── SandboxFailed           the bundled gateway's process did not start
    ├── ShardsFailed            the processes or machines of a load test could not begin
    ├── TokenUnreadable         a session's token is no JWT, or not signed as it must be
    ├── TransportError          an exchange brought no usable reply
    │   ├── ConnectFailed           nobody there, or the name is unknown
    │   ├── TlsFailed               the certificate or the handshake is not to be trusted
    │   ├── ProxyFailed             the proxy refused, denied or broke the way
    │   ├── TimedOut                the deadline passed
    │   ├── ReplyTooLarge           more bytes than allowed
    │   └── BrokenReply             closed, reset or malformed in the middle
    ├── StepFailed              a step of the protocol did not succeed
    │   ├── TryLater                a passing fault; carries how long to wait at least
    │   ├── StepRefused             the other side said no, for good
    │   ├── IdentityRefused         … to the node's secret or identity
    │   ├── Withdrawn               not sent: nobody wanted it any more when it could be
    │   ├── SessionLost             the token is denied and was not to be renewed
    │   └── StepFault               attempts used up, an answer that ends the session, or the node is stopping
    ├── ExecutorError           a job could not be executed
    │   ├── Declined                not this executor's: the next may try
    │   ├── Refused                 the operator's rules do not allow the job
    │   ├── EngineFailed            the engine said so, or broke off
    │   │   └── EngineRefused           … to this job, and would say so again
    │   └── EngineOverloaded        the engine is full; not a failure of it
    └── StorageError
        ├── StorageInUse            another process holds the file
        ├── StorageFull             its bounds are reached
        └── StorageUnavailable      the disk does not take it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class NodeError(Exception):
    """The root: what is not below it is a defect."""


class IllegalTransition(NodeError):
    """A state machine was fed an input that its table does not list for its state."""


@dataclass(frozen=True, slots=True)
class InputFault:
    """One thing wrong in what an operator wrote: where it stands, what is wrong, and what to do.

    ``line`` counts from 1 and is None where the place has no lines; ``column`` is a name, as in a CSV head.
    """

    place: str
    problem: str
    remedy: str
    line: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        where = self.place if self.line is None else f"{self.place}:{self.line}"
        column = f" [{self.column}]" if self.column else ""
        return f"{where}{column}: {self.problem} — {self.remedy}"


class InvalidInput(NodeError):
    """What an operator wrote is not usable; ``faults`` holds all that is wrong with it, the message a line for each."""

    def __init__(self, faults: Sequence[InputFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


class NotAllowed(NodeError):
    """Simulated identities or answers were pointed at a gateway or auth service not declared as the operator's own."""


class SandboxFailed(NodeError):
    """The bundled gateway's process did not start; the message ends with what it said last."""


class ShardsFailed(NodeError):
    """A process or machine that a load test was to run on could not begin, so that none has."""


class TokenUnreadable(NodeError):
    """A session's token is not a JWT, or its signature is not that of the configured key."""


class TransportError(NodeError):
    """An exchange brought no usable reply. The message never holds credentials."""


class ConnectFailed(TransportError):
    """Nobody answers there, the name is unknown, or HTTP cannot carry the request; it was not sent."""


class TlsFailed(TransportError):
    """The certificate or the handshake is not to be trusted; the request was not sent."""


class ProxyFailed(TransportError):
    """The proxy refused, denied or broke the way; the request was not sent."""


class TimedOut(TransportError):
    """The exchange's time was over before the reply was whole; the other side may have acted."""


class ReplyTooLarge(TransportError):
    """The reply has more bytes than allowed, decompressed ones included."""


class BrokenReply(TransportError):
    """The connection closed or was reset before a whole, well-formed reply; the other side may have acted."""


class StepFailed(NodeError):
    """A step of the protocol did not succeed. The message holds no secret."""


class TryLater(StepFailed):
    """A passing fault. ``retry_after_s`` is the least time to wait in seconds, None where none was named."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class StepRefused(StepFailed):
    """The other side said no to this step, and asking again will not help."""


class IdentityRefused(StepFailed):
    """The node's secret (step 2 of the protocol) or its identity (step 3) was denied."""


class Withdrawn(StepFailed):
    """The session had to be waited for, and when it was there the request was not wanted any more; it was not sent."""


class SessionLost(StepFailed):
    """There is no session: the gateway does not know it any more, or its token could not be renewed."""


class StepFault(StepFailed):
    """Attempts are used up, the answer ends the session, or the node is stopping and tries no further."""


class ExecutorError(NodeError):
    """A job could not be executed. The message is for the operator: it may have addresses and remedies.

    ``told`` is what the one who asked may read of it; the message itself where nothing else is given.
    """

    def __init__(self, reason: str, *, told: str = "") -> None:
        self.told = told or reason
        super().__init__(reason)


class Declined(ExecutorError):
    """This executor does not take the job, and nothing of it was done; the next in the list may."""


class Refused(ExecutorError):
    """The operator's rules do not allow the job; the message names the rule and quotes nothing of the job."""


class EngineFailed(ExecutorError):
    """The engine reported an error, or its answer broke off."""


class EngineRefused(EngineFailed):
    """The engine will not run this job as it stands (a bad request): asking again will not help, others it serves."""


class EngineOverloaded(ExecutorError):
    """The engine is full. Not a failure of the engine.

    ``retry_after_s`` is how long to leave it alone at least, in seconds; None where it does not say.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None, *, told: str = "") -> None:
        self.retry_after_s = retry_after_s
        super().__init__(reason, told=told)


class StorageError(NodeError):
    """What must be kept on disk cannot be."""


class StorageInUse(StorageError):
    """Another process holds this file."""


class StorageFull(StorageError):
    """A bound of results or bytes is reached."""


class StorageUnavailable(StorageError):
    """The disk or the file cannot be used: full, failing, read-only, damaged, or closed already."""


def described(error: BaseException) -> str:
    """An error's type and, where it is this program's own or the operating system's, what it says.

    The text of any other is left out: it may quote whatever was met, secrets, prompts and answers included.
    """
    match error:
        case NodeError():
            said = str(error)
        case OSError(strerror=str(text)):
            said = text
        case _:
            said = ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
