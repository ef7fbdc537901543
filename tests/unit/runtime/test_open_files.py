"""The limit of open files."""

from __future__ import annotations

import resource

from node.runtime.open_files import more_open_files


def test_it_is_raised_as_far_as_it_may_be_and_put_back() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = min(256, before[0])
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, before[1]))
    try:
        with more_open_files():
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > low
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (low, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
