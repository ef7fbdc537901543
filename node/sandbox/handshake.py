"""What a sandbox process says first: one line of JSON on its standard output."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from node.sandbox.policy import SecretText


class Handshake(BaseModel):
    """Where a sandbox is reached (its base URL, without a trailing slash), and what opens its ``/sandbox/*``."""

    model_config = ConfigDict(frozen=True)

    url: str
    control_token: SecretText
    pid: int

    def to_line(self) -> bytes:
        """One line of JSON, the token in clear."""
        return self.model_dump_json().encode() + b"\n"


def read_handshake(line: bytes) -> Handshake | None:
    """The handshake in a line; None when it is something else."""
    try:
        return Handshake.model_validate_json(line)
    except ValidationError:
        return None
