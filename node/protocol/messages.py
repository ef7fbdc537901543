"""The bodies that travel, as both sides read and write them.

Readers are lenient: unknown fields are ignored, and a job's fields may be absent, null or of a wrong type
without making the reply unreadable, since a job that cannot run must still be answered. Field names and units
are the wire's: ``ram`` and ``vram`` in MB, ``cpu`` in cores; ``node_url`` carries a node's id.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

MAX_TOKEN_CHARS = 16_384
"""A longer ``access_token`` would not fit into a header that servers accept."""


class WireMessage(BaseModel):
    """A body on the wire, immutable; fields that it does not know are dropped where it is read.

    Reading one (``model_validate_json``) or making one raises `pydantic.ValidationError`, a `ValueError`, when a
    field is missing or not usable.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    def to_wire(self) -> bytes:
        """Its JSON in UTF-8, on one line, with secrets in clear.

        Raises:
            ValueError: a text holds half of a surrogate pair, for which UTF-8 has no form.
        """
        return self.model_dump_json().encode()


# The node's side, in the order of the steps.


class SecretCheck(WireMessage):
    """Step 2, ``POST /check_node_secret``."""

    node_id: StrictStr = Field(min_length=1)
    secret: StrictStr = Field(repr=False)


class IdentityCheck(WireMessage):
    """Step 3, ``POST /node/check`` at the auth service."""

    node_id: StrictStr
    pub_key: StrictStr
    account_id: StrictStr


class IdentityReply(WireMessage):
    """The auth service's word; anything but ``true`` is a refusal."""

    valid_credentials: Any


class Stats(WireMessage):
    """A node's machine: ``ram`` and ``vram`` in MB, ``cpu`` in cores."""

    ram: int
    cpu: int
    vram: int
    gpu: str
    os: str


class Registration(WireMessage):
    """Step 4, ``POST /worker/register_node``. Version and stats may be missing when it is read."""

    node_url: StrictStr = Field(min_length=1)
    node_version: str | None = None
    stats: Stats | None = None


class TokenGrant(WireMessage):
    """The answer to step 4: the session's token, a JWT of at most `MAX_TOKEN_CHARS`, borne by all later steps."""

    access_token: StrictStr = Field(min_length=1, max_length=MAX_TOKEN_CHARS, repr=False)


class ModelsUpdate(WireMessage):
    """Step 5, ``POST /worker/update_models``."""

    node_url: StrictStr
    models: list[str]


