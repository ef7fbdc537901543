"""The gateway's rules: who may come in, who gets which job, whose result counts. Knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from node.domain.errors import StorageError
from node.domain.events import Crash
from node.domain.ids import JobId, NodeId
from node.domain.secret import Secret
from node.ports.clock import Clock, Ids
from node.protocol.messages import JobData, JobRequest, PointsReply, ResultUpdate
from node.runtime.signals import Signal
from node.runtime.tasks import TaskOwner
from node.sandbox.broker import Broker
from node.sandbox.ground import Ground
from node.sandbox.jobs import Answer, JobRecord
from node.sandbox.journal import Journal, Recorded
from node.sandbox.limits import Limits
from node.sandbox.nodes import NodeRecord
from node.sandbox.parts import PartsMaker, honest_parts
from node.sandbox.policy import SandboxPolicy
from node.sandbox.refusals import KeyDenied, NoResultYet, NotRegistered, NotYours, QueueFull, TokenDenied, UnknownJob
from node.sandbox.sums import Totals
from node.sandbox.views import JobPage, NetworkStats

FORGOTTEN_AT_ONCE: Final = 200
"""Jobs that are forgotten in one go."""


class Gateway:
    """One gateway over a broker and a journal; call `start` before anything else.

    Every request of a node that bears a good token is a sign of life. A sign of life moves the node's "last seen"
    and its uptime, and extends nothing else: no lease and no token.

    A result counts whenever it comes first, whether or not the lease still runs. To register anew keeps a node's
    leases, to leave gives them up.
    """

    def __init__(
        self,
        policy: SandboxPolicy,
        secret: Secret,
        *,
        broker: Broker,
        journal: Journal,
        clock: Clock,
        ids: Ids,
        on_crash: Callable[[Crash], object],
        make_parts: PartsMaker = honest_parts,
    ) -> None:
        self._policy = policy
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self.limits = Limits(policy.rate_per_s, policy.latency_s)
        """How fast it is; may be changed at any time. Latency is for those who answer requests to add."""
        self._tasks = TaskOwner(on_crash)
        parts = make_parts(Ground(policy, secret, broker, journal, clock, ids, self._tasks))
        self._broker = parts.broker
        self._issuer = parts.issuer
        self._nodes = parts.nodes
        self._leases = parts.leases
        self._ledger = parts.ledger
        self._settlement = parts.settlement
        self._dispatch = parts.dispatch
        self._saved_uptimes: dict[NodeId, float] = {}

    async def start(self, recorded: Recorded) -> None:
        """Take up what a journal kept: nodes stay in session, leases run on, all other open jobs are queued."""
        now = self._clock.monotonic()
        for node in recorded.nodes:
            self._nodes.restore(node, now)
        self._ledger.restore(recorded.forgotten, recorded.jobs)
        await self._dispatch.restore(recorded)

    async def check_secret(self, node_id: NodeId, secret: Secret) -> None:
        """Step 2: the secret is the node's.

        Raises:
            SecretDenied: it is not.
            StorageUnavailable: a secret seen for the first time cannot be kept.
        """
        await self._journal.node(self._nodes.check_secret(node_id, secret))

    def identity_holds(self, node_id: NodeId, pub_key: str, account_id: str) -> bool:
        """Step 3: whether the auth service holds these credentials valid; see `SandboxPolicy.identities`."""
        return self._nodes.identity_holds(node_id, pub_key, account_id)

    async def register(self, node_id: NodeId, version: str) -> str:
        """Step 4: take the node into session; its token. What it had leased it keeps.

        Raises:
            SecretDenied: registration is closed and the node is not on the list.
            StorageUnavailable: the node cannot be kept.
        """
        node = self._nodes.register(node_id, version, self._clock.monotonic())
        await self._journal.node(node)
        return self._issuer.grant(node_id)

    def authenticate(self, token: str) -> NodeRecord:
        """The node that bears this token; a sign of life.

        Raises:
            TokenDenied: it is forged, expired, or of a node that is not known.
        """
        node = self._nodes.find(self._issuer.holder(token))
        if node is None:
            raise TokenDenied("the token's node is not known")
        self._nodes.seen(node, self._clock.monotonic())
        return node

    def expire_tokens(self) -> None:
        """End all tokens: every session must be renewed. See `Issuer.expire_all`."""
        self._issuer.expire_all()

    async def update_models(self, node: NodeRecord, node_id: str, models: tuple[str, ...]) -> None:
        """Step 5: what the node offers from now on.

        Raises:
            NotYours, NotRegistered: the token is another node's, or the node has left.
            StorageUnavailable: it cannot be kept.
        """
        _require_own(node, node_id)
        _require_session(node)
        self._nodes.offer(node, models)
        await self._journal.node(node)

    async def claim(self, node: NodeRecord) -> JobRecord | None:
        """Step 6: see `Dispatcher.claim`; None, too, while as many were handed out as `Limits` allow.

        Raises:
            NotRegistered: the node has left.
            StorageUnavailable: the claim cannot be kept; the job is queued again.
        """
        _require_session(node)
        if not self.limits.take(self._clock.monotonic()):
            return None
        job = None
        try:
            job = await self._dispatch.claim(node)
        finally:
            if job is None:
                self.limits.give_back()
        return job

    async def accept(self, node: NodeRecord, update: ResultUpdate) -> None:
        """Step 7: see `Settlement.accept`. A node that has left may still hand in what it finished."""
        await self._settlement.accept(node, update)

    async def points(self, node: NodeRecord, node_id: str) -> PointsReply:
        """Step 8: what the node has earned; what it is told survives a restart.

        Raises:
            NotYours, NotRegistered: the token is another node's, or the node has left.
            StorageUnavailable: it cannot be kept.
        """
        _require_own(node, node_id)
        _require_session(node)
        raw = self._nodes.points(node)
        await self._journal.node(node)
        return PointsReply(points=round(raw, 2), pointsraw=raw)

    async def leave(self, node: NodeRecord, node_id: str) -> None:
        """Step 9: the node goes out of session and gives up its leases.

        Raises:
            NotYours: the token is another node's.
            StorageUnavailable: it cannot be kept.
        """
        _require_own(node, node_id)
        self._nodes.leave(node, self._clock.monotonic())
        await self._dispatch.give_up(node)
        await self._journal.left(node)

    def check_key(self, api_key: str) -> Secret:
        """The developer's key.

        Raises:
            KeyDenied: it is empty or unknown.
        """
        key = Secret(api_key)
        if not key or (self._policy.api_keys and key not in self._policy.api_keys):
            raise KeyDenied("the api_key is missing or unknown")
        return key

    async def submit(self, request: JobRequest, api_key: Secret) -> JobRecord:
        """Queue a job; durable when it returns.

        Raises:
            QueueFull: as many jobs wait as the policy allows.
            StorageUnavailable: it cannot be kept.
        """
        if self.pending >= self._policy.max_pending:
            raise QueueFull("too many jobs are waiting")
        job_id = JobId(self._ids.new())
        data = JobData(
            job_id=job_id,
            api_key=api_key.reveal(),
            model=request.model,
            messages=[message.model_dump() for message in request.messages],
            max_output=request.max_output,
            temperature=request.temperature,
        )
        job = JobRecord(
            job_id=job_id,
            seq=self._ledger.next_seq(),
            model=request.model,
            api_key=api_key,
            submitted_at=self._clock.wall(),
            body=data.to_wire(),
        )
        await self._journal.submitted(job)
        self._ledger.submitted(job)
        await self._broker.publish(job.ticket)
        return job

    def answer(self, job_id: str, api_key: Secret) -> tuple[JobRecord, Answer]:
        """An answered job and its answer, for the developer who submitted it.

        Raises:
            UnknownJob: there is no such job of this developer.
            NoResultYet: it has no answer.
        """
        job = self._ledger.find(job_id)
        if job is None or job.api_key != api_key:
            raise UnknownJob("there is no such job")
        if job.answer is None:
            raise NoResultYet("the job has no result yet")
        return job, job.answer

    async def wait(self, job: JobRecord, timeout_s: float) -> bool:
        """Wait until the job has an answer; whether it has one.

        Ends after ``timeout_s``, or the policy's ``max_chat_wait_s`` if that is less, and when the gateway closes.
        """
        return await self._settlement.wait(job, min(timeout_s, self._policy.max_chat_wait_s))

    @property
    def pending(self) -> int:
        """How many jobs wait for a node."""
        return self._broker.depth

    def jobs_done(self, node_id: str) -> int:
        """How many results of this node were accepted; 0 for a node that is not known."""
        node = self._nodes.find(NodeId(node_id))
        return node.succeeded + node.failed if node else 0

    def network(self) -> NetworkStats:
        """The network as it is now."""
        active = list(self._nodes.active(self._clock.monotonic()))
        models = dict.fromkeys(model for node in active for model in node.models)
        return NetworkStats(
            active_nodes=len(active),
            known_nodes=len(self._nodes),
            models=tuple(sorted(models)),
            jobs=self._ledger.counts.submitted,
            accepted=self._ledger.accepted,
        )

    async def totals(self) -> Totals:
        """The ledger's sums; leases that have run out are ended first."""
        await self._dispatch.expire()
        counts = self._ledger.counts
        return Totals(
            submitted=counts.submitted,
            claimed=counts.claimed,
            claims=counts.claims,
            redelivered=counts.claims - counts.claimed,
            returned=counts.returned,
            accepted=self._ledger.accepted,
            succeeded=counts.succeeded,
            failed=counts.failed,
            pending=self._broker.depth,
            leased=len(self._leases),
            lost=self._ledger.lost(self._dispatch.holds),
            duplicates_refused=counts.duplicates_refused,
            unknown_results=counts.unknown_results,
            points=sum(map(self._nodes.points, self._nodes)),
        )

    def job_rows(self, after_seq: int, limit: int) -> list[dict[str, Any]]:
        """See `Ledger.rows`."""
        return self._ledger.rows(after_seq, limit, self._dispatch.state)

    async def job_page(self, after_seq: int, limit: int) -> JobPage:
        """One page of all jobs' rows; leases that have run out are ended first."""
        await self._dispatch.expire()
        rows, next_after = self._ledger.page(after_seq, limit, self._dispatch.state)
        return JobPage(self._clock.wall(), rows, next_after, self._ledger.dropped_rows)

    def node_rows(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Up to ``limit`` nodes for a report, in the order in which they came, the first ``after`` left out."""
        now = self._clock.monotonic()
        return [self._nodes.row(node, now) for node in islice(self._nodes, after, after + limit)]

    async def keep_house(self, stop: Signal) -> None:
        """Call `checkpoint` every ``checkpoint_s`` of the policy until it is time to stop.

        Never raises `StorageError`: a disk that fails is tried again the next time.
        """
        while not await stop.wait(self._policy.checkpoint_s):
            try:
                await self.checkpoint()
            except StorageError:
                continue

    async def checkpoint(self) -> None:
        """Save uptimes that grew, and forget results beyond the policy's ``keep_results_s`` or ``keep_results``.

        Raises:
            StorageUnavailable: it cannot be kept; the next one makes up for it.
        """
        grown = [node for node in self._nodes if self._saved_uptimes.get(node.node_id) != node.uptime_s]
        uptimes = {node.node_id: node.uptime_s for node in grown}
        gone = self._stale()
        await self._journal.checkpoint(grown, gone, self._ledger.unshown(gone))
        self._saved_uptimes.update(uptimes)
        self._ledger.forget(gone)
        while gone := self._stale():
            # Requests come in between: to forget ten thousand jobs at once would hold them up for a tenth of a second.
            await asyncio.sleep(0)
            await self._journal.checkpoint((), gone, self._ledger.unshown(gone))
            self._ledger.forget(gone)

    def _stale(self) -> list[JobRecord]:
        before = self._clock.wall() - self._policy.keep_results_s
        return self._ledger.stale(before, self._policy.keep_results, FORGOTTEN_AT_ONCE)

    def dismiss(self) -> None:
        """Wake all who wait for answers, and let nobody wait from now on."""
        self._settlement.close()

    async def aclose(self) -> None:
        """Dismiss those who wait, finish what is being written, make a last `checkpoint`, close broker and journal."""
        self.dismiss()
        await self._tasks.join()
        try:
            await self.checkpoint()
        except StorageError:
            pass  # Nothing is lost but some seconds of uptime.
        finally:
            await self._broker.aclose()
            await self._journal.aclose()


def _require_own(node: NodeRecord, node_id: str) -> None:
    if node.node_id != node_id:
        raise NotYours("the token is another node's")


def _require_session(node: NodeRecord) -> None:
    if not node.registered:
        raise NotRegistered("the node is not registered")
