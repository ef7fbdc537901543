"""Whatever stands in a roster: nothing but `InvalidInput` is raised, and no good row is lost."""

from __future__ import annotations

import csv
import io
import random
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from node.domain.errors import InvalidInput
from node.settings.proxies import load_proxies, parse_proxies
from node.settings.roster import load_roster, parse_roster
from node.settings.roster_rows import COLUMNS, HEADER
from node.settings.simulated import roster_text
from tests.unit.settings.test_roster import PEM, row

PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=12)
FILLED = PRINTABLE.map(str.strip).filter(bool)
SIZES = st.integers(1, 10**9)

GOOD_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "node_id": FILLED.filter(lambda name: name != "bad"),
            "secret": FILLED,
            "account_id": FILLED,
            "pub_key": st.one_of(FILLED, st.just(PEM)),
            "private_key": st.one_of(st.just(""), FILLED, st.just(PEM)),
            "proxy": st.sampled_from(["", "10.0.0.1:80", "u:p@proxy.example:3128", "socks5://[::1]:1080"]),
            "models": st.lists(FILLED.filter(lambda name: "|" not in name), min_size=1, max_size=3).map("|".join),
            "ram": SIZES.map(str),
            "cpu": SIZES.map(str),
            "vram": SIZES.map(str),
            "gpu": st.one_of(st.just(""), FILLED),
            "os": st.one_of(st.just(""), FILLED),
        }
    ),
    max_size=6,
    unique_by=lambda cells: cells["node_id"],
)
BAD_LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "",
                "x",
                ",",
                '"',
                '""',
                '"a"b,',
                row("bad", os='"open'),
                row("bad", pub_key='"x'),
                row("bad", pub_key='x"'),
                row("bad", ram="none"),
                row("bad", secret=""),
                '"-----BEGIN',
            ]
        ),
        st.text(st.characters(exclude_characters='\r\n"'), max_size=20),
    ),
    max_size=5,
)


def _write(cells: dict[str, str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([cells[name] for name in COLUMNS])
    return text.getvalue()


@given(good=GOOD_ROWS, bad=BAD_LINES, seed=st.integers(0, 100), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_no_good_row_is_lost(good: list[dict[str, str]], bad: list[str], seed: int, end: str) -> None:
    rows = [_write(cells) for cells in good] + bad
    random.Random(seed).shuffle(rows)
    roster = parse_roster(end.join([HEADER, *rows]), "nodes.csv")
    wanted = {cells["node_id"]: cells for cells in good}
    found = {spec.node_id: spec for spec in roster.nodes if spec.node_id != "bad"}
    assert set(wanted) == set(found)
    for node_id, cells in wanted.items():
        assert found[node_id].identity.secret.reveal() == cells["secret"]
        assert str(found[node_id].hardware.ram_mb) == cells["ram"]


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=200).map(lambda tail: HEADER.encode() + b"\n" + tail)))
def test_any_bytes_end_in_nodes_faults_or_invalid_input(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(raw)
        for load in (load_roster, load_proxies):
            try:
                found = load(path)
            except InvalidInput as error:
                found = error
            for fault in found.faults:
                assert str(fault).encode()


@given(st.data())
def test_a_damaged_roster_keeps_the_rows_that_were_not_touched(data: st.DataObject) -> None:
    text = roster_text(5, seed=1)
    lines = text.split("\n")
    hit = data.draw(st.integers(1, 5))
    at = data.draw(st.integers(0, len(lines[hit])))
    lines[hit] = lines[hit][:at] + data.draw(st.text(max_size=4)) + lines[hit][at + data.draw(st.integers(0, 4)) :]
    roster = parse_roster("\n".join(lines), "nodes.csv")
    untouched = {line.split(",")[0] for number, line in enumerate(text.split("\n")[1:6], 1) if number != hit}
    assert untouched <= {spec.node_id for spec in roster.nodes}


@given(st.lists(st.one_of(st.text(max_size=30), st.sampled_from(["10.0.0.1:80", "u:p@h:1", "# x", "http://h:1"]))))
def test_any_list_of_proxies_is_read(lines: list[str]) -> None:
    found = parse_proxies("\n".join(lines), "proxies.txt")
    assert len(set(found.proxies)) == len(found.proxies)
    assert {"10.0.0.1:80" in lines} == {"http://10.0.0.1:80" in map(str, found.proxies)} or "10.0.0.1:80" not in lines
