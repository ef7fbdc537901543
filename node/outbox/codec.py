"""Finished results as bytes, to be read again after a restart or by a later version.

The one place besides the wire where a receipt's secrets are revealed: without the developer's key a result
cannot be handed over.
"""

from __future__ import annotations

import json
from typing import Any, Final, assert_never

from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.results import Embeddings, Failure, FinishedJob, Generation, Success
from node.domain.secret import Secret

FORMAT: Final = 1
"""Written into every record; a reader refuses what is higher than it knows."""

_JSON: Final = json.JSONEncoder(separators=(",", ":"))
"""In ASCII, so that any text at all can be written, halves of surrogate pairs included."""


def encode(finished: FinishedJob) -> bytes:
    """The record of a result: JSON in ASCII. Holds secrets, the answer and nothing of the prompt."""
    record = {
        "v": FORMAT,
        "key": list(finished.key),
        "received_at": finished.received_at,
        "finished_at": finished.finished_at,
        "outcome": _outcome_record(finished.outcome),
        "receipt": {name: secret.reveal() for name, secret in finished.receipt.items()},
    }
    return _JSON.encode(record).encode("ascii")


def decode(record: bytes) -> FinishedJob:
    """The result of a record.

    Raises:
        ValueError: the record cannot be read; the message says why and quotes nothing of it.
    """
    match _content(record):
        case {
            "v": 1,
            "key": [str(source), str(node), str(job)],
            "received_at": int() | float() as received_at,
            "finished_at": int() | float() as finished_at,
            "outcome": dict(outcome),
            "receipt": dict(receipt),
        } if all(isinstance(text, str) for text in receipt.values()):
            return FinishedJob(
                key=JobKey(SourceId(source), NodeId(node), JobId(job)),
                outcome=_outcome(outcome),
                received_at=received_at,
                finished_at=finished_at,
                receipt={name: Secret(text) for name, text in receipt.items()},
            )
        case {"v": int(version)} if version > FORMAT:
            raise ValueError(f"format {version} is of a later version of this program")
        case _:
            raise ValueError("not the record of a result")


def encode_key(key: JobKey) -> str:
    """A key as one text, other keys having others."""
    return _JSON.encode(key)


def decode_key(text: str) -> JobKey:
    """The key of a text.

    Raises:
        ValueError: the text is none of `encode_key`.
    """
    match _content(text):
        case [str(source), str(node), str(job)]:
            return JobKey(SourceId(source), NodeId(node), JobId(job))
        case _:
            raise ValueError("not a key")


def _content(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        # The error quotes what it could not read.
        raise ValueError("not JSON") from None


def _outcome_record(outcome: Success | Failure) -> dict[str, Any]:
    match outcome:
        case Success(Generation() | Embeddings() as output):
            # The fields by their names: what an output holds besides is left out of no record.
            return output._asdict()
        case Failure(reason, model):
            return {"error": reason, "model": model}
        case _:
            assert_never(outcome)


def _speed(record: dict[str, Any], name: str) -> float | None:
    value = record.get(name)
    return float(value) if isinstance(value, int | float) else None


def _outcome(record: dict[str, Any]) -> Success | Failure:
    match record:
        case {
            "text": str(text),
            "model": str(model),
            "executor": str(executor),
            "prompt_tokens": int() | None as prompt_tokens,
            "output_tokens": int() | None as output_tokens,
            "finish_reason": str() | None as finish_reason,
        }:
            speed = [_speed(record, name) for name in ("first_token_s", "tokens_per_s")]
            return Success(Generation(text, model, executor, prompt_tokens, output_tokens, finish_reason, *speed))
        case {
            "vectors": list(vectors),
            "model": str(model),
            "executor": str(executor),
            "prompt_tokens": int() | None as prompt_tokens,
        } if all(isinstance(vector, list) for vector in vectors):
            return Success(Embeddings(tuple(map(tuple, vectors)), model, executor, prompt_tokens))
        case {"error": str(reason), "model": str(model)}:
            return Failure(reason, model)
        case _:
            raise ValueError("its outcome is neither success nor failure")
