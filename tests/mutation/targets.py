"""What is mutated, and the tests that must notice: a small and quick set for each target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Target:
    """``tests`` are folders and files below the root; ``without`` are tests of theirs that take long and kill no more."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    without: tuple[str, ...] = ()


TARGETS: Final = (
    Target(
        "verdict",
        ("node/protocol/verdict.py", "node/domain/verdict.py"),
        ("tests/unit/protocol/test_verdict.py", "tests/unit/protocol/test_verdict_words.py"),
    ),
    Target(
        "session",
        ("node/gateway/session.py", "node/gateway/turnstile.py"),
        (
            "tests/unit/gateway/test_session.py",
            "tests/unit/gateway/test_steps.py",
            "tests/unit/gateway/test_token.py",
            "tests/unit/gateway/test_turnstile.py",
        ),
    ),
    Target(
        "life",
        (
            "node/domain/states.py",
            "node/domain/presence.py",
            "node/worker/holds.py",
            "node/worker/node.py",
            "node/worker/poller.py",
            "node/worker/session_loop.py",
            "node/worker/startup.py",
            "node/worker/stopping.py",
        ),
        ("tests/unit/domain", "tests/unit/worker"),
    ),
    Target(
        "sender",
        ("node/outbox/lanes.py", "node/outbox/dispatch.py", "node/outbox/sender.py"),
        ("tests/unit/outbox/test_sender.py", "tests/unit/outbox/test_sender_waits.py"),
    ),
    Target(
        "store",
        (
            "node/outbox/codec.py",
            "node/outbox/memory.py",
            "node/outbox/rows.py",
            "node/outbox/shelf.py",
            "node/outbox/sqlite.py",
        ),
        (
            "tests/contract/outbox",
            "tests/unit/outbox/test_codec.py",
            "tests/unit/outbox/test_kept.py",
            "tests/unit/outbox/test_sqlite.py",
        ),
        without=("tests/unit/outbox/test_sqlite.py::test_the_file_gives_space_back_after_a_flood",),
    ),
)
