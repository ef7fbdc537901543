"""The types that settings are declared with, and what each says about itself besides its type."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints
from pydantic_core import PydanticCustomError

from node.domain.secret import Secret
from node.settings.text_file import is_utf8

DAY_S: Final = 24 * 3600.0


_OTHER_LEVELS: Final = {"warn": "warning", "trace": "debug", "critical": "error", "fatal": "error"}
"""What other programs call the levels of their logs."""

Names: TypeAlias = "str | Milliseconds | Sequence[str | Milliseconds]"
"""Names in the environment, the strongest first."""


class Section(BaseModel):
    """A table of the settings file. Immutable; a key that it does not know is refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )


@dataclass(frozen=True, slots=True)
class Milliseconds:
    """A name in the environment whose numbers are milliseconds, where the setting has seconds."""

    name: str

    @staticmethod
    def to_seconds(text: str) -> str:
        """The number in seconds; a text that is no number stays as it is, to be refused as such."""
        try:
            return repr(float(text) / 1000)
        except ValueError:
            return text

    @staticmethod
    def from_seconds(text: str) -> str:
        """What `to_seconds` was given, as far as it can be told."""
        try:
            return f"{float(text) * 1000:g}"
        except ValueError:
            return text


def setting(
    default: object,
    description: str,
    *,
    unit: str = "",
    ge: float | None = None,
    le: float | None = None,
    env: Names = (),
    flag: str = "",
) -> Any:
    """A setting: its default, what it does, its unit and bounds (both included).

    ``env`` are names that it may be given by in the environment besides the uniform one, the strongest first;
    ``flag`` is the option of the command line that stands for it.
    """
    about: dict[str, Any] = {"unit": unit, "env": (env,) if isinstance(env, str | Milliseconds) else env, "flag": flag}
    return Field(default, description=description, ge=ge, le=le, json_schema_extra=about)


def seconds(
    default: float, description: str, *, ge: float = 0.0, le: float = DAY_S, env: Names = (), flag: str = ""
) -> Any:
    """A `setting` that is a time in seconds, from 0 to a day unless said otherwise."""
    return setting(float(default), description, unit="seconds", ge=ge, le=le, env=env, flag=flag)


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "true and false are no numbers")
    return value


