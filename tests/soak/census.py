"""Counting what lives: every object of ours, and how much every container of ours holds.

The collector knows all objects that can hold others, reachable or not, so nothing has to be told where to look.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

OURS: Final = ("node.",)
"""Where the classes and modules begin whose objects are counted."""

_CONTAINERS: Final = (dict, list, set, deque, bytearray)


class Census(NamedTuple):
    """How many objects there are of each class, and how many entries in each of their attributes, over all of them."""

    objects: dict[str, int]
    entries: dict[str, int]
    all_objects: int
    """Everything that the collector tracks, of whatever class."""


def take(ours: tuple[str, ...] = OURS) -> Census:
    """Count, after a collection; a hundred thousand objects take some 50 ms."""
    gc.collect()
    objects: Counter[str] = Counter()
    entries: Counter[str] = Counter()
    everything = gc.get_objects()
    for thing in everything:
        kind = type(thing)
        if str(kind.__module__).startswith(ours):
            objects[_name(kind)] += 1
            for attribute, size in _sizes(thing, kind):
                entries[f"{_name(kind)}.{attribute}"] += size
    for name, module in list(sys.modules.items()):
        if name.startswith(ours):
            for attribute, value in vars(module).items():
                if isinstance(value, _CONTAINERS):
                    entries[f"{name}:{attribute}"] += len(value)
    return Census(dict(objects), dict(entries), len(everything))


def growth(
    before: Mapping[str, int], after: Mapping[str, int], slack: int, share: float = 0.1
) -> dict[str, tuple[int, int]]:
    """What has become larger by more than ``slack`` and by more than this share."""
    return {
        name: (before.get(name, 0), size)
        for name, size in after.items()
        if size > before.get(name, 0) * (1 + share) + slack
    }


def _name(kind: type[Any]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _sizes(thing: object, kind: type[Any]) -> Iterator[tuple[str, int]]:
    for attribute, value in _attributes(thing, kind):
        if isinstance(value, _CONTAINERS):
            yield attribute, len(value)


def _attributes(thing: object, kind: type[Any]) -> Iterator[tuple[str, object]]:
    yield from getattr(thing, "__dict__", {}).items()
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in {"__dict__", "__weakref__"}:
                name = f"_{base.__name__.lstrip('_')}{slot}" if slot.startswith("__") else slot
                if hasattr(thing, name):
                    yield slot, getattr(thing, name)
