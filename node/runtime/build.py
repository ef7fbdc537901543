"""How the program was built."""

from __future__ import annotations

import importlib.util
from typing import Final

_OFTEN_RUN: Final = "node.worker.session_loop"
"""One of the modules that setup.cfg names in its section [compiled]."""


def is_compiled() -> bool:
    """Whether the modules that each request goes through are machine code: see docs/performance.md."""
    spec = importlib.util.find_spec(_OFTEN_RUN)
    return spec is not None and spec.origin is not None and not spec.origin.endswith(".py")


def of_what_kind(version: str) -> str:
    """The version as people read it; "0.1.0, compiled" where it is."""
    return f"{version}, compiled" if is_compiled() else version