def _split(value: object) -> object:
    """A list of a text: JSON's, or parts with commas between them."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        # An address may begin with a bracket, too.
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _log_level(value: object) -> object:
    word = _lower(value)
    return _OTHER_LEVELS.get(word, word) if isinstance(word, str) else word


def _clean(value: str) -> str:
    if "\0" in value:
        raise ValueError("a NUL character has no place here")
    if not is_utf8(value):
        raise ValueError("not UTF-8")
    return value


def _path(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = _clean(value.strip())
    if not text:
        raise ValueError("a path is missing")
    return Path(text)


def _path_or_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else _path(value)


def _go_duration(value: str) -> str:
    if value and not re.fullmatch(r"-?(\d+(\.\d+)?(ns|us|ms|s|m|h))+", value):
        raise ValueError("not a duration such as 30s, 5m or 1h30m")
    return value


def _url(value: str) -> str:
    text = _clean(value.strip())
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError("not an http:// or https:// address") from None
    if not usable or parts.scheme not in {"http", "https"} or re.search(r"\s", text):
        raise ValueError("not an http:// or https:// address")
    if "@" in text:
        # In a path, too: a password with a slash in it puts the rest of what is meant for a login there.
        raise ValueError("an address holds no user or password here")
    return text


def _base_url(value: str) -> str:
    text = _url(value)
    parts = urlsplit(text)
    if "?" in text or "#" in text:
        raise ValueError("a base address holds no query and no fragment")
    return parts._replace(netloc=parts.netloc.lower(), path=parts.path.rstrip("/")).geturl()


def _host_and_port(value: str) -> str:
    try:
        parts = urlsplit(f"//{value}")
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s@/?#]", value):
        raise ValueError("not of the form host:port")
    return value


def _hidden_url(value: Secret) -> Secret:
    text = value.reveal()
    try:
        parts = urlsplit(text)
        usable = not text or (parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", text):
        # Whatever else it is, it may be a secret.
        raise ValueError("not an http:// or https:// address")
    return value


def _topic(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value) or value in {".", ".."}:
        raise ValueError("not a topic of Kafka: letters, digits, '.', '_' and '-', 249 at most")
    return value


def _url_or_empty(value: str) -> str:
    return _url(value) if value.strip() else ""


def _base_url_or_empty(value: str) -> str:
    return _base_url(value) if value.strip() else ""


def engine_entry(text: str) -> tuple[str, str, str]:
    """Name, kind and base address of an engine that is written as ``NAME=KIND:URL``.

    Raises:
        ValueError: it is not written like that.
    """
    match = re.fullmatch(r"(?P<name>[A-Za-z0-9][\w.-]{0,62})=(?P<kind>ollama|openai):(?P<url>https?://.+)", text)
    if match is None:
        raise ValueError("not of the form NAME=KIND:URL, such as gpu0=ollama:http://127.0.0.1:11434")
    return match["name"], match["kind"], _base_url(match["url"])


def _engine(value: str) -> str:
    engine_entry(value)
    return value


def _secret(value: object) -> object:
    return Secret(_clean(value.strip())) if isinstance(value, str) else value


Number: TypeAlias = Annotated[float, BeforeValidator(_not_bool), Field(allow_inf_nan=False)]
"""A finite number."""

Whole: TypeAlias = Annotated[int, BeforeValidator(_not_bool)]
Text: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_clean)]
"""A text in UTF-8, without the spaces around it; may be empty."""

Hidden: TypeAlias = Annotated[Secret, BeforeValidator(_secret), PlainSerializer(str, return_type=str)]
"""A text that is never shown. Spaces and line ends around it are dropped."""

HiddenUrl: TypeAlias = Annotated[Hidden, AfterValidator(_hidden_url)]
"""An http or https address that is never shown; may be empty."""

KafkaTopic: TypeAlias = Annotated[Text, AfterValidator(_topic)]

FilePath: TypeAlias = Annotated[Path, BeforeValidator(_path)]
"""A file or folder, relative to the working directory."""

OptionalPath: TypeAlias = Annotated[Path | None, BeforeValidator(_path_or_none)]
"""A file or folder; None where it is left empty."""

OptionalUrl: TypeAlias = Annotated[str, AfterValidator(_url_or_empty)]
"""An http or https address without user and password; may be empty."""

BaseUrl: TypeAlias = Annotated[str, AfterValidator(_base_url)]
"""An `OptionalUrl` that is not empty and that paths are joined to: no slash at the end, no query."""

OptionalBaseUrl: TypeAlias = Annotated[str, AfterValidator(_base_url_or_empty)]
"""A `BaseUrl`; may be empty."""

GoDuration: TypeAlias = Annotated[Text, AfterValidator(_go_duration)]
"""A duration as Go writes it; may be empty."""

Paths: TypeAlias = Annotated[tuple[FilePath, ...], BeforeValidator(_split)]
"""A list; this and other lists may be given as one text, its items separated by commas."""

Texts: TypeAlias = Annotated[tuple[Text, ...], BeforeValidator(_split)]

Brokers: TypeAlias = Annotated[tuple[Annotated[Text, AfterValidator(_host_and_port)], ...], BeforeValidator(_split)]
"""Servers as ``host:port``, without user and password."""

EngineEntries: TypeAlias = Annotated[tuple[Annotated[Text, AfterValidator(_engine)], ...], BeforeValidator(_split)]
"""Engines as ``NAME=KIND:URL``; see `engine_entry`."""

BaseUrls: TypeAlias = Annotated[tuple[BaseUrl, ...], BeforeValidator(_split)]

ExecutorName: TypeAlias = Literal["stored", "ollama", "synthetic"]
Executors: TypeAlias = Annotated[tuple[ExecutorName, ...], BeforeValidator(_split), Field(min_length=1)]
LogLevel: TypeAlias = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_log_level)]
ProxyAssignment: TypeAlias = Annotated[Literal["auto", "roster", "none"], BeforeValidator(_lower)]
FallbackUse: TypeAlias = Annotated[Literal["owned", "always", "never"], BeforeValidator(_lower)]
Thinking: TypeAlias = Annotated[Literal["default", "on", "off"], BeforeValidator(_lower)]
