"""Who the nodes of a load test are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Final, Protocol

from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.secret import Secret

_MACHINE: Final = Hardware(ram_mb=16384, cpu_cores=8, vram_mb=8192, gpu="none", os="linux")
_ACCOUNT: Final = AccountId("loadtest")


class Identities(Protocol):
    """Gives each node of a plan, by its number from 0, what it proves itself with; always the same for the same one."""

    def spec(self, node: int) -> NodeSpec:
        """The node's row."""
        ...


class MadeIdentities:
    """Nodes that nobody knew before: for a gateway that takes whoever comes.

    ``run`` is a part of all names, so that runs do not meet each other's nodes; ``key``, a secret of the run's own, is
    what the nodes' secrets are derived from. ``models`` says what each offers.
    """

    def __init__(self, run: str, key: Secret, models: Callable[[int], tuple[str, ...]]) -> None:
        self._run = run
        self._key = key.reveal().encode()
        self._models = models

    def spec(self, node: int) -> NodeSpec:
        """See `Identities.spec`."""
        secret = blake2b(str(node).encode(), key=self._key, digest_size=16).hexdigest()
        identity = Identity(NodeId(f"load-{self._run}-{node:05d}"), Secret(secret), _ACCOUNT, _ACCOUNT)
        return NodeSpec(identity, _MACHINE, self._models(node))


class RosterIdentities:
    """The nodes of a roster, in its order; their models are the plan's, and they go without proxies.

    Raises:
        IndexError: from `spec`, when there are not so many.
    """

    def __init__(self, roster: Sequence[NodeSpec], models: Callable[[int], tuple[str, ...]]) -> None:
        self._roster = roster
        self._models = models

    def spec(self, node: int) -> NodeSpec:
        """See `Identities.spec`."""
        return replace(self._roster[node], models=self._models(node), proxy=None)
