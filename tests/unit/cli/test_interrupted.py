"""Ctrl+C while the program is still being read, and standard streams that nobody opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

INTERRUPTED = """
import sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "node.cli.main":
            raise KeyboardInterrupt
        return None

sys.meta_path.insert(0, Interrupting())
{importing}
sys.exit(main())
"""

STARTS = {
    "from a checkout": "from main import main",
    "as it is installed": """
from importlib.metadata import entry_points
main = entry_points(group="console_scripts")["llm-node"].load()
""",
}

CLOSED = """
import os
os.close(1)
os.close(2)
from node.cli.main import open_closed_streams
open_closed_streams()
opened = os.open(os.devnull, os.O_RDONLY)
raise SystemExit(0 if opened > 2 else 5)
"""


@pytest.mark.parametrize("start", STARTS)
def test_ctrl_c_while_it_is_being_read_leaves_no_traceback(start: str) -> None:
    script = INTERRUPTED.replace("{importing}", STARTS[start])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Stopped.\n")


def test_no_file_gets_the_number_of_a_stream_that_was_closed() -> None:
    done = subprocess.run([sys.executable, "-c", CLOSED], cwd=ROOT, timeout=20, check=False)
    assert done.returncode == 0
