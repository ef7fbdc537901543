"""The nodes that the gateway knows: their secrets, models, standing and uptime."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from node.domain.ids import NodeId
from node.domain.secret import Secret
from node.sandbox.policy import SandboxPolicy
from node.sandbox.refusals import SecretDenied


@dataclass(slots=True, eq=False)
class NodeRecord:
    """One node. ``last_seen`` is monotonic time in seconds, ``uptime_s`` seconds in session in all."""

    node_id: NodeId
    proof: str = ""
    """A keyed hash of the node's secret; empty until it was told."""
    models: tuple[str, ...] = ()
    version: str = ""
    registered: bool = False
    last_seen: float = 0.0
    uptime_s: float = 0.0
    succeeded: int = 0
    failed: int = 0


class Nodes:
    """All nodes by id. Knows no time of its own: callers pass monotonic seconds."""

    def __init__(self, policy: SandboxPolicy, pepper: Secret) -> None:
        self._policy = policy
        self._pepper = pepper.reveal().encode()
        self._records: dict[NodeId, NodeRecord] = {}
        self._offering: dict[str, OrderedDict[NodeId, NodeRecord]] = {}
        """By model the nodes in session that offer it, those seen last at the end."""

    def __iter__(self) -> Iterator[NodeRecord]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    def restore(self, record: NodeRecord, now: float) -> None:
        """Take a record from the journal; the time that the gateway was away counts as no uptime."""
        record.last_seen = now
        self._records[record.node_id] = record
        if record.registered:
            self._enlist(record)

    def find(self, node_id: NodeId) -> NodeRecord | None:
        """The node of this id, if it is known."""
        return self._records.get(node_id)

    def check_secret(self, node_id: NodeId, secret: Secret) -> NodeRecord:
        """The node that this secret belongs to; in open registration the first secret seen is the right one.

        A node that is not known becomes so.

        Raises:
            SecretDenied: it is not the right one.
        """
        if not secret:
            raise SecretDenied("the secret is empty")
        expected = self._policy.node_secrets.get(node_id)
        if expected is None and not self._policy.open_registration:
            raise SecretDenied("the node is not on the list")
        proof = self._proof(node_id, secret)
        known = self._records.get(node_id)
        right = self._proof(node_id, expected) if expected is not None else known.proof if known else ""
        if right and not hmac.compare_digest(right, proof):
            raise SecretDenied("the secret is wrong")
        record = known or self._add(node_id)
        record.proof = proof
        return record

    def identity_holds(self, node_id: NodeId, pub_key: str, account_id: str) -> bool:
        """Whether the auth service holds these credentials valid; see `SandboxPolicy.identities`."""
        if not (node_id and pub_key and account_id):
            return False
        known = self._policy.identities.get(node_id)
        return known is None or (known.pub_key, known.account_id) == (pub_key, account_id)

    def register(self, node_id: NodeId, version: str, now: float) -> NodeRecord:
        """Take the node into session, or keep it there.

        The wire's registration carries no proof, so an open gateway takes any node id here.

        Raises:
            SecretDenied: registration is closed and the node is not on the list.
        """
        if not self._policy.open_registration and node_id not in self._policy.node_secrets:
            raise SecretDenied("the node is not on the list")
        record = self._records.get(node_id) or self._add(node_id)
        self.seen(record, now)
        record.registered = True
        record.version = version
        self._enlist(record)
        return record

    def offer(self, record: NodeRecord, models: tuple[str, ...]) -> None:
        """The node offers these models from now on."""
        self._delist(record)
        record.models = models
        if record.registered:
            self._enlist(record)

    def leave(self, record: NodeRecord, now: float) -> None:
        """Take the node out of session."""
        self.seen(record, now)
        record.registered = False
        self._delist(record)

    def seen(self, record: NodeRecord, now: float) -> None:
        """Note a sign of life. A gap counts as uptime, up to one lease: a node that is full does not poll."""
        if record.registered:
            record.uptime_s += min(max(0.0, now - record.last_seen), self._policy.lease_s)
            for model in record.models:
                self._offering[model].move_to_end(record.node_id)
        record.last_seen = now

    def points(self, record: NodeRecord) -> float:
        """What the node has earned by successful jobs and uptime."""
        return record.succeeded * self._policy.points_per_job + record.uptime_s / 60.0 * self._policy.points_per_minute

    def is_active(self, record: NodeRecord, now: float) -> bool:
        """Whether the node is in session and has shown itself within the policy's ``active_s``."""
        return record.registered and now - record.last_seen <= self._policy.active_s

    def active(self, now: float) -> Iterator[NodeRecord]:
        """The active nodes."""
        return (record for record in self if self.is_active(record, now))

    def another_offers(self, model: str, without: Sequence[NodeId], now: float) -> bool:
        """Whether an active node that is none of ``without`` offers this model. Costs the length of ``without``."""
        offering = reversed(self._offering.get(model, {}).values())
        latest = next((record for record in offering if record.node_id not in without), None)
        return latest is not None and self.is_active(latest, now)

    def row(self, record: NodeRecord, now: float) -> dict[str, Any]:
        """The node for a report: no secret."""
        return {
            "node_id": record.node_id,
            "registered": record.registered,
            "version": record.version,
            "models": list(record.models),
            "silent_s": now - record.last_seen,
            "uptime_s": record.uptime_s,
            "succeeded": record.succeeded,
            "failed": record.failed,
            "points": self.points(record),
        }

    def _add(self, node_id: NodeId) -> NodeRecord:
        record = self._records[node_id] = NodeRecord(node_id)
        return record

    def _enlist(self, record: NodeRecord) -> None:
        for model in record.models:
            offering = self._offering.setdefault(model, OrderedDict())
            offering[record.node_id] = record
            offering.move_to_end(record.node_id)

    def _delist(self, record: NodeRecord) -> None:
        for model in record.models:
            offering = self._offering.get(model)
            if offering is not None:
                offering.pop(record.node_id, None)
                if not offering:
                    del self._offering[model]

    def _proof(self, node_id: NodeId, secret: Secret) -> str:
        text = f"{node_id}\0{secret.reveal()}".encode()
        return hmac.new(self._pepper, text, hashlib.sha256).hexdigest()
