"""The roster, ``nodes.csv``: a row a node.

Good rows are taken whatever is wrong with others. No fault ever repeats what a cell holds: where columns are
shifted, any cell may hold a secret. The column ``private_key`` is the account owner's; it is passed over.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from node.domain.errors import InputFault, InvalidInput
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret
from node.settings.roster_rows import Head, Row, split_rows
from node.settings.text_file import is_utf8, read_lenient_text

PROXY_REMEDY: Final = (
    "write host:port or username:password@host:port, with http://, https:// or socks5:// in front if need be, and"
    " in a password %40 for @, %2F for /, %23 for # and %3F for ?"
)

UNKNOWN_MACHINE: Final = Hardware(ram_mb=0, cpu_cores=0, vram_mb=0, gpu="", os="")

_MUST_BE_FILLED: Final = ("node_id", "secret", "account_id", "pub_key")
_WHOLE: Final = re.compile(r"([0-9]{1,12})(?:\.0*)?")
_MOST: Final = 1_000_000_000


class Roster(NamedTuple):
    """The nodes of a roster, in its order, and what was wrong with the other rows."""

    nodes: tuple[NodeSpec, ...]
    faults: tuple[InputFault, ...]


def load_roster(path: Path, *, place: str = "", identities_alone: bool = False) -> Roster:
    """Read a roster file; ``place`` is its name in faults, its path where none is given.

    With ``identities_alone`` models and machine are not read, and may be left empty: a node that is real tells its own.

    Raises:
        InvalidInput: no row can be read at all: the file is missing or unreadable, or its head is not usable.
    """
    text, faults = read_lenient_text(path, place or str(path))
    if faults:
        raise InvalidInput(faults)
    return parse_roster(text, place or str(path), identities_alone=identities_alone)


def parse_roster(text: str, place: str, *, identities_alone: bool = False) -> Roster:
    """Read a roster's text, as `load_roster` does. Of several rows with one id the first good one is taken.

    Raises:
        InvalidInput: it has no head, or that lacks columns or has one twice.
    """
    rows = split_rows(text)
    header = next(rows, None)
    head = Head.read(header, place)
    nodes: dict[str, NodeSpec] = {}
    lines: dict[str, int] = {}
    faults: list[InputFault] = []
    for row in rows:
        reader = _RowReader(head, row, place, identities_alone=identities_alone)
        spec = reader.spec(lines)
        faults += reader.faults
        if spec is not None:
            nodes[spec.node_id] = spec
            lines[spec.node_id] = row.line
    return Roster(tuple(nodes.values()), tuple(faults))


class _RowReader:
    """Reads one row and notes all that is wrong with it."""

    def __init__(self, head: Head, row: Row, place: str, *, identities_alone: bool) -> None:
        self._identities_alone = identities_alone
        self._head = head
        self._row = row
        self._place = place
        self.faults: list[InputFault] = []

    def spec(self, taken: dict[str, int]) -> NodeSpec | None:
        """The row's node, or None where anything is wrong; ``taken`` is the line of each id that is taken."""
        if not self._well_formed():
            return None
        identity = Identity(
            node_id=NodeId(self._text("node_id")),
            secret=Secret(self._text("secret")),
            account_id=AccountId(self._text("account_id")),
            pub_key=self._text("pub_key"),
        )
        if identity.node_id in taken:
            self._fault("node_id", f"the same id is in line {taken[identity.node_id]}", "give each node its own id")
        if self._identities_alone:
            spec = NodeSpec(identity, UNKNOWN_MACHINE, (), self._proxy())
        else:
            models, proxy = self._models(), self._proxy()
            spec = NodeSpec(identity, self._hardware(), models, proxy)
        return None if self.faults else spec

    def _well_formed(self) -> bool:
        cells, width = self._row.cells, self._head.width
        if cells is None:
            self._fault(None, "a quote is not closed, or text follows it", 'close it; a quote inside is written ""')
        elif len(cells) < width or any(cell.strip() for cell in cells[width:]):
            problem = f"the row has {len(cells)} cells, the head {width}"
            self._fault(None, problem, "give each column a cell; a comma inside a cell needs quotes around it")
        return not self.faults

    def _text(self, column: str) -> str:
        text = self._cell(column)
        if not text and column in _MUST_BE_FILLED:
            self._fault(column, "the cell is empty", "fill it in")
        elif "\0" in text:
            self._fault(column, "a NUL character is in the cell", "remove it")
        elif not is_utf8(text):
            self._fault(column, "the cell is not UTF-8", "save the file as UTF-8")
        return text

    def _cell(self, column: str) -> str:
        at = self._head.at.get(column)
        return self._row.cells[at].strip() if self._row.cells is not None and at is not None else ""

    def _models(self) -> tuple[str, ...]:
        names = (name.strip() for name in self._text("models").split("|"))
        models = tuple(dict.fromkeys(name for name in names if name))
        if not models:
            self._fault("models", "no model is named", "name at least one; several are separated by |")
        return models

    def _proxy(self) -> ProxyAddress | None:
        text = self._text("proxy")
        if not text or self.faults:
            return None
        try:
            return ProxyAddress.parse(text)
        except ValueError as error:
            self._fault("proxy", str(error), PROXY_REMEDY)
            return None

    def _hardware(self) -> Hardware:
        return Hardware(
            ram_mb=self._number("ram", 1, "MB"),
            cpu_cores=self._number("cpu", 1, "cores"),
            vram_mb=self._number("vram", 0, "MB"),
            gpu=self._text("gpu"),
            os=self._text("os"),
        )

    def _number(self, column: str, least: int, unit: str) -> int:
        whole = _WHOLE.fullmatch(self._cell(column))
        number = int(whole[1]) if whole else -1
        if not least <= number <= _MOST:
            self._fault(column, "not a usable number", f"give a whole number of {unit}, {least} to {_MOST}")
        return number

    def _fault(self, column: str | None, problem: str, remedy: str) -> None:
        self.faults.append(InputFault(self._place, problem, remedy, self._row.line, column))
