"""A folder in which the program runs on planted secrets, and all that it writes there and says."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from node.app.control_file import CONTROL_FILE
from node.domain.secret import Secret
from node.sandbox.handshake import Handshake
from node.settings.roster_rows import COLUMNS
from tests.acceptance.program import MAIN, ROOT, environment
from tests.secrets.scanner import Finding, Scanner, files_below
from tests.support.waiting import wait_until_sync

QUICK: Final = {
    "LLM_NODE_NODE__POLL_CYCLE_S": "0.2",
    "LLM_NODE_RETRY__BASE_S": "0.05",
    "LLM_NODE_RETRY__CAP_S": "0.2",
    "LLM_NODE_RETRY__ATTEMPTS": "3",
    "LLM_NODE_NODE__BACK_OFF_CAP_S": "0.3",
    "LLM_NODE_NODE__BACK_OFF_BASE_S": "0.05",
    "LLM_NODE_FLEET__POINTS_CHECK_S": "1",
    "LLM_NODE_FLEET__STATUS_REPORT_S": "1",
    "LLM_NODE_FLEET__RECOVERY_MIN_S": "0.1",
    "LLM_NODE_FLEET__RECOVERY_MAX_S": "0.3",
    "LLM_NODE_EXECUTORS__ORDER": "synthetic",
    "LLM_NODE_SYNTHETIC__TOKENS_PER_S": "2000",
    "LLM_NODE_LOGGING__PROMPTS": "true",
    "LLM_NODE_STOP__DRAIN_S": "8",
    "MAX_START_DELAY": "0.2",
    "NODE_SPACING_DELAY": "0.01",
    "PYTHONASYNCIODEBUG": "1",
}
"""Everything happens often, and asyncio says all that it can."""

OUTBOX: Final = "state/outbox/results.sqlite"
_INPUTS: Final = ("nodes.csv", "proxies.txt", ".env", f"state/{CONTROL_FILE}", OUTBOX, f"{OUTBOX}-wal")


@dataclass
class Planted:
    """Every kind of secret, each of a make that must be escaped somewhere, and none by chance in other text."""

    node_secrets: list[str] = field(default_factory=lambda: [f'c4nary"nöde\\{n}/s+e%c&ret-zq{n}' for n in range(6)])
    private_keys: list[str] = field(default_factory=lambda: [f"c4nary-private-key-{n}-wxqv" for n in range(6)])
    proxy_user: str = "c4nary-proxy-user-kq"
    proxy_password: str = "c4nary-proxy-pass_word.kqx"
    dead_password: str = "c4nary:dead/pa ss@w%rd+kqx"
    signing: str = "c4nary-signing-secret-vvq-that-is-long-enough"
    control: str = "c4nary-control-token-jjw"
    feeder_key: str = "c4nary-feeder-api-key-yyk"
    developer_key: str = "c4nary-developer-key-qqh"
    tokens: list[str] = field(default_factory=list)

    def named(self) -> dict[str, str]:
        """All of them by what they are."""
        lists = {"node secret": self.node_secrets, "private key": self.private_keys, "token": self.tokens}
        named = {f"{kind} {number}": text for kind, texts in lists.items() for number, text in enumerate(texts)}
        names = ("proxy_user", "proxy_password", "dead_password", "signing", "control", "feeder_key", "developer_key")
        return named | {name: getattr(self, name) for name in names}


class Workplace:
    """A folder with roster, proxies and ``.env``, whatever is in it open to all; the program is run in it."""

    def __init__(self, folder: Path, planted: Planted) -> None:
        self.folder = folder
        self.planted = planted
        self.outputs: dict[str, bytes] = {}

    def furnish(self, gateway: str, *, proxies: Sequence[int] = ()) -> None:
        """Write what the program reads; ``proxies`` are ports of good ones."""
        with (self.folder / "nodes.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(COLUMNS)
            for number, secret in enumerate(self.planted.node_secrets):
                private = self.planted.private_keys[number]
                rest = ("", "llama3.1:latest", 16000, 8, 8000, "none", "linux")
                rows.writerow((f"node-{number}", secret, f"account-{number % 2}", "public", private, *rest))
        user, good = self.planted.proxy_user, self.planted.proxy_password
        lines = [f"{user}:{good}@127.0.0.1:{port}" for port in proxies]
        if proxies:
            lines += [f"{user}:c4nary%3Adead%2Fpa%20ss%40w%25rd%2Bkqx@127.0.0.1:{port}" for port in (proxies[0], 9)]
        (self.folder / "proxies.txt").write_text("\n".join(lines) + "\n")
        (self.folder / ".env").write_text(f"LLM_NODE_GATEWAY__JWT_KEY={self.planted.signing}\n")
        for loose in ("state/outbox", "state/logs"):
            (self.folder / loose).mkdir(parents=True)
            (self.folder / loose).chmod(0o777)
        handshake = Handshake(url=gateway, control_token=Secret(self.planted.control), pid=os.getpid())
        (self.folder / "state" / CONTROL_FILE).touch(mode=0o600)
        (self.folder / "state" / CONTROL_FILE).write_bytes(handshake.to_line())

    def run(
        self,
        name: str,
        *arguments: str,
        script: Sequence[str] = (MAIN,),
        signals: Mapping[float, signal.Signals] | None = None,
        meanwhile: Callable[[Path], object] = lambda _: None,
        **env: str,
    ) -> int:
        """Run the program and keep what it says under this name.

        ``meanwhile`` is called with the file of its standard output; then, or so many seconds after its first words,
        the ``signals`` are sent.
        """
        said, told = self.folder.parent / f"{name}.out", self.folder.parent / f"{name}.err"
        with said.open("wb") as stdout, told.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, *script, *arguments],
                cwd=self.folder,
                env=environment(**{**QUICK, "PYTHONPATH": str(ROOT), **env}),
                stdin=subprocess.DEVNULL,
                umask=0,
                stdout=stdout,
                stderr=stderr,
            )
            try:
                meanwhile(said)
                self._watch(process, said, signals or {})
                self.outputs[f"{name} command line"] = Path(f"/proc/{process.pid}/cmdline").read_bytes()
                code = process.wait(25)
            finally:
                process.kill()
                process.wait()
        self.outputs |= {f"{name} stdout": said.read_bytes(), f"{name} stderr": told.read_bytes()}
        return code

    def findings(self) -> list[Finding]:
        """Every secret in anything that was written, but for the api_keys in the outbox, where they belong."""
        everything = Scanner(self.planted.named())
        keys = {"feeder_key", "developer_key"}
        but_keys = Scanner({name: text for name, text in self.planted.named().items() if name not in keys})
        outbox = [(place, data) for place, data in files_below(self.folder) if place.startswith(OUTBOX)]
        written = [*self.outputs.items(), *files_below(self.folder, _INPUTS)]
        return [*everything.scan(written), *but_keys.scan(outbox)]

    def loose_files(self) -> Iterator[str]:
        """Files and folders below the state folder that others than their owner may use."""
        for path in (self.folder / "state").rglob("*"):
            if path.stat().st_mode & 0o077:
                yield f"{path.relative_to(self.folder)} {path.stat().st_mode & 0o777:o}"

    @staticmethod
    def _watch(process: subprocess.Popen[bytes], said: Path, signals: Mapping[float, signal.Signals]) -> None:
        if signals:
            wait_until_sync(lambda: said.stat().st_size or process.poll() is not None, 20, "it says something")
        started = time.monotonic()
        for after_s, number in sorted(signals.items()):
            end = started + after_s
            wait_until_sync(partial(_is_over, process, end), 30, "time passes")
            process.send_signal(number)


def _is_over(process: subprocess.Popen[bytes], end: float) -> bool:
    return time.monotonic() >= end or process.poll() is not None
