from __future__ import annotations

import base64
import html
import json
import queue
import random
import re
import string
import threading
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.secret import MASK, Secret
from node.observability.redaction import Redactor
from node.observability.secret_forms import MIN_CHARS

ODD = 'p@ss "w\\rd"/€%'


def redactor(*secrets: str) -> Redactor:
    made = Redactor()
    for secret in secrets:
        made.register(Secret(secret))
    return made


@pytest.mark.parametrize("secret", ["hunter", "hunter2", "hunter22", "a-much-longer-secret-0123456789", ODD])
@pytest.mark.parametrize(
    "write",
    [
        str,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps(json.dumps({"key": text})),
        lambda text: quote(text, safe=""),
        quote,
        quote_plus,
        lambda text: re.sub("%..", lambda escape: escape[0].lower(), quote(text, safe="")),
        html.escape,
        lambda text: repr(text)[1:-1],
        lambda text: ascii(text)[1:-1],
        lambda text: repr(text.encode())[2:-1],
        lambda text: json.dumps(str([text, "'"])),
        lambda text: repr(json.dumps({"key": text})),
        lambda text: repr(json.dumps({"it's": text})),
        lambda text: text.encode().hex(),
        lambda text: text.encode().hex().upper(),
    ],
    ids=[
        *("plain", "json", "json unicode", "json in json", "url", "path", "form", "url lower", "html"),
        *("repr", "ascii", "bytes", "repr in json", "json in repr", "json in other repr", "hex", "hex upper"),
    ],
)
def test_a_secret_is_masked_however_it_is_written_and_whatever_stands_around_it(secret: str, write: object) -> None:
    assert callable(write)
    written = write(secret)
    core = written.strip('"')
    for before in ("", "x", "xy", "xyz", "wxyz", "vwxyz"):
        for after in ("", "0", "012"):
            text = redactor(secret).redact(f"{before}{core}{after}")
            assert secret not in text
            assert MASK in text
            assert text.startswith(before)


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:", "somebody:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_is_masked_inside_base64_at_every_alignment(before: str, encode: object) -> None:
    assert callable(encode)
    for secret in ("correct-horse-battery", "??>>??>>secret~~~~"):
        text = encode(f"{before}{secret}!".encode()).decode()
        masked = redactor(secret).redact(f"header {text}")
        assert MASK in masked
        longest = max(masked.removeprefix("header ").split(MASK), key=len)
        assert secret.encode()[3:-3] not in base64.b64decode(longest.replace("-", "+").replace("_", "/") + "==", b"+/")


def test_overlapping_and_repeated_secrets_leave_nothing() -> None:
    masked = redactor("abcdefghijkl", "ijklmnopqrst", "qrstuvwx").redact("<abcdefghijklmnopqrstuvwx|abcdefghijkl>")
    assert masked == f"<{MASK}|{MASK}>"


def test_a_secret_inside_another_does_not_uncover_its_end() -> None:
    assert redactor("abcdefghijklmnopqrst", "cdefghij").redact("<abcdefghijklmnopqrst>") == f"<{MASK}>"


def test_a_short_secret_does_not_star_the_log_but_patterns_still_catch_it() -> None:
    short = "abc12"
    assert len(short) < MIN_CHARS
    r = redactor(short, "", "a")
    assert r.redact("node abc12 is at a table") == "node abc12 is at a table"
    assert short not in r.redact(f"http://joe:{short}@proxy:1080 password={short} api_key: {short}")


def test_numbered_secrets_of_one_make_are_all_found() -> None:
    secrets = [f"secret-of-node-{number:05d}-end" for number in range(300)]
    r = redactor(*secrets)
    assert r.redact(" ".join(secrets)) == " ".join([MASK] * 300)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        ("proxy-authorization: Basic dXNlcjpwYXNz", "proxy-authorization: Basic ***"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJuIn0.c2ln rest", "token *** rest"),
        ("?api_key=k-123&x=1", "?api_key=***&x=1"),
        ('{"api_key": "k-123", "x": 1}', '{"api_key": "***", "x": 1}'),
        ('{\\"api_key\\": \\"k-123\\"}', '{\\"api_key\\": \\"***\\"}'),
        ("private-key: abc", "private-key: ***"),
        ("socks5://joe:pw@10.0.0.1:1080", "socks5://***@10.0.0.1:1080"),
        ('{"secret": "s3", "access_token":"t4"}', '{"secret": "***", "access_token":"***"}'),
        ("password=pw1, next", "password=***, next"),
        ("step=secret error=denied", "step=secret error=denied"),
        ("secret: the gateway denied it", "secret: the gateway denied it"),
        ("output_tokens=12 max_tokens=5", "output_tokens=12 max_tokens=5"),
        ("http://host:80/path?x=a@b", "http://host:80/path?x=a@b"),
        ("basic training", "basic training"),
        ("nothing here", "nothing here"),
    ],
)
def test_what_looks_like_a_credential_is_masked_unregistered(text: str, masked: str) -> None:
    assert Redactor().redact(text) == masked


def test_redaction_is_idempotent() -> None:
    r = redactor("hunter2-hunter2")
    text = "Bearer abcdefgh api_key=zzz hunter2-hunter2 http://u:p@h:1 password=x"
    assert r.redact(r.redact(text)) == r.redact(text)


def test_a_remembered_secret_is_masked_while_it_lives_however_many_there_are() -> None:
    r = Redactor(recent=2)
    alive = [Secret(f"{number:03d}-a-living-secret") for number in range(100)]
    for secret in alive:
        r.remember(secret)
    assert r.redact(" ".join(secret.reveal() for secret in alive)) == " ".join([MASK] * 100)


