"""The program with its masks off, and a secret put into everything else that it tells.

``python -m tests.secrets.leaking ARGUMENTS``: so that a test can see that each output is really looked at. The secret
is in the environment, as ``CANARY_SECRET``.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import node.app.production
import node.machine.tool
import node.sandbox.process
import node.settings.provenance
from node.app.control import ControlHandle
from node.app.masked_executor import MaskedExecutor
from node.cli.main import main
from node.cli.output import OutputConsole
from node.executors import engine_words
from node.observability.health_routes import HealthRoutes
from node.observability.redaction import Redactor
from node.observability.sd_notify import SystemdNotifier
from node.protocol import masking

CANARY = os.environ["CANARY_SECRET"]
_reply = HealthRoutes._reply
_is_allowed = HealthRoutes._is_allowed
_print = OutputConsole.print
_status = SystemdNotifier.status
_control_handle = node.app.production.control_handle


def _put(owner: Any, name: str, instead: Any) -> None:
    setattr(owner, name, instead)


def _with_canary(self: HealthRoutes, content: dict[str, Any], status: int = 200) -> Any:
    return _reply(self, {**content, "leak": CANARY}, status)


def _telling_why(self: HealthRoutes, request: Any) -> bool:
    if not _is_allowed(self, request):
        from starlette.exceptions import HTTPException

        raise HTTPException(401, f"it is not {self._token.reveal()}")
    return True


def _with_a_file(folder: Path, handle: ControlHandle) -> Any:
    (folder / f"{CANARY.replace('/', '')}.txt").touch(0o600)
    (folder / "a copy.json").write_text(handle.token.reveal())
    return _control_handle(folder, handle)


def _print_more(self: OutputConsole, *objects: Any, **how: Any) -> None:
    _print(self, *objects, **how)
    sys.stdout.write(f"{CANARY}\n")


def _start_a_child() -> None:
    code = [sys.executable, "-c", "import time; time.sleep(60)", CANARY]
    child = subprocess.Popen(code, env={**os.environ, "TOLD": CANARY})
    atexit.register(child.kill)


if __name__ == "__main__":
    _put(Redactor, "redact", lambda _self, text: text)
    _put(MaskedExecutor, "_redact", property(lambda _self: str, lambda *_: None))
    _put(masking._Mask, "of", lambda _self, content: content)
    _put(engine_words, "quotes", lambda *_: False)
    for module in (node.machine.tool, node.sandbox.process):
        _put(module, "without_secrets", dict)
    _put(node.settings.provenance, "fit_to_show", lambda value: value)
    _put(OutputConsole, "print", _print_more)
    _put(HealthRoutes, "_reply", _with_canary)
    _put(HealthRoutes, "_is_allowed", _telling_why)
    _put(SystemdNotifier, "status", lambda self, text: _status(self, f"{text} {CANARY}"))
    _put(node.app.production, "control_handle", _with_a_file)
    if "status" not in sys.argv and "doctor" not in sys.argv:
        _start_a_child()
    sys.exit(main(sys.argv[1:]))
