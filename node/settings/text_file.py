"""Small text files: reading what people wrote with all kinds of editors, and writing some for them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from node.domain.errors import InputFault, InvalidInput

_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: Path, label: str) -> tuple[str, tuple[InputFault, ...]]:
    """A file's text, without the mark that some editors begin it with; ``label`` is its name in faults.

    Empty, with faults, when the file cannot be read or is not UTF-8. Never raises.
    """
    lenient, faults = read_lenient_text(path, label)
    if faults:
        return "", faults
    bad = [line for line, text in enumerate(lenient.split("\n"), 1) if not is_utf8(text)]
    if bad:
        return "", (InputFault(label, "the line is not UTF-8", "save the file as UTF-8", bad[0]),)
    return lenient, ()


def read_lenient_text(path: Path, label: str) -> tuple[str, tuple[InputFault, ...]]:
    """As `read_text`, but bytes that are not UTF-8 stay in the text in a form that `is_utf8` tells."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return "", (InputFault(label, "there is no such file", "correct the path, or create the file"),)
    except IsADirectoryError:
        return "", (InputFault(label, "this is a folder", "give a file"),)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the path is not usable"
        return "", (InputFault(label, f"the file cannot be read: {reason}", "check the path and its permissions"),)
    if raw.startswith(_UTF16_MARKS):
        return "", (InputFault(label, "the file is UTF-16", "save it as UTF-8"),)
    return raw.decode("utf-8-sig", errors="surrogateescape"), ()


def is_utf8(text: str) -> bool:
    """Whether no byte of this text was outside of UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def display_path(path: Path, cwd: Path) -> str:
    """A path as it is shown to people: from the working directory where it lies below it."""
    absolute = cwd / path
    return printable(str(absolute.relative_to(cwd) if absolute.is_relative_to(cwd) else absolute))


def printable(text: str) -> str:
    """A text in which bytes that are not UTF-8 are written as escapes, so that every terminal takes it."""
    return text.encode(errors="backslashreplace").decode()


def write_new(path: Path, text: str, *, overwrite: bool, private: bool = False) -> None:
    """Write a whole file or none, folders included; a ``private`` one is for its owner alone (mode 0600).

    Raises:
        InvalidInput: the file is there already and ``overwrite`` is not set, or it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        if path.exists() and not overwrite:
            raise InvalidInput([InputFault(str(path), "the file is there already", "remove it, or name another one")])
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        part.touch(mode=0o600 if private else 0o666)
        part.write_text(text, encoding="utf-8", newline="")
        part.replace(path)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            part.unlink()
        reason = (error.strerror if isinstance(error, OSError) else None) or "the path is not usable"
        fault = InputFault(str(path), f"the file cannot be written: {reason}", "check the path and its permissions")
        raise InvalidInput([fault]) from error
