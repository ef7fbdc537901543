"""The parts of rules that operators write as one text: ``PATTERN=NAME+NAME``."""

from __future__ import annotations


def split_rule(text: str, shape: str) -> tuple[str, str]:
    """Both sides of ``PATTERN=REST``, stripped; the first ``=`` parts them.

    Raises:
        ValueError: there is no ``=``, or nothing on one side of it. The message names the ``shape`` that is wanted.
    """
    pattern, _, rest = (part.strip() for part in text.partition("="))
    if not pattern or not rest:
        raise ValueError(f"{text.strip()!r} is not of the form {shape}")
    return pattern, rest


def split_names(text: str, shape: str) -> tuple[str, ...]:
    """The names that ``+`` parts, stripped, in their order.

    Raises:
        ValueError: a name is empty or stands there twice.
    """
    names = tuple(name.strip() for name in text.split("+"))
    if not all(names):
        raise ValueError(f"a name is missing in {text!r}; the form is {shape}")
    if len(set(names)) < len(names):
        raise ValueError(f"a name stands twice in {text!r}; each is tried once")
    return names
