"""What holds a secret shows it to nobody who looks at the object itself."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import pprint
import traceback
import typing
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import prometheus_client
import pytest

from node.domain.events import EngineCalled, ModelsAnnounced
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, JobId, JobKey, NodeId, SourceId
from node.domain.jobs import ChatPayload, Job, Message
from node.domain.proxies import ProxyAddress
from node.domain.results import FinishedJob, Generation, Points, Success
from node.domain.secret import Secret
from node.observability.event_documents import FORMS, Documents
from node.observability.log_wording import WORDINGS
from node.observability.metrics import Metrics
from node.observability.metrics_subscriber import MetricsSubscriber
from node.observability.redaction import Redactor
from node.ports.transport import Reply, Request
from node.protocol.messages import JobData, PollReply, ResultBody, ResultUpdate, SecretCheck, TokenGrant
from node.runtime.system import SystemClock
from node.sandbox.handshake import Handshake
from node.sandbox.policy import SandboxPolicy, WorkloadPolicy
from tests.secrets.scanner import Scanner

CANARY = "c4nary-hidden-in-an-object"
SECRET = Secret(CANARY)
SCANNER = Scanner({"it": CANARY})

PROXY = ProxyAddress("http", "10.0.0.1", 3128, CANARY, SECRET)
SPEC = NodeSpec(Identity(NodeId("n"), SECRET, AccountId("a"), "pub"), Hardware(1, 1, 1, "none", "linux"), ("m",), PROXY)
PAYLOAD = ChatPayload("m", (Message("user", CANARY),))
KEY = JobKey(SourceId("http://gateway"), NodeId("n"), JobId("j"))
GENERATION = Generation(CANARY, "m", "synthetic")
OBJECTS: list[object] = [
    SECRET,
    [SECRET],
    {"secret": SECRET},
    PROXY,
    SPEC,
    PAYLOAD,
    Job(JobId("j"), PAYLOAD, receipt={"api_key": SECRET}),
    FinishedJob(KEY, Success(GENERATION), 1.0, 2.0, {"api_key": SECRET}),
    Request("POST", "http://gateway/", (("authorization", f"Bearer {CANARY}"),), CANARY.encode()),
    Reply(200, {"x": CANARY}, CANARY.encode()),
    SecretCheck(node_id="n", secret=CANARY),
    TokenGrant(access_token=CANARY),
    PollReply(job_data=JobData(job_id="j", api_key=CANARY, messages=[{"role": "user", "content": CANARY}])),
    ResultUpdate(
        job_id="j",
        api_key=CANARY,
        model_name="m",
        result=ResultBody.model_validate({"message": CANARY}),
        status="success",
    ),
    Handshake(url="http://127.0.0.1", control_token=SECRET, pid=1),
    SandboxPolicy(
        node_secrets={NodeId("n"): SECRET},
        api_keys=(SECRET,),
        control_token=SECRET,
        workload=WorkloadPolicy(api_key=SECRET),
    ),
]


def _locals(thing: object) -> str:
    try:
        _raise(thing)
    except RuntimeError as error:
        return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    return ""


def _raise(thing: object) -> None:
    raise RuntimeError("a defect")


LOOKS: dict[str, Callable[[Any], str]] = {
    "str": str,
    "repr": repr,
    "format": lambda thing: f"{thing} {thing!s:>80} {thing!r} {thing!a}",
    "percent": lambda thing: "%s %r" % (thing, thing),  # noqa: UP031 - it is one of the ways
    "pprint": pprint.pformat,
    "locals in a traceback": _locals,
    "exception": lambda thing: f"{ValueError(thing)} {ValueError(thing)!r}",
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("thing", OBJECTS, ids=lambda thing: type(thing).__name__)
def test_no_look_at_an_object_shows_what_it_hides(thing: object, look: Callable[[Any], str]) -> None:
    assert SCANNER.secrets_in(look(thing).encode()) == set()


@pytest.mark.parametrize("thing", [SECRET, PROXY, SPEC, Job(JobId("j"), PAYLOAD, receipt={"api_key": SECRET})])
def test_what_holds_a_secret_is_neither_pickled_nor_copied(thing: object) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="secret"):
            pickle.dumps(thing, protocol)
    with pytest.raises(TypeError, match="secret"):
        copy.deepcopy(thing)


@pytest.mark.parametrize("way", [vars, dataclasses.asdict, dict, list, len, "prefix".__add__, "".join, bytes, iter])
def test_a_secret_has_no_other_way_in(way: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError):
        way(SECRET)


OUR_OWN_NAMES = {"step", "executor", "engine", "rule", "state", "action"}
"""Texts of events that are among few words of this program."""


def _filled(kind: type[Any]) -> Any:
    """An event with the canary in every text."""
    fillings: dict[object, object] = {
        str: CANARY,
        int: 1,
        float: 1.0,
        bool: True,
        JobKey: KEY,
        Points: Points(1.0, 2.0),
    }
    values: list[object] = []
    for name, hint in typing.get_type_hints(kind).items():
        options = [option for option in typing.get_args(hint) if option is not type(None)] or [hint]
        option = getattr(options[0], "__supertype__", options[0])
        if typing.get_origin(hint) is Literal:
            values.append(options[0])
        elif typing.get_origin(hint) is tuple:
            values.append((CANARY,))
        elif isinstance(option, type) and issubclass(option, Enum):
            values.append(next(iter(option)))
        elif option not in fillings and isinstance(option, type):
            values.append(_filled(option))
        else:
            values.append(name if name in OUR_OWN_NAMES else fillings[option])
    return kind(*values)


@pytest.mark.parametrize("kind", WORDINGS, ids=lambda kind: kind.__name__)
def test_no_words_of_an_event_become_a_metric(kind: type[Any]) -> None:
    metrics = Metrics(redact=redactor().redact)
    handlers = MetricsSubscriber(metrics, 1).handlers()
    event = _filled(kind)
    if kind in handlers:
        handlers[kind](event)
    exposed = prometheus_client.generate_latest(metrics.registry)
    assert SCANNER.secrets_in(exposed) == set()


def redactor() -> Redactor:
    made = Redactor()
    made.register(SECRET)
    return made


KEY_THAT_TELLS = JobKey(SourceId(f"http://{CANARY}"), NodeId(CANARY), JobId(CANARY))


@pytest.mark.parametrize("kind", FORMS, ids=lambda kind: kind.__name__)
def test_no_document_of_an_event_holds_a_secret(kind: type[Any]) -> None:
    event = _filled(kind)
    if hasattr(event, "key"):
        event = event._replace(key=KEY_THAT_TELLS)
    shown, told = (
        json.dumps(Documents(CANARY, SystemClock(), redact).of(event)).encode() for redact in (redactor().redact, str)
    )
    assert SCANNER.secrets_in(shown) == set()
    assert SCANNER.secrets_in(told) == {"it"}


def test_a_model_is_a_label_without_the_secret_in_its_name() -> None:
    for redact, found in ((redactor().redact, set()), (str, {"it"})):
        metrics = Metrics(redact=redact)
        handlers = MetricsSubscriber(metrics, 1).handlers()
        handlers[ModelsAnnounced](ModelsAnnounced(NodeId("n"), (f"llama-{CANARY}",)))
        handlers[EngineCalled](EngineCalled("ollama", f"llama-{CANARY}", 1.0, 2))
        assert SCANNER.secrets_in(prometheus_client.generate_latest(metrics.registry)) == found


def test_a_planted_leak_is_seen(tmp_path: Path) -> None:
    @dataclasses.dataclass
    class Leaky:
        secret: str

    assert [name for name, look in LOOKS.items() if SCANNER.secrets_in(look(Leaky(CANARY)).encode())] == list(LOOKS)
