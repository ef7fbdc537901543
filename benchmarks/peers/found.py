"""Which other programs are here, and of which version."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
PLACE: Final = ROOT / ".venv-bench"


@dataclass(frozen=True, slots=True)
class Peer:
    """A program: its command and its version, or why it is not here."""

    name: str
    command: tuple[str, ...] = ()
    version: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Peers:
    """All of them."""

    locust: Peer
    autocannon: Peer
    wrk: Peer
    httpx: Peer

    @property
    def versions(self) -> dict[str, str | None]:
        """By name; None for what is not here."""
        return {peer.name: peer.version or None for peer in (self.locust, self.autocannon, self.wrk, self.httpx)}


def find_peers() -> Peers:
    """Look for them: Locust and autocannon where `make bench` puts them, or in the folder that ``BENCH_VENV`` names."""
    place = Path(os.environ.get("BENCH_VENV", PLACE))
    return Peers(_locust(place / "bin" / "locust"), _autocannon(place / "node_modules"), _wrk(), _httpx())


def _locust(path: Path) -> Peer:
    if not path.exists():
        return Peer("locust", missing=f"Locust is missing ({path}): make bench installs it")
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=60).stdout
    found = re.search(r"locust (\S+)", told)
    if found is None:
        return Peer("locust", missing=f"Locust does not run: {path} --version")
    return Peer("locust", (str(path), "-f", str(HERE / "locust_user.py"), "--headless"), found[1])


def _autocannon(modules: Path) -> Peer:
    program, package = shutil.which("node") or shutil.which("nodejs"), modules / "autocannon" / "package.json"
    if program is None:
        return Peer("autocannon", missing="node.js is missing: apt-get install nodejs npm")
    if not package.exists():
        return Peer("autocannon", missing=f"autocannon is missing ({modules}): make bench installs it")
    number = json.loads(package.read_text())["version"]
    command = ("env", f"NODE_PATH={modules}", program, str(HERE / "autocannon.js"))
    return Peer("autocannon", command, f"{number} on node.js {_output(program, '--version').lstrip('v')}")


def _wrk() -> Peer:
    program = shutil.which("wrk")
    if program is None:
        return Peer("wrk", missing="wrk is missing: apt-get install wrk")
    return Peer("wrk", (program, "-t1", "-d3600s", "-s", str(HERE / "wrk.lua")), _output(program, "-v").split()[1])


def _httpx() -> Peer:
    return Peer("httpx", (), version("httpx"))


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return (done.stdout + done.stderr).strip() or "? ?"
