"""Stored prompts and how a job's prompt is matched to them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

_QUOTES: Final = (
    "\"'\u00ab\u00bb\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a\u2e42"
    "\u300c\u300d\u300e\u300f\u301d\u301e\u301f\ufe41\ufe42\ufe43\ufe44\uff02\uff07\uff62\uff63"
)
"""The characters with the Unicode property Quotation_Mark."""
_WITHOUT_QUOTES: Final = dict.fromkeys(map(ord, _QUOTES))


def matching_key(prompt: str) -> str:
    """What two prompts share when they count as the same.

    Case, quotes and one trailing ``.`` or ``?`` do not count, and any run of whitespace is one space: the rule of
    docs/protocol.md. Text that Unicode holds to be canonically equivalent is equal. Empty where nothing is left.
    """
    text = " ".join(prompt.translate(_WITHOUT_QUOTES).split())
    if text.isascii():
        text = text.lower()
    else:
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return text[:-1].rstrip() if text.endswith((".", "?")) else text


@dataclass(frozen=True, slots=True)
class StoredPrompt:
    """A prompt as it was written, and its answers by model: one at least for each, in the order of the files."""

    text: str = field(repr=False)
    answers: Mapping[str, tuple[str, ...]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class PromptBook:
    """All stored prompts by their `matching_key`, the longest of which has ``longest_key`` characters. Made by `of`."""

    by_key: Mapping[str, StoredPrompt] = field(repr=False)
    longest_key: int

    @classmethod
    def of(cls, prompts: Iterable[StoredPrompt]) -> PromptBook:
        """Put prompts in a book. Those that count as the same become one: the first one's text, the answers of all."""
        by_key: dict[str, StoredPrompt] = {}
        for prompt in prompts:
            key = matching_key(prompt.text)
            known = by_key.get(key)
            by_key[key] = prompt if known is None else _merged(known, prompt)
        return cls(by_key, max(map(len, by_key), default=0))

    @property
    def prompts(self) -> tuple[StoredPrompt, ...]:
        """Every prompt once, in the order of the files."""
        return tuple(self.by_key.values())

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that has an answer, sorted."""
        return tuple(sorted({model for prompt in self.by_key.values() for model in prompt.answers}))

    def find(self, prompt: str) -> StoredPrompt | None:
        """The stored prompt that counts as the same, by one hash look-up; None when there is none.

        A prompt that is far too long to match is recognised by its beginning: it may have megabytes.
        """
        head = 4 * self.longest_key + 1024
        if len(prompt) > head and len(matching_key(prompt[:head])) > self.longest_key + 64:
            return None
        return self.by_key.get(matching_key(prompt))


def _merged(first: StoredPrompt, second: StoredPrompt) -> StoredPrompt:
    answers = dict(first.answers)
    for model, texts in second.answers.items():
        answers[model] = answers.get(model, ()) + texts
    return StoredPrompt(first.text, answers)
