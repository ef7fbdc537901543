"""The real sandbox gateway as a process of its own: started, killed, started again on its data, asked for its ledger."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from tests.crash.audit import Breach, Kind, LedgerBook
from tests.crash.ledger import Ledger, copy_ledger
from tests.crash.processes import MAIN, Program, Programs
from tests.crash.scene import Scene, settings_environment

Rule = Mapping[str, object]
"""A fault as ``POST /sandbox/faults`` takes it."""

CONTROL_FILE: Final = "gateway.json"
"""In a state folder: where the gateway is and what opens its ledger."""

_START_S: Final = 30.0
_PORT_TAKEN_S: Final = 20.0


class GatewayFailed(Exception):
    """The gateway under test cannot be used: the harness cannot go on."""


class GatewayUnderTest:
    """One gateway with its data, over all its processes. `start` comes first; times are in seconds."""

    def __init__(self, scene: Scene, programs: Programs, *, jobs_per_s: float, lease_s: float) -> None:
        self.data = scene.folder / "gateway-data"
        self.book = LedgerBook()
        self.kills = 0
        self._scene = scene
        self._programs = programs
        self._jobs_per_s = jobs_per_s
        self._lease_s = lease_s
        self._state = scene.folder / "gateway-state"
        self._output = scene.folder / "gateway.out"
        self._program: Program | None = None
        self._port = 0
        self._token = ""
        self._rules: Sequence[Rule] = ()
        self._fed = True
        self._is_ready = False

    @property
    def url(self) -> str:
        """Where it is reached, the same over all its processes."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def is_up(self) -> bool:
        """Whether its process runs."""
        return self._program is not None and self._program.returncode is None

    async def start(self) -> None:
        """Start it, on its former port and data if it ran before; faults and feeding stay as they were set."""
        end = asyncio.get_running_loop().time() + _PORT_TAKEN_S
        while not await self._listens():
            # The port may be in use for a moment by an outgoing connection of some other program.
            if asyncio.get_running_loop().time() > end or not self._port:
                raise GatewayFailed(f"the gateway does not start: see {self._output}")
            await asyncio.sleep(0.2)
        await self._tell()

    async def set_faults(self, rules: Sequence[Rule]) -> None:
        """Commit these faults from now on; a gateway that is down does so when it is up again."""
        self._rules = rules
        await self._tell()

    async def stop_feeding(self) -> None:
        """No more jobs."""
        self._fed = False
        await self._tell()

    async def totals(self) -> Mapping[str, Any]:
        """The sums of its ledger."""
        return await self._ask("GET", "/sandbox/ledger")

    async def rows(self) -> list[dict[str, Any]]:
        """All jobs of its ledger."""
        rows: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = await self._ask("GET", f"/sandbox/ledger?detail=1&after={after}")
            rows += page["jobs"]
            after = page["next_after"]
        return rows

    def lend_control(self, state_dir: Path) -> None:
        """Leave its control file in a worker's state folder, so that the worker finds the ledger."""
        state_dir.mkdir(parents=True, exist_ok=True)
        (state_dir / CONTROL_FILE).write_bytes((self._state / CONTROL_FILE).read_bytes())

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay, nothing answers."""
        self._running().signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.is_up:
            self._running().signal(signal.SIGCONT)

    async def kill(self) -> list[Breach]:
        """``kill -9``; what is wrong with the ledger that it leaves."""
        self._is_ready = False
        self._running().kill()
        if await self._running().ended(10) is None:
            raise GatewayFailed("the gateway does not die")
        self.kills += 1
        return list(self._audit(f"gateway kill {self.kills}")[1])

    async def stop(self) -> tuple[Ledger, list[Breach]]:
        """End it gracefully; its ledger, and what is wrong with it."""
        program = self._running()
        program.signal(signal.SIGTERM)
        code = await program.ended(15)
        ledger, breaches = self._audit("the end")
        found = list(breaches)
        if code != 0:
            found.append(Breach(Kind.MISREPORTED, f"the gateway ended with {code}"))
        return ledger, found

    def _audit(self, label: str) -> tuple[Ledger, Iterator[Breach]]:
        ledger = copy_ledger(self.data, self._scene.folder / "gateway-copies" / label.replace(" ", "-"))
        return ledger, self.book.take(label, ledger)

    async def _listens(self) -> bool:
        handshake = self._state / CONTROL_FILE
        handshake.unlink(missing_ok=True)
        options = {
            "--port": self._port,
            "--data": self.data,
            "--prompts": self._scene.prompts,
            "--feed": self._jobs_per_s,
            "--state-dir": self._state,
        }
        self._program = await self._programs.start(
            [*MAIN, "gateway", *(str(part) for option in options.items() for part in option)],
            self._scene.folder,
            self._output,
            settings_environment(
                {
                    "sandbox.lease_s": self._lease_s,
                    "workload.other_share": 0,
                    # Not the gateway's, but checked against the lease.
                    "node.job_deadline_s": self._lease_s / 4,
                    "timeouts.result_s": self._lease_s / 4,
                }
            ),
        )
        end = asyncio.get_running_loop().time() + _START_S
        while asyncio.get_running_loop().time() < end:
            with contextlib.suppress(FileNotFoundError, ValueError):
                content = json.loads(handshake.read_bytes())
                self._is_ready = True
                self._port, self._token = int(content["url"].rpartition(":")[2]), content["control_token"]
                return True
            if await self._program.ended(0.02) is not None:
                return False
        return False

    async def _tell(self) -> None:
        """Have it do as was asked; one that is down or just being killed is told when it has started again."""
        if not self._is_ready:
            return
        with contextlib.suppress(httpx.TransportError):
            await self._ask("POST", "/sandbox/faults", {"rules": list(self._rules)})
            await self._ask("POST", "/sandbox/feeder", {"running": self._fed})

    async def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Mapping[str, Any]:
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=10) as client:
            reply = await client.request(method, path, json=body, headers={"x-control-token": self._token})
        reply.raise_for_status()
        content: Mapping[str, Any] = reply.json()
        return content

    def _running(self) -> Program:
        if self._program is None:
            raise GatewayFailed("the gateway has not been started")
        return self._program
