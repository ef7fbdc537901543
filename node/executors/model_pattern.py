"""Models named by pattern, as operators write them in settings."""

from __future__ import annotations

from fnmatch import fnmatchcase


def matches(pattern: str, model: str) -> bool:
    """Whether a model's whole name fits: ``*`` stands for any characters or none, ``?`` for one, all else for itself.

    Case counts, and ``[`` has no meaning of its own.
    """
    return fnmatchcase(model, pattern.replace("[", "[[]"))


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
