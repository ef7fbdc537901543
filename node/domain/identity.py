"""Who a node is and what it says of its machine."""

from __future__ import annotations

from dataclasses import dataclass

from node.domain.ids import AccountId, NodeId
from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class Identity:
    """What a node proves itself with: its secret to the gateway, account and public key to the auth service."""

    node_id: NodeId
    secret: Secret
    account_id: AccountId
    pub_key: str


@dataclass(frozen=True, slots=True)
class Hardware:
    """A machine as the gateway is told of it in step 4 of the protocol: memory in MB, ``gpu`` and ``os`` by name."""

    ram_mb: int
    cpu_cores: int
    vram_mb: int
    gpu: str
    os: str


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One row of the roster: a node's identity, hardware, the models it offers and its own proxy, None without one."""

    identity: Identity
    hardware: Hardware
    models: tuple[str, ...]
    proxy: ProxyAddress | None = None

    @property
    def node_id(self) -> NodeId:
        """Short for ``identity.node_id``."""
        return self.identity.node_id
