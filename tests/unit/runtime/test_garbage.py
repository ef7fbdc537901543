from __future__ import annotations

import gc

from node.runtime.garbage import relaxed_collection, set_aside


def test_what_is_set_aside_is_given_back() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with relaxed_collection():
        assert gc.get_threshold()[0] > before[0]
        set_aside()
        assert gc.get_freeze_count() > frozen
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
