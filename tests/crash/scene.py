"""The folder of one leg: who the nodes are, what they are asked, and where everything of it is kept."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SHARED_MODEL: Final = "shared:latest"
_PROMPTS: Final = ("What is a lease?", "Who goes first?", "How many are left?", "Why is it late?")
_ROSTER_HEAD: Final = (
    *("node_id", "secret", "account_id", "pub_key", "private_key", "proxy"),
    *("models", "ram", "cpu", "vram", "gpu", "os"),
)
_MACHINE: Final = ("65536", "8", "8192", "none", "Debian 12")


@dataclass(frozen=True, slots=True)
class Scene:
    """A leg's cast: so many workers with so many nodes each, below one folder.

    Each node offers a model of its own beside the one that all share: a job of it comes back to the same node, as
    often as its lease runs out.
    """

    folder: Path
    workers: int
    nodes: int

    @property
    def prompts(self) -> Path:
        """The prompt file: stored answers for all models, drawn from by the gateway's feeder."""
        return self.folder / "prompts.csv"

    def worker_name(self, worker: int) -> str:
        """The name of a worker, and of its folder."""
        return f"worker-{worker}"

    def node_names(self, worker: int) -> list[str]:
        """The nodes of a worker."""
        return [f"node-{worker}-{number}" for number in range(self.nodes)]

    def roster(self, worker: int) -> Path:
        """The roster of a worker."""
        return self.folder / f"{self.worker_name(worker)}.csv"

    def build(self) -> None:
        """Write rosters and prompts."""
        models = [SHARED_MODEL]
        for worker in range(self.workers):
            names = self.node_names(worker)
            models += [f"of-{name}" for name in names]
            rows = [
                (
                    name,
                    f"secret-{name}",
                    f"account-{worker}",
                    f"key-{name}",
                    "",
                    "",
                    f"{SHARED_MODEL}|of-{name}",
                    *_MACHINE,
                )
                for name in names
            ]
            _write(self.roster(worker), [_ROSTER_HEAD, *rows])
        head = ["prompt", *(f"{model}_response_1" for model in models)]
        answers = [[prompt, *(f"{model}: {prompt} As many as before." for model in models)] for prompt in _PROMPTS]
        _write(self.prompts, [head, *answers])


def settings_environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Settings by their dotted names as variables of the environment."""
    return {f"LLM_NODE_{name.replace('.', '__').upper()}": str(value) for name, value in settings.items()}


def _write(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