def test_of_secrets_that_are_gone_the_last_are_masked_still() -> None:
    r = Redactor(recent=2)
    r.register(Secret("permanent-one"))
    for name in ("passing-one", "passing-two", "passing-three"):
        r.remember(Secret(name))
    r.remember(held := Secret("living-one"))
    text = "permanent-one passing-one passing-two passing-three living-one"
    assert r.redact(text) == "*** passing-one *** *** ***"
    del held
    r.remember(Secret("passing-four"))
    assert r.redact("passing-two passing-three living-one") == "passing-two *** ***"


def test_a_secret_is_held_by_every_object_that_tells_it() -> None:
    r = Redactor(recent=0)
    one, other = Secret("told-by-two"), Secret("told-by-two")
    for secret in (one, other, one, one):
        r.remember(secret)
    del one
    r.remember(Secret("somebody-elses"))
    assert r.redact("told-by-two") == MASK
    del other, secret
    r.remember(Secret("somebody-elses"))
    assert r.redact("told-by-two") == "told-by-two"


def test_a_secret_that_comes_back_is_held_anew() -> None:
    r = Redactor(recent=1)
    r.remember(Secret("comes-and-goes"))
    back = Secret("comes-and-goes")
    r.remember(back)
    for name in ("another-one", "another-two", "another-three"):
        r.remember(Secret(name))
    assert r.redact("comes-and-goes") == MASK


def test_a_secret_both_registered_and_remembered_outlives_its_remembrance() -> None:
    r = Redactor(recent=0)
    r.register(Secret("known-forever"))
    r.remember(Secret("known-forever"))
    r.remember(Secret("somebody-elses"))
    assert r.redact("known-forever") == MASK


def test_forgetting_leaves_nothing_behind() -> None:
    r = Redactor(recent=3)
    for number in range(100):
        r.remember(Secret(f"{number:03d}-a-passing-secret"))
        r.remember(Secret(f"pw{number:04d}"))
    assert len(r._uses) <= 4 * 10
    assert sum(len(sieve._index) for sieve in r._sieves) <= 4 * 10 * 3
    assert (len(r._leases), len(r._held), len(r._ended)) == (1, 1, 1)


def test_secrets_may_die_on_another_thread_while_lines_are_masked() -> None:
    r = Redactor(recent=10)
    dying: queue.SimpleQueue[Secret | None] = queue.SimpleQueue()

    def bury() -> None:
        while dying.get() is not None:
            pass

    grave = threading.Thread(target=bury)
    grave.start()
    for number in range(2000):
        secret = Secret(f"{number:04d}-a-passing-secret")
        r.remember(secret)
        assert r.redact(f"<{secret.reveal()}>") == "<***>"
        dying.put(secret)
    del secret
    dying.put(None)
    grave.join()
    r.remember(Secret("the-last-of-all"))
    assert len(r._leases) <= 1
    assert len(r._recent) <= 10


def test_of_a_jwt_the_signature_is_masked_in_any_disguise() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJub2RlIjoibi0xIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    r = redactor(token)
    assert r.redact(f"<{token}>") == "<***>"
    for text in (base64.b64encode(f"Bearer {token}".encode()).decode(), token.encode().hex(), repr(token)):
        masked = r.redact(text)
        assert MASK in masked
        assert token.rpartition(".")[2] not in masked


@given(
    secrets=st.lists(st.text(st.characters(codec="utf-8"), min_size=6, max_size=20), max_size=5),
    around=st.lists(st.text(max_size=12), min_size=6, max_size=6),
)
def test_no_secret_survives(secrets: list[str], around: list[str]) -> None:
    text = around[0] + "".join(secret + between for secret, between in zip(secrets, around[1:], strict=False))
    masked = redactor(*secrets).redact(text)
    for secret in secrets:
        assert secret not in masked.replace(MASK, "")


def test_long_lines_and_many_secrets_are_quick() -> None:
    """Some 0.5 ms on an idle machine; a look at every secret for every line would take a second."""
    rng = random.Random(1)
    letters = string.ascii_letters + string.digits
    r = redactor(*("".join(rng.choices(letters, k=32)) for _ in range(10_000)))
    line = " ".join("".join(rng.choices(string.ascii_lowercase, k=7)) for _ in range(1250))
    times = []
    for _ in range(20):
        started = time.perf_counter()
        r.redact(line)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.02


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "Bearer "])
@pytest.mark.parametrize(
    "write",
    [
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
        lambda text: text.encode().hex(),
        lambda text: text.encode().hex().upper(),
    ],
    ids=["base64", "base64 url", "hex", "hex upper"],
)
def test_a_jwt_that_nobody_here_was_granted_is_known_by_its_make(before: str, write: object) -> None:
    assert callable(write)
    for head in ('{"alg":"HS256","typ":"JWT"}', '{"typ":"JWT","alg":"RS256"}'):
        opening = base64.urlsafe_b64encode(head.encode()).decode().rstrip("=")
        token = f"{opening}.eyJub2RlIjoibi0xIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        told = redactor().redact(f"HTTP 502: {write(before + token)} and more")
        assert told.endswith(f"{MASK} and more")
        assert len(told) < len(f"HTTP 502: {MASK} and more") + 2 * len(before) + 4


def test_what_only_looks_a_little_like_a_token_is_left() -> None:
    told = "sleUping in base V5S, ZXlK: 65794a and a digest sha256:" + "0123456789abcdef" * 4
    assert redactor().redact(told) == told
