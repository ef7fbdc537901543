"""A Ray cluster of two nodes on this machine."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

STARTING = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_enable_metrics_collection": "0",
}


@contextlib.contextmanager
def two_nodes(cpus: int) -> Iterator[Any]:
    """The cluster, ``cpus`` on each of its nodes; nothing of it is left when the block ends."""
    os.environ.update(STARTING)
    warnings.simplefilter("ignore")
    from ray.cluster_utils import Cluster

    node = {
        "num_cpus": cpus,
        "include_dashboard": False,
        "node_ip_address": "127.0.0.1",
        "object_store_memory": 100 << 20,
    }
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        yield cluster
    finally:
        cluster.shutdown()
