"""What a load test asks of a sandbox beyond what any gateway can be asked: the end of tokens, and its ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json

from node.domain.errors import BrokenReply, TransportError
from node.loadtest.audit.gateway_word import GatewayWord
from node.ports.transport import Request, Transport
from node.sandbox.handshake import Handshake
from node.sandbox.job_rows import JobRow, decode

_TIMEOUT_S: Final = 30.0
_ROWS: Final = 2000
"""A page of them is some 600 KB."""


@dataclass(frozen=True, slots=True)
class LoadControl:
    """Speaks to a sandbox's ``/sandbox/*``."""

    transport: Transport
    handshake: Handshake

    async def expire_tokens(self) -> bool:
        """Have all tokens given out so far count no more; whether it did."""
        try:
            await self._ask("POST", "/sandbox/expire_tokens")
        except TransportError:
            return False
        return True

    async def submitted(self) -> int:
        """How many jobs it has ever been given.

        Raises:
            TransportError: it does not answer, or not as a sandbox does.
        """
        return _count(await self._ask("GET", "/sandbox/ledger"), "submitted")

    async def testify(self, word: GatewayWord, since: float, until: float, jobs_before: int = 0) -> bool:
        """Enter all that its ledger says of jobs submitted from ``since`` to ``until`` (Unix seconds); whether it has all.

        What was submitted later is not of the run, unless it is on the book. ``jobs_before`` is what `submitted` said
        before the run: so many jobs are not even read.

        Raises:
            TransportError: it does not answer, or not as a sandbox does.
        """
        # Each job takes a number, and some that nobody submitted do: none of the run has one that low.
        after: int | None = jobs_before
        dropped = 0
        while after is not None:
            page = await self._ask("GET", f"/sandbox/jobs?after={after}&limit={_ROWS}")
            try:
                after, dropped = page["next_after"], int(page["dropped"])
                rows = [decode(row) for row in page["rows"]]
            except (KeyError, TypeError, ValueError) as error:
                raise self._no_sandbox(str(error)) from error
            for row in rows:
                at = _begun_at(row, until)
                if since <= at and (at <= until or word.book.knows(row.job_id)):
                    word.take_row(row)
        # The oldest go first.
        return dropped <= jobs_before

    async def _ask(self, method: str, path: str) -> Mapping[str, Any]:
        headers = (("x-control-token", self.handshake.control_token.reveal()),)
        reply = await self.transport.exchange(Request(method, self.handshake.url + path, headers), _TIMEOUT_S)
        try:
            content = from_json(reply.body) if reply.status == 200 else None
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise self._no_sandbox(f"HTTP {reply.status}")
        return content

    def _no_sandbox(self, reason: str) -> BrokenReply:
        return BrokenReply(f"{self.handshake.url}: this is no answer of a sandbox ({reason})")


def _begun_at(row: JobRow, otherwise: float) -> float:
    """When the gateway first had a job, as far as its row shows that."""
    if row.submitted_at is not None:
        return row.submitted_at
    return row.claims[0].at if row.claims else otherwise


def _count(content: Mapping[str, Any], name: str) -> int:
    found = content.get(name)
    return found if isinstance(found, int) else 0
