"""The table of wrong tokens: what a gateway grants, and whether a node can use it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from node.protocol.tokens import issue

KEY = "the gateway's own key, of thirty-two bytes"
SOON = 4_000_000_000


@dataclass(frozen=True)
class WrongToken:
    """What the reply says beside ``access_token``; usable by a node that checks no signature, and by one that does."""

    name: str
    token: Any
    usable: bool = True
    verified: bool = False

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def signed(**claims: Any) -> str:
    """A token with the right signature."""
    return issue({"sub": "n1", **claims}, KEY)


def assembled(header: Mapping[str, Any], claims: bytes, signature: str = "") -> str:
    """A token that no library would make."""
    return f"{_packed(json.dumps(header).encode())}.{_packed(claims)}.{signature}"


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


GOOD = signed(exp=SOON, iat=1)
HEAD, CLAIMS, SIGNATURE = GOOD.split(".")

TOKENS = (
    WrongToken("one that is good", GOOD, verified=True),
    WrongToken("alg none", jwt.encode({"exp": SOON}, "", algorithm="none")),
    WrongToken("alg None and a signature", assembled({"alg": "None"}, b"{}", "AAAA")),
    WrongToken("alg empty", assembled({"alg": ""}, b"{}", SIGNATURE)),
    WrongToken("no alg", assembled({}, b"{}", SIGNATURE)),
    WrongToken("alg a list", assembled({"alg": ["HS256"]}, b"{}", SIGNATURE)),
    WrongToken("another key", issue({"exp": SOON}, "x" * 32)),
    WrongToken("a critical extension", assembled({"alg": "HS256", "crit": ["exp"]}, b"{}", SIGNATURE)),
    WrongToken("a key id that is a number", assembled({"alg": "HS256", "kid": 7}, b"{}", SIGNATURE)),
    WrongToken("no exp", signed(), verified=True),
    WrongToken("exp past", signed(exp=1), verified=True),
    WrongToken("exp 0", signed(exp=0), verified=True),
    WrongToken("exp below zero", signed(exp=-SOON), verified=True),
    WrongToken("exp in text", signed(exp="2099-01-01"), verified=True),
    WrongToken("exp a number in text", signed(exp=str(SOON)), verified=True),
    WrongToken("exp with a fraction", signed(exp=SOON + 0.5), verified=True),
    WrongToken("exp huge", signed(exp=10**300), verified=True),
    WrongToken("exp beyond floats", signed(exp=10**400), verified=True),
    WrongToken("exp infinite", signed(exp=float("inf")), verified=True),
    WrongToken("exp not a number", signed(exp=float("nan")), verified=True),
    WrongToken("exp true", signed(exp=True), verified=True),
    WrongToken("exp null", signed(exp=None), verified=True),
    WrongToken("exp a list", signed(exp=[SOON]), verified=True),
    WrongToken("exp of 5,000 digits", assembled({"alg": "HS256"}, b'{"exp":' + b"9" * 5000 + b"}", SIGNATURE)),
    WrongToken("iat after exp", signed(exp=SOON, iat=SOON + 9), verified=True),
    WrongToken("not valid yet", signed(exp=SOON, nbf=SOON), verified=True),
    WrongToken("claims in a list", assembled({"alg": "HS256"}, b"[]", SIGNATURE)),
    WrongToken("claims 10,000 deep", assembled({"alg": "HS256"}, b"[" * 10_000, SIGNATURE)),
    WrongToken("claims not UTF-8", assembled({"alg": "HS256"}, b"\xff\xfe", SIGNATURE)),
    WrongToken("half a character", assembled({"alg": "HS256"}, b'{"sub":"\\ud800"}', SIGNATURE)),
    WrongToken("not base64", f"{HEAD}.!!!.{SIGNATURE}"),
    WrongToken("two parts", f"{HEAD}.{CLAIMS}"),
    WrongToken("five parts", f"{GOOD}.{GOOD[:9]}.x"),
    WrongToken("no JWT at all", "an-opaque-token"),
    WrongToken("dots", "..", usable=True),
    WrongToken("empty", "", usable=False),
    WrongToken("a blank", " ", usable=False),
    WrongToken("a line break", f"{GOOD}\r\nx-evil: 1", usable=False),
    WrongToken("a line feed at its end", f"{GOOD}\n", usable=False),
    WrongToken("a blank within", f"{HEAD} {CLAIMS}", usable=False),
    WrongToken("NUL", f"{GOOD}\0", usable=False),
    WrongToken("an umlaut", f"{GOOD}\xe4", usable=False),
    WrongToken("an emoji", f"{GOOD}\U0001f600", usable=False),
    WrongToken("1 MB", signed(exp=SOON, pad="x" * 750_000), usable=False),
    WrongToken("null", None, usable=False),
    WrongToken("a number", 7, usable=False),
    WrongToken("true", token=True, usable=False),
    WrongToken("a list", [GOOD], usable=False),
    WrongToken("an object", {"token": GOOD}, usable=False),
)
