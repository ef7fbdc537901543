"""Tokens that are checked against configured and published keys."""

from __future__ import annotations

import asyncio
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from node.domain.errors import ConnectFailed, TokenUnreadable
from node.gateway.keys import FETCH_EVERY_S, PublishedKeys, UnverifiedTokens, VerifiedTokens
from node.gateway.retries import Exhausted
from node.ports.transport import Reply, Request
from node.protocol.routes import Step
from node.protocol.tokens import KeyReader, TokenTimes, issue
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.gateway.bench import Bench
from tests.unit.gateway.scripted_gateway import KEY, said

URL = "https://gateway.example/.well-known/jwks.json"


@pytest.fixture(scope="module")
def keys() -> list[rsa.RSAPrivateKey]:
    return [rsa.generate_private_key(65537, 2048) for _ in range(2)]


class KeyServer:
    """A transport whose other end publishes keys."""

    def __init__(self, *keys: rsa.RSAPrivateKey) -> None:
        self.keys = list(keys)
        self.fetched: list[Request] = []
        self.faults: list[Reply | ConnectFailed] = []

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        self.fetched.append(request)
        await asyncio.sleep(0.01)
        fault = self.faults.pop(0) if self.faults else said(200, {"keys": [self._entry(key) for key in self.keys]})
        if isinstance(fault, ConnectFailed):
            raise fault
        return fault

    async def aclose(self) -> None:
        pass

    def _entry(self, key: rsa.RSAPrivateKey) -> dict[str, object]:
        entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
        return {**entry, "kid": name(key), "alg": "RS256"}


def name(key: rsa.RSAPrivateKey) -> str:
    return str(key.public_key().public_numbers().n)[:8]


def signed(key: rsa.RSAPrivateKey) -> str:
    return jwt.encode({"exp": 2000}, key, algorithm="RS256", headers={"kid": name(key)})


TIMES = TokenTimes(None, 2000)


@in_virtual_time
async def test_without_a_key_any_token_is_taken() -> None:
    assert await UnverifiedTokens().read(issue({"exp": 2000}, KEY)) == TIMES
    assert await UnverifiedTokens().read("opaque") == TokenTimes()


@in_virtual_time
async def test_with_a_key_a_token_must_be_signed_with_it() -> None:
    tokens = VerifiedTokens(KeyReader(KEY))
    assert await tokens.read(issue({"exp": 2000}, KEY)) == TIMES
    for bad in (issue({"exp": 2000}, "another key, of thirty-two bytes or more"), "opaque"):
        with pytest.raises(TokenUnreadable):
            await tokens.read(bad)


def test_keys_are_fetched_once_for_all(keys: list[rsa.RSAPrivateKey]) -> None:
    @in_virtual_time
    async def test() -> None:
        server = KeyServer(*keys)
        published = PublishedKeys(URL, server, VirtualClock())
        times = await asyncio.gather(*[published.read(signed(keys[n % 2])) for n in range(20)])
        assert times == [TIMES] * 20
        assert [request.url for request in server.fetched] == [URL]

    test()


def test_an_unknown_key_has_them_fetched_again_but_once_a_minute(keys: list[rsa.RSAPrivateKey]) -> None:
    @in_virtual_time
    async def test() -> None:
        old, new = keys
        server = KeyServer(old)
        published = PublishedKeys(URL, server, VirtualClock())
        assert await published.read(signed(old)) == TIMES
        for _ in range(5):
            with pytest.raises(TokenUnreadable, match="does not hold"):
                await published.read(signed(new))
        assert len(server.fetched) == 1
        await asyncio.sleep(FETCH_EVERY_S)
        server.keys.append(new)
        assert await asyncio.gather(*[published.read(signed(new)) for _ in range(20)]) == [TIMES] * 20
        assert len(server.fetched) == 2

    test()


def test_a_bad_signature_fetches_nothing(keys: list[rsa.RSAPrivateKey]) -> None:
    @in_virtual_time
    async def test() -> None:
        server = KeyServer(keys[0])
        published = PublishedKeys(URL, server, VirtualClock())
        await published.read(signed(keys[0]))
        await asyncio.sleep(FETCH_EVERY_S)
        forged = jwt.encode({}, keys[1], algorithm="RS256", headers={"kid": name(keys[0])})
        with pytest.raises(TokenUnreadable, match="signature"):
            await published.read(forged)
        assert len(server.fetched) == 1

    test()


@pytest.mark.parametrize("fault", [said(404), said(200, []), Reply(200, {}, b"\xff<html>")], ids=str)
def test_a_key_set_that_is_not_to_be_had(fault: Reply, keys: list[rsa.RSAPrivateKey]) -> None:
    @in_virtual_time
    async def test() -> None:
        server = KeyServer(keys[0])
        server.faults = [fault]
        published = PublishedKeys(URL, server, VirtualClock())
        with pytest.raises(TokenUnreadable):
            await published.read(signed(keys[0]))
        assert await published.read(signed(keys[0])) == TIMES

    test()


def test_registration_waits_for_the_keys(keys: list[rsa.RSAPrivateKey]) -> None:
    @in_virtual_time
    async def test() -> None:
        server = KeyServer(keys[0])
        server.faults = [ConnectFailed("nobody there")]
        bench = Bench(tokens=PublishedKeys(URL, server, VirtualClock()))
        bench.gateway.fail(Step.REGISTER, *[said(200, {"access_token": signed(keys[0])})] * 2)
        await bench.client.register()
        assert bench.ended == [("register", 2, True)]
        await bench.client.aclose()

    test()


@in_virtual_time
async def test_a_token_that_is_not_signed_as_it_must_be_is_not_used() -> None:
    bench = Bench(tokens=VerifiedTokens(KeyReader("another key, of thirty-two bytes or more")))
    with pytest.raises(Exhausted, match="signature"):
        await bench.client.register()
    assert bench.states == []
