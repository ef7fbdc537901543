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

SHORT = Depth(runs=2, sessions=1, calls=2, draws=0)
FIRST = Depth(runs=3, sessions=1, calls=2, draws=0, enough=1)
SEEDS = 40
"""Within so many every planted bug is found; most are by the first."""


def tally_of(work: Callable[[], Coroutine[None, None, Tally]]) -> Tally:
    tallies: list[Tally] = []

    async def run() -> None:
        tallies.append(await work())

    in_virtual_time(run)()
    return tallies[0]


def harms(tally: Tally) -> set[Harm]:
    return {finding.harm for _, finding in tally.findings}


def test_no_crash_and_no_loss_of_power_harms_the_outbox() -> None:
    tally = tally_of(lambda: crash_everywhere(4, Product(), SHORT))
    assert tally.findings == []
    assert tally.states[Kind.CRASH] > 100
    assert tally.states[Kind.POWER_LOSS] > 100
    assert tally.acknowledged


def test_no_fault_of_the_disk_harms_the_outbox() -> None:
    tally = tally_of(lambda: fail_everywhere(4, Product(), calls=1, every=60))
    assert tally.findings == []
    assert tally.faults > 10


@pytest.mark.parametrize(
    ("product", "seed"),
    [
        pytest.param(Tuned("PRAGMA synchronous=OFF"), 0, id="commits are never synced"),
        pytest.param(Tuned("PRAGMA synchronous=NORMAL"), 0, id="commits are synced late"),
        pytest.param(Eager(), 0, id="promised before the commit"),
        pytest.param(FoldersNotSynced(0), 0, id="no folder is synced"),
        pytest.param(FoldersNotSynced(2), 0, id="two folders alone are synced"),
        pytest.param(LogBelieved(), 15, id="what a crash left is not synced"),
        pytest.param(LogDeleted(), 0, id="the log is deleted at the start"),
        pytest.param(RemovedFirst(), 0, id="removed before the verdict"),
    ],
)
def test_a_planted_bug_loses_a_result_at_some_crash(product: Product, seed: int) -> None:
    for tried in range(seed, seed + SEEDS):
        if Harm.LOST in harms(tally_of(partial(crash_everywhere, tried, product, FIRST))):
            return
    pytest.fail("it was not found")


def test_a_promise_after_a_failed_commit_is_found() -> None:
    tally = tally_of(lambda: fail_everywhere(0, Deaf(), calls=1, every=20, enough=1))
    assert harms(tally) <= {Harm.LOST, Harm.UNDONE}
    assert tally.findings


def test_the_long_form_says_what_it_did_on_its_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "1", "--runs", "1", "--calls", "1", "--every", "0"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("seeds 1, crash points ")
    assert last.endswith("lost 0, corrupt 0, otherwise wrong 0")
