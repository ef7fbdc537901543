"""The names of models, and patterns of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

_LATEST: Final = ":latest"
_WILD: Final = frozenset("*?")


def full_name(model: str) -> str:
    """A model's name with its tag, which is ``latest`` where none is given: the rule of Ollama's names."""
    return model if ":" in model.rpartition("/")[2] else model + _LATEST


def matches(model: str, patterns: Sequence[str]) -> bool:
    """Whether a model has one of these names or matches one of these patterns; without any, every model does.

    In patterns ``*`` stands for any characters or none and ``?`` for one, and case counts. A pattern without a tag
    means the one without a tag, unless it ends in ``*``.
    """
    full = full_name(model)
    return not patterns or any(_fits(full, pattern) or _fits(full, full_name(pattern)) for pattern in patterns)


def exact(patterns: Iterable[str]) -> tuple[str, ...]:
    """Those that are names and no patterns, each once."""
    return tuple(dict.fromkeys(pattern for pattern in patterns if not _WILD & set(pattern)))


def _fits(model: str, pattern: str) -> bool:
    return fnmatchcase(model, pattern.replace("[", "[[]"))
