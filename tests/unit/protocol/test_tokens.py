"""Reading tokens that gateways issue, and some that they had better not."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from node.domain.errors import TokenUnreadable
from node.protocol.tokens import KeyReader, KeySetReader, TokenTimes, UnverifiedReader, issue, verified_claims

SECRET = "a shared secret of thirty-two bytes"
OTHER = "another secret of thirty-two bytes."


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def jwks(**keys: rsa.RSAPrivateKey) -> str:
    entries = []
    for name, key in keys.items():
        entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
        entries.append({**entry, "kid": name, "use": "sig", "alg": "RS256"})
    return json.dumps({"keys": entries})


def unsigned(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, "", algorithm="none")


@pytest.mark.parametrize(
    ("claims", "times"),
    [
        ({"exp": 2000, "iat": 1000}, TokenTimes(1000, 2000)),
        ({"exp": 1}, TokenTimes(None, 1)),
        ({"exp": 2000.5}, TokenTimes(None, 2000.5)),
        ({}, TokenTimes()),
        ({"exp": None}, TokenTimes()),
        ({"exp": True}, TokenTimes()),
        ({"exp": -5}, TokenTimes()),
        ({"exp": 1e300}, TokenTimes()),
        ({"sub": "n1", "aud": "nodes", "nbf": 99999999999}, TokenTimes()),
    ],
)
def test_times(claims: dict[str, Any], times: TokenTimes) -> None:
    for token in (issue(claims, SECRET), unsigned(claims)):
        assert UnverifiedReader().read(token) == times
    assert KeyReader(SECRET).read(issue(claims, SECRET)) == times


@pytest.mark.parametrize("exp", ["2000", "tomorrow", [], {}])
def test_an_end_that_is_no_number_is_none(exp: object) -> None:
    token = jwt.api_jws.encode(json.dumps({"exp": exp}).encode(), SECRET, algorithm="HS256")
    for reader in (UnverifiedReader(), KeyReader(SECRET)):
        assert reader.read(token) == TokenTimes()


@pytest.mark.parametrize("token", ["", "opaque", "a.b", "a.b.c", "....", "é.é.é", issue({}, SECRET)[:20], "e30.W10.x"])
def test_what_is_no_jwt(token: str) -> None:
    for reader in (UnverifiedReader(), KeyReader(SECRET), KeySetReader(jwks_of_none())):
        with pytest.raises(TokenUnreadable):
            reader.read(token)


def jwks_of_none() -> str:
    key = {"kty": "oct", "kid": "k", "k": base64.urlsafe_b64encode(b"x" * 32).decode(), "alg": "HS256"}
    return json.dumps({"keys": [key]})


def test_a_key_accepts_only_its_own_signature(rsa_key: rsa.RSAPrivateKey) -> None:
    claims = {"exp": 2000}
    good = jwt.encode(claims, rsa_key, algorithm="RS256")
    assert KeyReader(pem(rsa_key)).read(good) == TokenTimes(None, 2000)
    other = rsa.generate_private_key(65537, 2048)
    elliptic = ec.generate_private_key(ec.SECP256R1())
    assert KeyReader(pem(elliptic)).read(jwt.encode(claims, elliptic, algorithm="ES256")) == TokenTimes(None, 2000)
    for reader in (KeyReader(pem(other)), KeyReader(pem(elliptic)), KeyReader(SECRET)):
        with pytest.raises(TokenUnreadable):
            reader.read(good)


def test_a_pem_text_that_is_no_public_key_accepts_nothing(rsa_key: rsa.RSAPrivateKey) -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private = rsa_key.private_bytes(*form).decode()
    tokens = [
        jwt.encode({}, rsa_key, algorithm="RS256"),
        jwt.encode({}, elliptic, algorithm="ES256"),
        issue({}, SECRET),
    ]
    for key in (private, "-----BEGIN", "-----BEGIN PUBLIC KEY-----\nYQ==\n-----END PUBLIC KEY-----"):
        for token in tokens:
            with pytest.raises(TokenUnreadable):
                KeyReader(key).read(token)


def test_a_public_key_is_no_shared_secret(rsa_key: rsa.RSAPrivateKey) -> None:
    """Algorithm confusion: a token signed with HS256 and the public key as its secret."""
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(b'{"exp":2000}').rstrip(b"=")
    signed = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        head + b"." + body, pem(rsa_key).encode()
    )
    token = b".".join([head, body, base64.urlsafe_b64encode(signed).rstrip(b"=")]).decode()
    with pytest.raises(TokenUnreadable):
        KeyReader(pem(rsa_key)).read(token)


def test_an_unsigned_token_has_no_signature(rsa_key: rsa.RSAPrivateKey) -> None:
    token = unsigned({"exp": 2000})
    for reader in (KeyReader(SECRET), KeyReader(pem(rsa_key)), KeySetReader(jwks(a=rsa_key))):
        with pytest.raises(TokenUnreadable):
            reader.read(token)


def test_a_key_that_is_none() -> None:
    with pytest.raises(TokenUnreadable):
        KeyReader("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----").read(issue({}, SECRET))


def test_a_key_set_is_asked_for_the_key_that_the_token_names(rsa_key: rsa.RSAPrivateKey) -> None:
    other = rsa.generate_private_key(65537, 2048)
    reader = KeySetReader(jwks(old=other, new=rsa_key))
    token = jwt.encode({"exp": 2000}, rsa_key, algorithm="RS256", headers={"kid": "new"})
    assert reader.read(token) == TokenTimes(None, 2000)
    for kid in ("old", "unknown", ""):
        with pytest.raises(TokenUnreadable):
            reader.read(jwt.encode({}, rsa_key, algorithm="RS256", headers={"kid": kid}))
    with pytest.raises(TokenUnreadable):
        reader.read(jwt.encode({}, rsa_key, algorithm="RS256"))


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"keys": []}',
        '{"keys": [{}]}',
        '{"keys": 5}',
        "<html>",
        '{"keys": [{"kty": "oct"}]}',
        '{"keys": [{"kty": "RSA", "n": "AQAB", "e": 1}]}',
        '{"keys": [{"kty": "oct", "k": []}]}',
        '{"keys": [{"kty": "RSA", "d": "AQAB", "n": "AQAB", "e": "AQAB", "oth": []}]}',
        '{"keys": ' + "[" * 5000,
        "[" * 5000,
    ],
)
def test_a_document_that_is_no_key_set(document: str) -> None:
    with pytest.raises(TokenUnreadable):
        KeySetReader(document)


def test_claims_are_verified_where_they_were_issued() -> None:
    token = issue({"sub": "n1", "exp": 1}, SECRET)
    assert verified_claims(token, SECRET) == {"sub": "n1", "exp": 1}
    for bad in (issue({"sub": "n1"}, OTHER), unsigned({"sub": "n1"}), "x", ""):
        with pytest.raises(TokenUnreadable):
            verified_claims(bad, SECRET)
