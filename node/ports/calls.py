"""Requests in a node's session: what a source that lives on the gateway needs of the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from node.domain.ids import NodeId, SourceId
from node.domain.verdict import Verdict
from node.ports.transport import Reply


class Judgement(Protocol):
    """An answer that was judged."""

    @property
    def verdict(self) -> Verdict:
        """What it means."""
        ...


J = TypeVar("J", bound=Judgement)


class Call(NamedTuple, Generic[J]):
    """One request of a step. A call may be kept and sent again: it holds no token. `repr` omits the body.

    ``target`` is path and query; ``judge`` is given the reply and whether the session was already renewed
    on behalf of this call.
    """

    label: str
    method: str
    target: str
    timeout_s: float
    judge: Callable[[Reply, bool], J]
    body: bytes | None = None

    def __repr__(self) -> str:
        return f"Call({self.label}: {self.method} {self.target})"


class SessionCalls(Protocol):
    """Sends calls with the node's token."""

    @property
    def node_id(self) -> NodeId:
        """Whose session it is."""
        ...

    @property
    def source_id(self) -> SourceId:
        """The gateway it is held with."""
        ...

    async def call(self, call: Call[J], still_wanted: Callable[[], bool] | None = None) -> J:
        """Send a call once and judge its reply; on ``RENEW`` renew the session and send it once more.

        ``still_wanted`` is asked after every wait for a renewal, which may take minutes, before the call is sent.

        Raises:
            Withdrawn: it was not wanted any more.
            TransportError: no usable reply came.
            SessionLost: there is no session, or it could not be renewed.
        """
        ...
