"""The session's token: a JWT (RFC 7519), read by nodes and issued by the sandbox.

A node needs only its times. The signature is the gateway's own affair and is checked where the operator
configures a key; the times are judged by the caller, since PyJWT would use the machine's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import jwt
from jwt.types import Options

from node.domain.errors import TokenUnreadable
from node.protocol.json_reading import read_aside

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures that are accepted with a public key or a key set; never ``none``."""

SECRET_ALGORITHMS: Final = ("HS256", "HS384", "HS512")
"""Signatures that are accepted with a shared secret."""

_BAD_KEYS: Final = (jwt.PyJWTError, ValueError, TypeError, AttributeError, LookupError, NotImplementedError)
"""What PyJWT raises for a key set whose keys lack members, or have such as are of no use."""

_UNJUDGED: Final[Options] = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
_UNVERIFIED: Final[Options] = {"verify_signature": False, **_UNJUDGED}


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """When a token was issued and when it ends: Unix times by the gateway's clock, None where it does not say."""

    issued_at: float | None = None
    expires_at: float | None = None


class TokenReader(Protocol):
    """Reads a token's times."""

    def read(self, token: str) -> TokenTimes:
        """The times in this token.

        Raises:
            TokenUnreadable: it is no JWT, or not signed as it must be.
        """
        ...


class UnverifiedReader:
    """Reads without checking the signature: the token is the gateway's own, sent over verified TLS."""

    def read(self, token: str) -> TokenTimes:
        """See `TokenReader.read`."""
        try:
            claims = jwt.decode(token, options=_UNVERIFIED)
        except jwt.PyJWTError as error:
            raise TokenUnreadable(f"the token is not a JWT: {error}") from error
        return _times(claims)


class KeyReader:
    """Checks the signature with one key: a PEM public key (`ALGORITHMS`), or a shared secret (`SECRET_ALGORITHMS`).

    A PEM text that holds no public key accepts no token.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._algorithms = ALGORITHMS if key.lstrip().startswith("-----BEGIN") else SECRET_ALGORITHMS

    def read(self, token: str) -> TokenTimes:
        """See `TokenReader.read`."""
        try:
            claims = jwt.decode(token, self._key, algorithms=list(self._algorithms), options=_UNJUDGED)
        except (jwt.PyJWTError, ValueError, AttributeError, TypeError) as error:
            # A PEM text that holds no public key is met only here, and PyJWT lets its own library's errors through.
            raise TokenUnreadable(f"the token's signature is not that of the configured key: {error}") from error
        return _times(claims)


class KeySetReader:
    """Checks the signature with the key of a JWKS document (RFC 7517) that the token names.

    When the document does not hold that key, the `TokenUnreadable` has a `KeyError` as its cause: a newer document
    may hold it.
    """

    def __init__(self, document: str) -> None:
        """Take a JWKS document as JSON text.

        Raises:
            TokenUnreadable: the document holds no usable key.
        """
        try:
            self._keys = jwt.PyJWKSet.from_dict(read_aside(document.encode()))
        except _BAD_KEYS as error:
            raise TokenUnreadable(f"the key set is not usable: {error}") from error

    def read(self, token: str) -> TokenTimes:
        """See `TokenReader.read`."""
        try:
            key = self._keys[jwt.get_unverified_header(token).get("kid", "")]
            claims = jwt.decode(token, key, algorithms=list(ALGORITHMS), options=_UNJUDGED)
        except KeyError as error:
            raise TokenUnreadable("the token names a key that the key set does not hold") from error
        except jwt.PyJWTError as error:
            raise TokenUnreadable(f"the token's signature is not that of the key set: {error}") from error
        return _times(claims)


def issue(claims: Mapping[str, Any], secret: str) -> str:
    """A token with these claims, signed with HS256; for the sandbox gateway."""
    return jwt.encode(dict(claims), secret, algorithm="HS256")


def verified_claims(token: str, secret: str) -> dict[str, Any]:
    """The claims of a token that `issue` made with this secret; its times are for the caller to judge.

    Raises:
        TokenUnreadable: it is no JWT or not signed with this secret.
    """
    try:
        claims: dict[str, Any] = jwt.decode(token, secret, algorithms=["HS256"], options=_UNJUDGED)
    except jwt.PyJWTError as error:
        raise TokenUnreadable(str(error)) from error
    return claims


def _times(claims: Mapping[str, Any]) -> TokenTimes:
    return TokenTimes(issued_at=_time(claims.get("iat")), expires_at=_time(claims.get("exp")))


def _time(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < 1e11 else None
