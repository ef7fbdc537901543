"""Who a node in production may be: one identity from the settings, or rows of the roster."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from node.domain.errors import InputFault, InvalidInput
from node.domain.identity import Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret
from node.settings.catalogue import catalogue
from node.settings.explain import closest
from node.settings.layers import DEFAULT_ORIGIN
from node.settings.load import Loaded
from node.settings.roster import PROXY_REMEDY, UNKNOWN_MACHINE, load_roster
from node.settings.text_file import display_path, printable, read_lenient_text


class Identities(NamedTuple):
    """Who a node may be, in the order in which that is to be tried; one at least.

    ``faults`` are those of rows that were passed over.
    """

    specs: tuple[NodeSpec, ...]
    faults: tuple[InputFault, ...] = ()


def read_identities(loaded: Loaded, cwd: Path, *, node: str = "", claim: bool = False) -> Identities:
    """The identities that the node may take.

    ``node`` names a row of the roster; with ``claim`` every row will do; otherwise the settings say who it is. Machine
    and models are left for the caller to fill in: what a roster declares of them counts for simulations alone. Reading
    blocks.

    Raises:
        InvalidInput: there is no such identity, or it is not whole; with everything that is wrong.
    """
    if not node and not claim:
        return Identities((_own(loaded, cwd),))
    path = loaded.settings.fleet.roster
    place = display_path(path, cwd)
    roster = load_roster(cwd / path, place=place, identities_alone=True)
    rows = [spec for spec in roster.nodes if claim or spec.node_id == node]
    if not rows:
        known = [spec.node_id for spec in roster.nodes]
        guess = closest(node, known)
        problem = f"there is no usable row for node {printable(node)!r}" if node else "the file names no usable node"
        remedy = f"did you mean {guess}?" if guess else "add a row, or name another roster (fleet.roster)"
        raise InvalidInput([*roster.faults, InputFault(place, problem, remedy)])
    return Identities(tuple(rows), roster.faults if claim else ())


def _own(loaded: Loaded, cwd: Path) -> NodeSpec:
    given = loaded.settings.identity
    faults: list[InputFault] = []
    secret = given.secret or _secret_of_file(loaded, cwd, faults)
    values = {"id": given.id, "secret": secret, "account_id": given.account_id, "pub_key": given.pub_key}
    if not any(values.values()) and not faults:
        remedy = "set NODE_ID, NODE_SECRET, ACCOUNT_ID and NODE_PUB_KEY, or take a row of the roster with --node ID"
        raise InvalidInput([InputFault("identity", "nothing says who this node is", remedy)])
    for key, value in values.items():
        if not value and not (key == "secret" and faults):
            variable = catalogue()[f"identity.{key}"].env_names[1]
            faults.append(InputFault("identity", f"{key} is missing", f"set {variable}", column=f"identity.{key}"))
    proxy = _proxy(loaded, faults)
    if faults:
        raise InvalidInput(faults)
    identity = Identity(NodeId(given.id), Secret(secret.reveal()), AccountId(given.account_id), given.pub_key)
    return NodeSpec(identity, UNKNOWN_MACHINE, (), proxy)


def _secret_of_file(loaded: Loaded, cwd: Path, faults: list[InputFault]) -> Secret:
    path = loaded.settings.identity.secret_file
    if path is None:
        return Secret("")
    text, found = read_lenient_text(cwd / path, display_path(path, cwd))
    faults += found
    if not found and not text.strip():
        faults.append(InputFault(display_path(path, cwd), "the file is empty", "write the node's secret into it"))
    return Secret(text.strip())


def _proxy(loaded: Loaded, faults: list[InputFault]) -> ProxyAddress | None:
    written = loaded.settings.identity.proxy.reveal()
    if not written:
        return None
    try:
        return ProxyAddress.parse(written)
    except ValueError as error:
        origin = loaded.origins.get("identity.proxy", DEFAULT_ORIGIN)
        faults.append(origin.fault(str(error), PROXY_REMEDY, "identity.proxy"))
        return None
