"""What holds for all tests: what they need is there, or they are skipped by name; in CI nothing is skipped."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

NEEDS = {"needs_tinyproxy": "tinyproxy", "needs_microsocks": "microsocks"}

PROOFS = {"simulation", "failpoints", "crash", "evil", "secrets", "soak"}
"""Folders whose tests try hard to break what is promised; `make fast` leaves them out."""


# How long an example takes says how busy the machine is; what hangs is ended by the time-out.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


def pytest_configure() -> None:
    # A shell starts what runs in its background deaf to SIGINT, and children inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in PROOFS:
            item.add_marker(pytest.mark.proof)
        for marker, program in NEEDS.items():
            if item.get_closest_marker(marker) and shutil.which(program) is None:
                item.add_marker(pytest.mark.skip(reason=f"{program} is not installed"))


@pytest.fixture(scope="module", autouse=True)
def set_aside() -> None:
    """Have the garbage collector leave alone what is there when a module begins, above all the tests themselves.

    A full collection looks at a million of their objects, now and then, for a third of a second in which nothing goes
    on. Tests give all of it back to the collector, too: hence once a module.
    """
    gc.collect(1)  # A socket left open warns now, close to the test that left it.
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> object:
    report = yield
    if report.skipped and os.environ.get("LLM_NODE_TESTS_MAY_SKIP") == "0" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where no test may be skipped: {item.nodeid}: {report.longrepr}"
    return report
