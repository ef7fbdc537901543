"""Load tests over several processes or machines: which ones are meant."""

from __future__ import annotations

from typing import Final

from node.app.loadtest.shards import Shards
from node.domain.errors import InputFault, InvalidInput
from node.loadtest.shards.processes import ProcessPool
from node.loadtest.shards.ray_pool import LOCAL, RayPool

_CHILD: Final = "node.app.loadtest.shards_child"
_PROGRAM: Final = "node.app.loadtest.shards_run:run_task"
_LOOP: Final = "node.app.event_loop:new_event_loop"


def shards_of(processes: int, ray: str | None, shards: int | None, *, has_gateway: bool) -> Shards | None:
    """What the options ask for; None for a run in this process alone.

    Raises:
        InvalidInput: they do not go together.
    """
    if ray is None:
        if shards is not None:
            raise _unfit("--shards", "it says over how many actors of a Ray cluster", "add --ray, or use --processes")
        return None if processes == 1 else Shards(processes, lambda say: ProcessPool(_CHILD, say))
    if processes != 1:
        raise _unfit("--processes", "with --ray the shards are the cluster's", "use --shards")
    if ray != LOCAL and not has_gateway:
        problem = "other machines do not reach a sandbox gateway that listens on this one alone"
        raise _unfit("--ray", problem, "name the gateway with --gateway, or use --ray local")
    return Shards(shards or 2, lambda _say: RayPool(ray, _PROGRAM, _LOOP))


def _unfit(option: str, problem: str, remedy: str) -> InvalidInput:
    return InvalidInput([InputFault(option, problem, remedy)])
