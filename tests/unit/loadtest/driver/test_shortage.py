"""Failures that are the generator's own machine's."""

from __future__ import annotations

import errno
import os

from node.loadtest.driver.shortage import shortages
from node.loadtest.figures.reasons import Reasons


def test_what_the_machine_ran_out_of_is_told_by_what_it_kept_from_being_done() -> None:
    errors = Reasons()
    for _ in range(3):
        errors.count("submit", os.strerror(errno.EMFILE))
    errors.count("poll", f"gateway.example:80: {os.strerror(errno.EADDRNOTAVAIL)}")
    errors.count("poll", os.strerror(errno.ECONNREFUSED))
    assert list(shortages(errors)) == [
        "connections that this machine could not open: 3 (submit), too many open files",
        "connections that this machine could not open: 1 (poll), cannot assign requested address",
    ]


def test_failures_of_a_gateway_are_none() -> None:
    errors = Reasons()
    errors.count("submit", "HTTP 503")
    errors.count("poll", f"HTTP 500: {os.strerror(errno.EMFILE)}")
    assert list(shortages(errors)) == []
