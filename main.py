"""Starts the program from a checkout: ``python main.py`` simulates a fleet, ``python main.py --help`` tells the rest."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - the one file that an older Python can read far enough to say so
        sys.stderr.write("Python 3.11 or later is needed.\n")
        return 78
    if sys.platform == "win32":
        sys.stderr.write("Linux or macOS is needed. On Windows, run it in WSL.\n")
        return 78
    try:
        from node.cli.main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        return 130
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "node":
            raise
        sys.stderr.write(f"{_how_to_install(error.name)}\n")
        return 78
    return run()


def _how_to_install(missing: str) -> str:
    python = Path(__file__).parent / ".venv" / "bin" / "python"
    if python.exists() and Path(sys.prefix) != python.parent.parent:
        return f"The package '{missing}' is not installed here, but in .venv. Run: .venv/bin/python main.py"
    return f"The package '{missing}' is not installed. Run: make install && .venv/bin/python main.py"


if __name__ == "__main__":
    sys.exit(main())