def _text_or_none(value: Any) -> str | None:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _whole_or_none(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value and abs(value) < 2**53 else None  # noqa: PLR0124 - NaN differs from itself


def _number_or_none(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if value == value and abs(value) < 1e308 else None  # noqa: PLR0124


# What is of the right type is read as it is; only what is not goes through Python code.
_LEFT_FIRST = Field(union_mode="left_to_right")
LenientText = Annotated[StrictStr | Annotated[str | None, BeforeValidator(_text_or_none)], _LEFT_FIRST]
LenientWhole = Annotated[
    Annotated[StrictInt, Field(gt=-(2**53), lt=2**53)] | Annotated[int | None, BeforeValidator(_whole_or_none)],
    _LEFT_FIRST,
]
LenientNumber = Annotated[
    Annotated[StrictFloat, Field(gt=-1e308, lt=1e308)] | Annotated[float | None, BeforeValidator(_number_or_none)],
    _LEFT_FIRST,
]


def _is_none(value: Any) -> bool:
    return value is None


class JobData(WireMessage):
    """A job as handed to a node; a field that is absent, null or of a wrong type is None.

    ``max_output`` is in tokens, and 0 or less asks for no limit. ``messages`` is any JSON: it is checked when it is
    translated, so that a fault can be answered. ``request_timeout_time`` is how long the asker waits, in seconds, at
    gateways that tell.
    """

    job_id: LenientText = None
    api_key: LenientText = Field(default=None, repr=False)
    model: LenientText = None
    messages: Any = Field(default=None, repr=False)
    max_output: LenientWhole = None
    temperature: LenientNumber = None
    request_timeout_time: LenientNumber = Field(default=None, exclude_if=_is_none)


class PollReply(WireMessage):
    """Step 6, the answer of ``GET /worker/get_job``: a job, or None when there is no work."""

    job_data: JobData | None = None


class AnswerMessage(WireMessage):
    """The text that was generated; empty when the job failed."""

    role: str = "assistant"
    content: str = Field(default="", repr=False)


def _message_object(value: Any) -> Any:
    return {"content": value} if isinstance(value, str) else value


class ResultBody(WireMessage):
    """What a result says: the message, and for an ``error`` the reason, otherwise None.

    A message that is a bare string is read as its content. ``usage`` is this program's own addition (see
    `node.protocol.translate.usage`), and any JSON where it comes from others. Other fields are kept.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    message: Annotated[AnswerMessage, BeforeValidator(_message_object)]
    error: str | None = None
    usage: Any = Field(default=None, exclude_if=_is_none)


class ResultUpdate(WireMessage):
    """Step 7, ``POST /worker/update_result``: ``api_key`` is the job's own, empty where it had none.

    ``model_name`` is the model that produced the text, or was asked for when none did.
    """

    job_id: StrictStr = Field(min_length=1)
    api_key: str = Field(repr=False)
    model_name: str
    result: ResultBody
    status: Literal["success", "error"]

    def to_wire(self) -> bytes:
        """As `WireMessage.to_wire`, fields that are null left out, as is the error of a success."""
        return self.model_dump_json(exclude_none=True).encode()


class PointsReply(WireMessage):
    """Step 8, the answer of ``GET /get_points``: points settled and raw; raw ones are 0 where they are not told."""

    points: float = Field(allow_inf_nan=False)
    pointsraw: float = Field(default=0.0, allow_inf_nan=False)


class Leaving(WireMessage):
    """Step 9, ``POST /worker/deregister_node``."""

    node_url: StrictStr


# The developer's side.


class InputMessage(WireMessage):
    """One turn of a developer's conversation."""

    role: str
    content: str = Field(repr=False)


class JobRequest(WireMessage):
    """``POST /submit_job``.

    ``max_output`` is in tokens, 0 or less asks for no limit; ``temperature`` None is the engine's own.
    """

    model: str = Field(min_length=1)
    messages: list[InputMessage] = Field(repr=False)
    max_output: int
    temperature: float | None = None


class JobTicket(WireMessage):
    """The answer to a submitted job."""

    job_id: str


class JobOutcome(WireMessage):
    """The answer of ``GET /get_result/{job_id}`` once there is a result; before that it is 404.

    ``model_name`` is None at gateways that do not tell which model ran.
    """

    status: Literal["success", "error"]
    result: ResultBody
    model_name: str | None = None


class ChatRequest(WireMessage):
    """``POST /chat/completions``: submits a job and waits for its result, ``request_timeout_time`` seconds at most.

    ``max_tokens`` and ``temperature`` are as in `JobRequest`.
    """

    model: str = Field(min_length=1)
    messages: list[InputMessage] = Field(repr=False)
    max_tokens: int
    temperature: float | None = None
    request_timeout_time: float | None = 240


class ChatChoice(WireMessage):
    """One answer of a chat completion."""

    index: int = 0
    message: AnswerMessage
    finish_reason: str = "stop"


class ChatReply(WireMessage):
    """The answer of ``POST /chat/completions``; ``id`` is the job's."""

    id: str
    model: str
    choices: list[ChatChoice]


class ErrorReply(WireMessage):
    """How this family words a refusal: some of its gateways use ``detail``, some ``status`` or ``message``."""

    detail: Any = None
    status: Any = None
    message: Any = None
    error: Any = None
