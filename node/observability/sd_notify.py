"""Telling systemd how the service fares, by the protocol of sd_notify(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import Final

from node.runtime.signals import Signal

_MAX_STATUS_CHARS: Final = 500


class SystemdNotifier:
    """Sends datagrams to the socket that systemd named; does nothing where none was named.

    Messages are sent without waiting: one that systemd does not take at once is dropped, and every call says
    whether it went out. The service's unit needs ``Type=notify`` and, for the watchdog, ``WatchdogSec``.
    """

    def __init__(self, address: str, watchdog_s: float | None) -> None:
        """Take the place and the time as `from_environment` reads them.

        ``address`` is a path, or an abstract name after ``@``, or empty; ``watchdog_s`` is the time within which
        systemd expects a sign of life, None where it expects none.
        """
        self._address = address
        self._watchdog_s = watchdog_s

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], pid: int | None = None) -> SystemdNotifier:
        """Read ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``; ``pid`` is this process's own by default.

        A socket of a kind other than AF_UNIX counts as none, and a watchdog meant for another process too.
        """
        address = environment.get("NOTIFY_SOCKET", "")
        if address[:1] not in {"/", "@"}:
            address = ""
        return cls(address, _watchdog_s(environment, os.getpid() if pid is None else pid))

    @property
    def is_wanted(self) -> bool:
        """Whether somebody listens."""
        return bool(self._address)

    def ready(self, status: str = "") -> bool:
        """The start is done; ``status`` is a line for ``systemctl status``."""
        return self._send("READY=1", *_status(status))

    def status(self, text: str) -> bool:
        """What the node does now, in a line for ``systemctl status``."""
        return self._send(*_status(text))

    def stopping(self, status: str = "") -> bool:
        """The service ends by itself or as it was told."""
        return self._send("STOPPING=1", *_status(status))

    async def run_watchdog(self, stop: Signal, is_well: Callable[[], bool] = lambda: True) -> None:
        """Give a sign of life at half of the watchdog's time until ``stop`` is set, except while not ``is_well``.

        systemd ends and restarts a service that is silent for the whole time. Returns at once where there is no
        watchdog.
        """
        if not self.is_wanted or self._watchdog_s is None:
            return
        while True:
            if is_well():
                self._send("WATCHDOG=1")
            if await stop.wait(self._watchdog_s / 2):
                return

    def _send(self, *lines: str) -> bool:
        if not self._address or not lines:
            return False
        name = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(0)
                sender.sendto("\n".join(lines).encode(), name)
        except OSError:
            return False
        return True


def _status(text: str) -> tuple[str, ...]:
    line = " ".join(text.split())[:_MAX_STATUS_CHARS]
    return (f"STATUS={line}",) if line else ()


def _watchdog_s(environment: Mapping[str, str], pid: int) -> float | None:
    meant_for = environment.get("WATCHDOG_PID", "")
    if meant_for and meant_for != str(pid):
        return None
    given = environment.get("WATCHDOG_USEC", "")
    if not (given.isascii() and given.isdigit()) or not int(given):
        return None
    return int(given) / 1_000_000
