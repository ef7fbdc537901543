"""What the gateway's rules say no with; how that looks on the wire is decided where requests are answered.

::

    Refusal
    ├── SecretDenied       a node's secret is not the one that is known
    ├── TokenDenied        no token, or it is forged or expired
    ├── KeyDenied          no developer's key, or an unknown one
    ├── ControlDenied      no control token, or a wrong one
    ├── NotYours           a node spoke for another one
    ├── NotRegistered      the node is out of session
    ├── UnknownJob         the job is not known, or not known to the one who asks
    ├── NoResultYet        the job is known and unanswered
    ├── AlreadyAnswered    the job has its result
    ├── ResultMismatch     the result contradicts the job
    └── QueueFull          too many jobs wait
"""

from __future__ import annotations

from node.domain.errors import NodeError


class Refusal(NodeError):
    """The gateway does not do what was asked; the message is for the one who asked."""


class SecretDenied(Refusal):
    """A node's secret is empty, unknown where it must be known, or not the one remembered."""


class TokenDenied(Refusal):
    """No bearer token, or it is forged, expired or of an unknown node."""


class KeyDenied(Refusal):
    """No ``api_key``, or an unknown one."""


class ControlDenied(Refusal):
    """No control token, or a wrong one."""


class NotYours(Refusal):
    """A node spoke for another one."""


class NotRegistered(Refusal):
    """The token is good, but the node has left."""


class UnknownJob(Refusal):
    """The job is not known, was never claimed by this node, or is another developer's."""


class NoResultYet(Refusal):
    """The job is known and has no result."""


class AlreadyAnswered(Refusal):
    """The job has a result, and it is durable."""


class ResultMismatch(Refusal):
    """The result does not carry the job's own ``api_key``."""


class QueueFull(Refusal):
    """More jobs wait than the policy allows."""
