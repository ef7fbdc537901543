"""Secrets, proxies, policies and what people read of a node."""

from __future__ import annotations

import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.errors import InputFault, InvalidInput, StorageFull, described
from node.domain.policies import BackOff, Range, SessionPolicy, StopPolicy
from node.domain.presence import Presence, describe
from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret, shortened
from node.domain.states import Hold, Life


def test_a_secret_shows_itself_only_on_request() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
    assert str(secret) == "***"
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2")
    assert hash(secret) == hash(Secret("hunter2"))
    assert secret != "hunter2"
    assert not Secret("")
    assert str(Secret("")) == ""
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("", ""),
        ("ten digits", "ten digits"),
        ("eleven char", "eleven …"),
        ("is hunter2-is-a-secret", "is …"),
        ("hunter2-is-a-secret", "…"),
    ],
)
def test_a_text_is_cut_between_words(text: str, short: str) -> None:
    assert shortened(text, 10) == short


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (StorageFull("the outbox holds 5 results"), "StorageFull: the outbox holds 5 results"),
        (PermissionError(13, "Permission denied", "/secret/place"), "PermissionError: Permission denied"),
        (OSError("hunter2"), "OSError"),
        (ValueError("hunter2"), "ValueError"),
        (KeyError("hunter2"), "KeyError"),
        (ExceptionGroup("hunter2", [ValueError("hunter2")]), "ExceptionGroup"),
        (StorageFull(), "StorageFull"),
    ],
)
def test_of_a_foreign_error_only_its_type_is_told(error: Exception, text: str) -> None:
    assert described(error) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("10.0.0.1:3128", "http://10.0.0.1:3128"),
        ("user:hunter2@10.0.0.1:3128", "http://10.0.0.1:3128"),
        ("  socks5://proxy.example:1080 ", "socks5://proxy.example:1080"),
        ("https://u:p@[::1]:8443/", "https://[::1]:8443"),
    ],
)
def test_a_proxy_is_shown_without_its_credentials(text: str, shown: str) -> None:
    proxy = ProxyAddress.parse(text)
    assert str(proxy) == shown
    assert "hunter2" not in repr(proxy)
    assert "user" not in repr(proxy)


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", "host:0", "host:99999", "ftp://host:1", "ho st:1", "http://:80", "http://h:1/path", "h:1?q"],
)
def test_what_is_no_proxy_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="prox") as caught:
        ProxyAddress.parse(text)
    assert not text.strip() or text not in str(caught.value)


@given(st.text(min_size=1), st.text())
def test_credentials_survive_their_way_through_an_address(username: str, password: str) -> None:
    proxy = ProxyAddress("http", "proxy.example", 8080, username, Secret(password))
    assert ProxyAddress.parse(proxy.url) == proxy


def test_a_proxy_without_a_user_has_a_plain_address() -> None:
    assert ProxyAddress.parse("proxy.example:8080").url == "http://proxy.example:8080"


@given(st.integers(1, 10_000), st.none() | st.floats(0, 1e6))
def test_a_back_off_stays_between_its_bounds(attempt: int, at_least_s: float | None) -> None:
    back_off = BackOff(base_s=0.5, cap_s=30)
    least = min(at_least_s or 0, 300)
    assert least <= back_off.draw(attempt, random.Random(attempt), at_least_s) <= least + back_off.ceiling(attempt)
    assert back_off.ceiling(attempt) <= 30


def test_a_back_off_grows_from_its_base_to_its_cap() -> None:
    back_off = BackOff(base_s=0.5, cap_s=30)
    assert [back_off.ceiling(attempt) for attempt in (1, 2, 3, 7, 50)] == [0.5, 1, 2, 30, 30]


def test_a_range_needs_its_ends_in_order() -> None:
    assert Range(2, 2).draw(random.Random(1)) == 2
    with pytest.raises(ValueError, match="range"):
        Range(3, 2)
    with pytest.raises(ValueError, match="range"):
        Range(-1, 2)


@pytest.mark.parametrize(("lifetime_s", "renew_in_s"), [(3600, 3540), (100, 80), (0, 0), (-5, 0)])
def test_a_token_is_renewed_before_its_end(lifetime_s: float, renew_in_s: float) -> None:
    assert SessionPolicy().renew_in(lifetime_s) == pytest.approx(renew_in_s)


def test_the_last_part_of_a_drain_is_for_leaving() -> None:
    assert StopPolicy(drain_s=60).leave_s == 15
    assert StopPolicy(drain_s=8).leave_s == 2


def test_all_faults_of_an_input_are_told_with_their_places() -> None:
    faults = [
        InputFault("nodes.csv", "ram is not a number", "write whole megabytes", line=3, column="ram"),
        InputFault("GATEWAY", "empty", "unset it"),
    ]
    assert str(InvalidInput(faults)) == (
        "nodes.csv:3 [ram]: ram is not a number — write whole megabytes\nGATEWAY: empty — unset it"
    )


@pytest.mark.parametrize(
    ("life", "holds", "busy", "polling", "presence"),
    [
        (Life.NEW, Hold.NOTHING, 0, False, Presence.INITIALIZING),
        (Life.STARTING, Hold.NOTHING, 1, False, Presence.REGISTERING),
        (Life.RECOVERING, Hold.NOTHING, 1, False, Presence.ERROR),
        (Life.FAILED, Hold.NOTHING, 0, False, Presence.ERROR),
        (Life.DRAINING, Hold.DRAINING, 1, False, Presence.DRAINING),
        (Life.STOPPED, Hold.NOTHING, 0, False, Presence.SHUTDOWN),
        (Life.RUNNING, Hold.NOTHING, 0, False, Presence.IDLE),
        (Life.RUNNING, Hold.NOTHING, 0, True, Presence.CHECKING),
        (Life.RUNNING, Hold.NO_SLOT, 1, False, Presence.PROCESSING),
        (Life.RUNNING, Hold.NOTHING, 1, True, Presence.PROCESSING),
        (Life.RUNNING, Hold.BACK_OFF, 0, False, Presence.BACKING_OFF),
        (Life.RUNNING, Hold.BACK_OFF | Hold.DISK, 0, False, Presence.PAUSED),
        (Life.RUNNING, Hold.PAUSED, 2, False, Presence.PROCESSING),
    ],
)
def test_what_people_read_follows_from_life_holds_and_slots(
    life: Life, holds: Hold, busy: int, polling: bool, presence: Presence
) -> None:
    assert describe(life, holds, busy_slots=busy, polling=polling) is presence
