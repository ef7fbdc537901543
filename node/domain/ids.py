"""Names for the strings that identify things, so that the type checker tells them apart."""

from __future__ import annotations

from typing import NamedTuple, NewType

NodeId = NewType("NodeId", str)
"""A node's name at its gateway; the wire calls it ``node_id`` and ``node_url``."""

AccountId = NewType("AccountId", str)
"""The account that owns a node and collects its points."""

JobId = NewType("JobId", str)
"""A job's name, given by the gateway; the key under which a result counts once."""

SourceId = NewType("SourceId", str)
"""Where jobs come from: for a gateway its base URL, without a trailing slash."""


class JobKey(NamedTuple):
    """What makes a result single: the source, the node that claimed the job, and the job."""

    source: SourceId
    node: NodeId
    job: JobId
