"""Names of models as labels: of few, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

OTHER: Final = "other"
"""What stands for all models that have no label of their own."""

_MOST_OFFERED: Final = 1000


class ModelNames:
    """Gives the first ``most`` models a label of their own and calls all others `OTHER`; an empty name stays empty.

    A model counts once it is on offer or was seen at work. Names that others make up, in jobs for models that nobody
    has, so take no label away from those that the engines do have. Labels pass through ``redact``.
    """

    def __init__(self, most: int, redact: Callable[[str], str] = str) -> None:
        self._most = most
        self._redact = redact
        self._offered: dict[str, None] = {}
        self._labels: dict[str, str] = {"": ""}

    def offer(self, models: Iterable[str]) -> None:
        """These are on offer."""
        for model in models:
            if len(self._offered) < _MOST_OFFERED:
                self._offered[model] = None

    def label(self, model: str, *, works: bool = False) -> str:
        """The model's label: its own from when it is first given, for as long as the program runs.

        ``works`` says that an engine has this model.
        """
        label = self._labels.get(model)
        if label is not None:
            return label
        if len(self._labels) > self._most or not (works or model in self._offered):
            return OTHER
        self._labels[model] = label = self._redact(model)
        return label
