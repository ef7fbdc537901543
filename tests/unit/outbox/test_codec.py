from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.results import Embeddings, Failure, FinishedJob, Generation, Success
from node.domain.secret import Secret
from node.outbox.codec import decode, decode_key, encode, encode_key
from tests.unit.outbox.results import finished, key

text = st.text(st.characters(codec=None, exclude_categories=())) | st.text()
times = st.floats(0, 1e11)
tokens = st.none() | st.integers(0, 2**40)
keys = st.builds(JobKey, text.map(SourceId), text.map(NodeId), text.map(JobId))
speeds = st.none() | st.floats(0, 1e9)
generations = st.builds(Generation, text, text, text, tokens, tokens, st.none() | text, speeds, speeds)
vectors = st.lists(st.lists(st.floats(-1, 1)).map(tuple)).map(tuple)
embeddings = st.builds(Embeddings, vectors, text, text, tokens)
outcomes = st.builds(Success, generations | embeddings) | st.builds(Failure, text, text)
results = st.builds(FinishedJob, keys, outcomes, times, times, st.dictionaries(text, text.map(Secret), max_size=3))


@given(results)
def test_what_is_written_is_read(result: FinishedJob) -> None:
    record = encode(result)
    assert record.isascii()
    assert decode(record) == result


@given(keys, keys)
def test_keys_are_written_apart(one: JobKey, other: JobKey) -> None:
    assert decode_key(encode_key(one)) == one
    assert (encode_key(one) == encode_key(other)) == (one == other)


def test_the_record_of_format_1_is_read_for_ever() -> None:
    record = (
        b'{"v":1,"key":["http://gateway","n1","a"],"received_at":1700000000.0,"finished_at":1700000001.0,'
        b'"outcome":{"text":"an answer","model":"llama3.1:latest","executor":"stored","prompt_tokens":null,'
        b'"output_tokens":3,"finish_reason":"stop"},"receipt":{"api_key":"developer-key"}}'
    )
    assert encode(finished("a")) == record.replace(b'"stop"}', b'"stop","first_token_s":null,"tokens_per_s":null}'), (
        "what was added since is optional"
    )
    assert decode(record) == finished("a")
    assert decode(record).receipt["api_key"].reveal() == "developer-key"


def changed(**parts: Any) -> bytes:
    return json.dumps(json.loads(encode(finished("a"))) | parts).encode()


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (b"", "not JSON"),
        (b"developer-key", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"null", "not the record"),
        (b"[]", "not the record"),
        (encode(finished("a"))[:-30], "not JSON"),
        (changed(v=2), "format 2 is of a later version"),
        (changed(v="1"), "not the record"),
        (changed(key=["n1", "a"]), "not the record"),
        (changed(key=["http://gateway", "n1", 7]), "not the record"),
        (changed(received_at="yesterday"), "not the record"),
        (changed(finished_at=None), "not the record"),
        (changed(receipt={"api_key": None}), "not the record"),
        (changed(receipt=[]), "not the record"),
        (changed(outcome={}), "^its outcome is neither success nor failure$"),
        (changed(outcome={"error": "no reason", "model": None}), "outcome"),
        (changed(outcome="success"), "not the record"),
    ],
)
def test_what_cannot_be_read_is_refused_without_being_quoted(record: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        decode(record)
    assert "developer-key" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("name", ["", "a", "[]", '["a","b"]', '["a","b",1]', "{}"])
def test_what_is_no_key_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^not (JSON|a key)$"):
        decode_key(name)


def test_a_key_is_read_back() -> None:
    assert decode_key(encode_key(key("ä"))) == key("ä")
