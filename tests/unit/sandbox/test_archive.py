from __future__ import annotations

import random

import pytest

from node.sandbox.archive import BLOCK, Archive


def row(seq: int) -> bytes:
    return b'[%d,"%032x"]' % (seq, seq * 0x9E3779B97F4A7C15)


def held(archive: Archive, last: int) -> dict[int, bytes]:
    rows: dict[int, bytes] = {}
    for number in range(last // BLOCK + 1):
        rows.update(archive.block(number))
    return rows


@pytest.mark.parametrize("shuffled", [False, True])
def test_rows_come_back_as_they_were_whatever_their_order(shuffled: bool) -> None:
    archive = Archive(10_000)
    seqs = list(range(1, 4 * BLOCK))
    if shuffled:
        random.Random(1).shuffle(seqs)
    for seq in seqs:
        archive.put(seq, row(seq))
    assert held(archive, 4 * BLOCK) == {seq: row(seq) for seq in seqs}
    assert (len(archive), archive.dropped) == (len(seqs), 0)
    assert 0 < archive.size_bytes < sum(len(row(seq)) for seq in range(BLOCK, 4 * BLOCK))


def test_the_lowest_go_when_there_are_too_many() -> None:
    archive = Archive(BLOCK)
    for seq in range(1, 10 * BLOCK):
        archive.put(seq, row(seq))
        assert len(archive) <= BLOCK + 1
    rows = held(archive, 10 * BLOCK)
    assert max(rows) == 10 * BLOCK - 1
    assert archive.dropped + len(rows) == 10 * BLOCK - 1
    assert len(rows) == len(archive) >= BLOCK - 1
    assert all(rows[seq] == row(seq) for seq in rows)


def test_nothing_is_kept_where_nothing_shall_be() -> None:
    archive = Archive(0)
    archive.put(1, row(1))
    assert (held(archive, 1), len(archive), archive.dropped) == ({}, 0, 1)
