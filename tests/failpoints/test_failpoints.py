"""The short form: no crash, loss of power or fault of the disk harms the outbox; planted bugs are found."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial

import pytest

from tests.failpoints.__main__ import main
from tests.failpoints.campaign import crash_everywhere
from tests.failpoints.fault_sweep import fail_everywhere
from tests.failpoints.findings import Harm
from tests.failpoints.plants import Deaf, Eager, FoldersNotSynced, LogBelieved, LogDeleted, RemovedFirst, Tuned
from tests.failpoints.product import Product
from tests.failpoints.survey import Depth, Kind, Tally
from tests.support.virtual_time import in_virtual_time

SHORT = Depth(runs=2, sessions=1, calls=3, draws=1)
FIRST = SHORT._replace(runs=3, enough=1)


def tally_of(work: Callable[[], Coroutine[None, None, Tally]]) -> Tally:
    tallies: list[Tally] = []

    async def run() -> None:
        tallies.append(await work())

    in_virtual_time(run)()
    return tallies[0]


def harms(tally: Tally) -> set[Harm]:
    return {finding.harm for _, finding in tally.findings}


def test_no_crash_and_no_loss_of_power_harms_the_outbox() -> None:
    tally = tally_of(lambda: crash_everywhere(3, Product(), SHORT))
    assert tally.findings == []
    assert tally.states[Kind.CRASH] > 100
    assert tally.states[Kind.POWER_LOSS] > 100
    assert tally.acknowledged


def test_no_fault_of_the_disk_harms_the_outbox() -> None:
    tally = tally_of(lambda: fail_everywhere(4, Product(), calls=2, every=40))
    assert tally.findings == []
    assert tally.faults > 10


@pytest.mark.parametrize(
    "product",
    [
        Tuned("PRAGMA synchronous=OFF"),
        Tuned("PRAGMA synchronous=NORMAL"),
        Eager(),
        FoldersNotSynced(0),
        FoldersNotSynced(2),
        LogBelieved(),
        LogDeleted(),
        RemovedFirst(),
    ],
    ids=[
        "never synced",
        "synced late",
        "promised early",
        "no folder",
        "two folders",
        "log",
        "log deleted",
        "removed first",
    ],
)
def test_a_planted_bug_loses_a_result_at_some_crash(product: Product) -> None:
    for seed in range(20):
        if Harm.LOST in harms(tally_of(partial(crash_everywhere, seed, product, FIRST))):
            return
    pytest.fail("it was not found")


def test_a_promise_after_a_failed_commit_is_found() -> None:
    tally = tally_of(lambda: fail_everywhere(0, Deaf(), calls=2, every=20, enough=1))
    assert harms(tally) <= {Harm.LOST, Harm.UNDONE}
    assert tally.findings


def test_the_long_form_says_what_it_did_on_its_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "1", "--runs", "1", "--calls", "1", "--every", "0"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("seeds 1, crash points ")
    assert last.endswith("lost 0, corrupt 0, otherwise wrong 0")
