"""Names of models as labels: of few, however many there are."""

from __future__ import annotations

from typing import Final

OTHER: Final = "other"
"""What stands for all models beyond the first few."""


class ModelNames:
    """Lets the first ``most`` names through and calls all others `OTHER`; an empty name stays empty."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, str] = {"": ""}

    def label(self, model: str) -> str:
        """The label for this model, the same for as long as the program runs."""
        known = self._known.get(model)
        if known is not None:
            return known
        if len(self._known) > self._most:
            return OTHER
        self._known[model] = model
        return model
