"""What a node makes of wrong tokens: it uses them or asks again, and a poll goes on either way."""

from __future__ import annotations

import json
import ssl

import pytest

from node.gateway.keys import UnverifiedTokens, VerifiedTokens
from node.protocol.tokens import KeyReader
from tests.contract.transport.conftest import TRANSPORTS
from tests.evil.parts import MIB, reply
from tests.evil.server import Asked, EvilServer, Script, serving
from tests.evil.steps import GOOD, RETRY, STEPS, TOKEN, Client, good_answer, taken
from tests.evil.tokens import KEY, TOKENS, WrongToken

REGISTER, POLL = STEPS[2], STEPS[4]


@pytest.mark.parametrize("wrong", TOKENS, ids=str)
async def test_a_wrong_token_is_used_or_asked_for_again(wrong: WrongToken, tls: ssl.SSLContext) -> None:
    is_evil = True

    def answer(asked: Asked) -> Script:
        if asked.path == REGISTER.path and is_evil:
            return (reply(json.dumps({"access_token": wrong.token}).encode()),)
        return good_answer(asked)

    for tokens, is_good in (
        (UnverifiedTokens(), wrong.usable),
        (VerifiedTokens(KeyReader(KEY)), wrong.usable and wrong.verified),
    ):
        async with serving(EvilServer(answer)) as server:
            is_evil = True
            client = Client.at(server.url, TRANSPORTS["httpx"](tls, 2 * MIB), 20.0, tokens)
            assert await taken(REGISTER, client) == (GOOD if is_good else RETRY)
            if is_good:
                assert await taken(POLL, client) == GOOD
                assert server.asked[-1].headers["authorization"] == f"Bearer {wrong.token}"
            is_evil = False
            honest = Client.at(server.url, TRANSPORTS["httpx"](tls, 2 * MIB), 20.0)
            assert await taken(REGISTER, honest) == GOOD
            assert await taken(POLL, honest) == GOOD
            assert server.asked[-1].headers["authorization"] == f"Bearer {TOKEN}"
            await client.aclose()
            await honest.aclose()
