"""Keeping the cyclic garbage collector away from what lives as long as the fleet.

Nodes, sessions and connections refer to each other and live to the end; a request leaves no cycles behind. A full
collection that visits 20,000 nodes stops the event loop for longer than a gateway takes to answer, and frees nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_YOUNG: Final = 50_000
"""Objects by which the youngest generation grows before it is looked at: with 700, the interpreter's own bound, what
is merely under way in a busy fleet has it looked at again and again."""


@contextmanager
def relaxed_collection() -> Iterator[None]:
    """Collect seldom within the block; what was frozen within it is given back to the collector at its end."""
    before = gc.get_threshold()
    gc.set_threshold(_YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def set_aside() -> None:
    """Never again look at what is alive now, until `relaxed_collection` ends.

    To be called now and then while a fleet comes up, and once when it has; it takes no time. What is set aside is still
    freed when nothing refers to it any more; only cycles among it stay. Nothing is collected first: that would stop the
    event loop for a second with 20,000 nodes, for what little garbage a start leaves.
    """
    gc.freeze()
