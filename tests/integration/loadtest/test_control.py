"""A sandbox's word, when what answers is none or shows what is no ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.app.loadtest.control import LoadControl
from node.app.loadtest.plan import LoadTestOrder, plan_load_test
from node.domain.errors import BrokenReply, ConnectFailed
from node.domain.ids import JobId
from node.domain.secret import Secret
from node.loadtest.audit.book import Book
from node.loadtest.audit.gateway_word import GatewayWord
from node.loadtest.audit.policy import AuditPolicy
from node.ports.transport import Reply, Request
from node.sandbox.handshake import Handshake
from node.settings.load import load
from tests.integration.loadtest.world import plan_text

CLAIM = ["n", 10.0, 15.0, "lapsed", 15.0]
LATER = ["m", 14.999, 19.999, "answered", 15.5]
ANSWER = ["m", 15.5, "accepted", "success", "model", "00000000000000ff"]


def row(job: str, submitted_at: float | None = 9.0) -> list[object]:
    return [1, job, "model", submitted_at, "answered", [CLAIM, LATER], [ANSWER], ["m"], 0]


def page(rows: list[object], next_after: int | None = None, dropped: int = 0) -> bytes:
    return json.dumps({"rows": rows, "next_after": next_after, "dropped": dropped}).encode()


class Sandbox:
    def __init__(self, *pages: bytes, status: int = 200) -> None:
        self.pages = list(pages)
        self.status = status
        self.asked: list[Request] = []

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        self.asked.append(request)
        if self.status == 0:
            raise ConnectFailed("nobody there")
        if "/sandbox/jobs" in request.url:
            return Reply(self.status, {}, self.pages.pop(0))
        return Reply(self.status, {}, b'{"submitted": 7}')

    async def aclose(self) -> None:
        pass


def control(sandbox: Sandbox) -> LoadControl:
    return LoadControl(sandbox, Handshake(url="http://127.0.0.1:1", control_token=Secret("token"), pid=1))


def word() -> GatewayWord:
    return GatewayWord(Book(), AuditPolicy(lease_s=5.0))


async def test_all_pages_are_read_and_what_was_before_the_run_is_left_out() -> None:
    sandbox, said = Sandbox(page([row("a"), row("old", 1.0)], 5), page([], 9), page([row("b", None)])), word()
    assert await control(sandbox).testify(said, since=8.0, until=20.0)
    assert said.rows == 2
    assert [request.url.partition("after=")[2] for request in sandbox.asked[:3]] == [
        f"{after}&limit=2000" for after in (0, 5, 9)
    ]
    assert ("x-control-token", "token") in sandbox.asked[0].headers


async def test_what_came_when_all_was_over_is_left_out_unless_it_is_known() -> None:
    rows = page([row("a"), row("probe", 9.5), row("handed out to others", None), row("known", 9.5)])
    said = word()
    said.book.submitted(JobId("known"), "model", 9.5, 9.5)
    assert await control(Sandbox(rows)).testify(said, since=8.0, until=9.4)
    assert said.rows == said.credited == len(said.book) == 2


async def test_a_lease_that_lapsed_a_moment_early_is_no_finding() -> None:
    said = word()
    await control(Sandbox(page([row("a")]))).testify(said, since=0.0, until=20.0)
    assert said.found == {}


async def test_a_ledger_that_has_forgotten_rows_is_not_whole() -> None:
    assert not await control(Sandbox(page([row("a")], dropped=2))).testify(word(), 0.0, 20.0)


async def test_jobs_that_were_there_before_are_not_read_and_may_be_forgotten() -> None:
    sandbox = Sandbox(page([row("a")], dropped=2))
    assert await control(sandbox).testify(word(), 0.0, 20.0, jobs_before=2)
    assert "after=2&" in sandbox.asked[0].url


@pytest.mark.parametrize(
    ("sandbox", "error"),
    [
        (Sandbox(b"<html>"), BrokenReply),
        (Sandbox(b"[]"), BrokenReply),
        (Sandbox(b"{}"), BrokenReply),
        (Sandbox(page([[1, 2]])), BrokenReply),
        (Sandbox(status=401), BrokenReply),
        (Sandbox(status=0), ConnectFailed),
    ],
)
async def test_what_is_no_ledger_is_told(sandbox: Sandbox, error: type[Exception]) -> None:
    if sandbox.status == 401:
        sandbox.pages.append(b"{}")
    with pytest.raises(error):
        await control(sandbox).testify(word(), 0.0, 20.0)


@pytest.mark.parametrize(
    ("gateway", "lease", "lease_s"),
    [("", "", 5.0), ("http://127.0.0.1:9", "", None), ("http://127.0.0.1:9", '[gateway]\nlease = "40s"', 40.0)],
)
def test_the_audit_knows_the_lease_that_the_plan_names_and_no_other(
    gateway: str, lease: str, lease_s: float | None, tmp_path: Path
) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(f"{plan_text()}\n{lease}")
    loaded = load(config_file=None, profile=None, flags={"gateway.url": gateway}, environ={}, cwd=tmp_path)
    plan = plan_load_test(LoadTestOrder(file, None, Secret("key")), loaded, tmp_path)
    assert plan.audit_policy.lease_s == lease_s
    assert plan.audit_policy.owns_jobs is not bool(gateway)


@pytest.mark.parametrize(("gateway", "copies"), [("", 1), ("http://127.0.0.1:9", 3)])
def test_the_audit_knows_to_how_many_nodes_a_gateway_gives_a_job(gateway: str, copies: int, tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(f"{plan_text()}\n[gateway]\ncopies = 3")
    loaded = load(config_file=None, profile=None, flags={"gateway.url": gateway}, environ={}, cwd=tmp_path)
    assert plan_load_test(LoadTestOrder(file, None, Secret("key")), loaded, tmp_path).audit_policy.copies == copies


async def test_whether_tokens_have_expired_is_told() -> None:
    assert await control(Sandbox()).expire_tokens()
    assert not await control(Sandbox(status=0)).expire_tokens()
    assert not await control(Sandbox(status=404)).expire_tokens()
