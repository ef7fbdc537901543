from __future__ import annotations

import subprocess
import sys

import pytest

LIGHT = [
    "prompt_book",
    "prompts",
    "stored",
    "synthetic",
    "first_taker",
    "limited",
    "presence",
    "ollama_policy",
    "openai_policy",
]


@pytest.mark.parametrize("module", LIGHT)
def test_what_needs_no_engine_imports_no_client(module: str) -> None:
    code = (
        f"import node.executors.{module}, sys; "
        "print([name for name in ('httpx', 'ollama', 'pydantic', 'anyio') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
