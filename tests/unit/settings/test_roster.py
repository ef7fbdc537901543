"""The roster: what is taken, and what is told of the rest."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from node.domain.errors import InvalidInput
from node.domain.identity import Hardware
from node.settings.roster import load_roster, parse_roster
from node.settings.roster_rows import COLUMNS, HEADER
from node.settings.simulated import roster_text

PEM = "-----BEGIN PUBLIC KEY-----\nMFkw,EwYH\n-----END PUBLIC KEY-----"


def row(name: str = "n1", **cells: str) -> str:
    """A good row, or one with the given cells."""
    good = {
        "node_id": name,
        "secret": "s",
        "account_id": "a",
        "pub_key": "p",
        "private_key": "never",
        "proxy": "",
        "models": "llama3.1:latest|gemma2:2b",
        "ram": "16384",
        "cpu": "8",
        "vram": "12288",
        "gpu": "RTX",
        "os": "Debian",
    }
    return ",".join((good | cells).values())


def read(*rows: str) -> tuple[list[str], list[tuple[int | None, str | None]]]:
    """Ids of the good rows; line and column of each fault."""
    roster = parse_roster("\n".join(rows), "nodes.csv")
    assert all(fault.place == "nodes.csv" and fault.remedy for fault in roster.faults)
    return [spec.node_id for spec in roster.nodes], [(fault.line, fault.column) for fault in roster.faults]


def test_a_good_row_becomes_a_node() -> None:
    (spec,), faults = parse_roster(f"{HEADER}\n{row(proxy='socks5://u:p@10.0.0.1:1080')}\n", "nodes.csv")
    assert faults == ()
    assert (spec.identity.account_id, spec.identity.pub_key, spec.identity.secret.reveal()) == ("a", "p", "s")
    assert spec.hardware == Hardware(16384, 8, 12288, "RTX", "Debian")
    assert spec.models == ("llama3.1:latest", "gemma2:2b")
    assert str(spec.proxy) == "socks5://10.0.0.1:1080"


@pytest.mark.parametrize(
    "mangle",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\n", "\n\n,,,,,,,,,,,\n  \n"),
        lambda text: text.replace("\n", ",,,\n"),
        lambda text: text.replace(",", " , "),
        lambda text: text.upper().replace("16384", "16384.0"),
        lambda text: text.rstrip("\n"),
    ],
)
def test_what_editors_and_spreadsheets_do_is_taken(tmp_path: Path, mangle: object) -> None:
    assert callable(mangle)
    path = tmp_path / "nodes.csv"
    path.write_bytes(mangle(f"{HEADER}\n{row('n1')}\n{row('n2')}\n").encode())
    roster = load_roster(path)
    assert [spec.node_id.lower() for spec in roster.nodes] == ["n1", "n2"]
    assert roster.faults == ()


def test_columns_in_another_order_beside_others_and_without_the_optional_ones() -> None:
    columns = [name for name in reversed(COLUMNS) if name not in {"private_key", "proxy"}]
    cells = dict(zip(COLUMNS, row().split(","), strict=True)) | {"notes": "any, thing"}
    text = ",".join(["notes", *columns]) + "\n" + ",".join(['"any, thing"', *(cells[name] for name in columns)])
    (spec,), faults = parse_roster(text, "nodes.csv")
    assert faults == ()
    assert spec.hardware.ram_mb == 16384
    assert spec.proxy is None


@pytest.mark.parametrize(
    ("bad", "column"),
    [
        ({"secret": ""}, "secret"),
        ({"account_id": " "}, "account_id"),
        ({"pub_key": ""}, "pub_key"),
        ({"models": "| |"}, "models"),
        ({"ram": "much"}, "ram"),
        ({"ram": "0"}, "ram"),
        ({"ram": ""}, "ram"),
        ({"cpu": "-1"}, "cpu"),
        ({"cpu": "nan"}, "cpu"),
        ({"vram": "1.5"}, "vram"),
        ({"vram": "99999999999"}, "vram"),
        ({"vram": "9" * 5000}, "vram"),
        ({"vram": "٣"}, "vram"),
        ({"proxy": "nowhere"}, "proxy"),
        ({"proxy": "http://[::1"}, "proxy"),
        ({"gpu": "\0"}, "gpu"),
        ({"secret": "\0"}, "secret"),
        ({"os": "\udcff"}, "os"),
        ({"gpu": '"a\nb"'}, None),
        ({"os": '"open'}, None),
        ({"os": '"a"b'}, None),
        ({"os": "a,b"}, None),
    ],
)
def test_a_bad_cell_is_told_and_costs_its_row_alone(bad: dict[str, str], column: str | None) -> None:
    ids, faults = read(HEADER, row("n1"), row("n2", **bad), row("n3"), "", row("n4"))
    assert ids == ["n1", "n3", "n4"]
    assert faults[0] == (3, column)


def test_all_that_is_wrong_with_a_row_is_told() -> None:
    ids, faults = read(HEADER, row("", secret="", models="", ram="x", cpu="y", vram="z"))
    assert ids == []
    assert faults == [(2, column) for column in ("node_id", "secret", "models", "ram", "cpu", "vram")]


def test_a_row_that_is_too_short() -> None:
    assert read(HEADER, "n1,secret", row("n2")) == (["n2"], [(2, None)])


def test_of_one_id_the_first_good_row_stays() -> None:
    ids, faults = read(HEADER, row("n1", ram="x"), row("n1", os="first"), row("n2"), row("n1", os="second"))
    assert ids == ["n1", "n2"]
    assert faults == [(2, "ram"), (5, "node_id")]
    roster = parse_roster("\n".join([HEADER, row("n1", os="first"), row("n1", os="second")]), "nodes.csv")
    assert roster.nodes[0].hardware.os == "first"
    assert "line 2" in roster.faults[0].problem


def test_keys_may_have_line_breaks_and_lines_are_counted_with_them() -> None:
    roster = parse_roster("\n".join([HEADER, row("n1", pub_key=f'"{PEM}"'), row("n2", ram="x")]), "nodes.csv")
    assert roster.nodes[0].identity.pub_key == PEM
    assert [fault.line for fault in roster.faults] == [5]


@pytest.mark.parametrize("stray", ['"', '"x', 'x"'])
@pytest.mark.parametrize("column", ["node_id", "pub_key", "os"])
def test_quotes_out_of_order_do_not_swallow_other_rows(stray: str, column: str) -> None:
    rows = [
        row("n1"),
        row("n2", **{column: stray}),
        row("n3", gpu='"RTX, big"'),
        row("n4", **{column: stray}),
        row("n5"),
    ]
    ids, _ = read(HEADER, *rows)
    assert {"n1", "n3", "n5"} <= set(ids)


def test_a_quote_that_a_later_row_closes_does_not_swallow_the_rows_between() -> None:
    ids, faults = read(HEADER, row("n1"), row("n2", os='"open'), row("n3"), row("n4", os='x"'), row("n5"))
    assert ids == ["n1", "n3", "n4", "n5"]
    assert faults == [(3, None)]


def test_bytes_that_are_not_utf8_cost_their_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "nodes.csv"
    path.write_bytes(f"{HEADER}\n{row('n1', gpu='é')}\n".encode() + row("n2", gpu="é").encode("latin-1") + b"\n")
    roster = load_roster(path)
    assert [spec.hardware.gpu for spec in roster.nodes] == ["é"]
    assert [(fault.line, fault.column) for fault in roster.faults] == [(3, "gpu")]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", [None]),
        ("\n \n", [None]),
        (row(), [None]),
        ('"open', [None]),
        ("node_id,secret,account_id,pub_key,models,ram,cpu,os", ["vram", "gpu"]),
        (f"{HEADER},node_id", ["node_id"]),
    ],
)
def test_a_head_that_cannot_be_used(text: str, columns: list[str | None]) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_roster(text, "nodes.csv")
    assert [fault.column for fault in caught.value.faults] == columns
    assert HEADER in caught.value.faults[0].remedy or columns == ["node_id"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "utf16.csv").write_bytes(HEADER.encode("utf-16"))
    for name in ("missing.csv", "utf16.csv", "."):
        with pytest.raises(InvalidInput) as caught:
            load_roster(tmp_path / name, place=name)
        assert [fault.place for fault in caught.value.faults] == [name]


def test_a_large_roster_is_read_in_no_time(tmp_path: Path) -> None:
    path = tmp_path / "nodes.csv"
    path.write_text(roster_text(10_000, accounts=100), encoding="utf-8")
    began = time.process_time()
    assert len(load_roster(path).nodes) == 10_000
    assert time.process_time() - began < 3, "a fifth of a second is usual"


@pytest.mark.parametrize("bad", [row("x", os='"open'), row("x", secret='"'), "x,y", '"', row("x", gpu="y" * 200_000)])
def test_a_large_roster_of_bad_rows_is_read_in_no_time(bad: str) -> None:
    lines = 3_000 if len(bad) < 1000 else 30
    began = time.process_time()
    roster = parse_roster("\n".join([HEADER, *[bad] * lines, row("good")]), "nodes.csv")
    assert [spec.node_id for spec in roster.nodes if spec.node_id != "x"] == ["good"]
    assert time.process_time() - began < 5
