"""Every bug that can be planted into a gateway is named by the audit, with its ledger and without; and no other is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, TypeAlias, get_args

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from node.loadtest.audit.kinds import Kind
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Measure
from node.sandbox.bugs import BugKind
from tests.integration.loadtest.world import fault, plan_text, world
from tests.support.virtual_time import in_virtual_time

ROOT = Path(__file__).parents[3]
SMOKE = (ROOT / "config/scenarios/smoke.toml").read_text().replace('"20/s"', '"10/s"').replace("> 300", "> 150")
"""With half of its jobs, which are enough."""

PAGE = (ROOT / "docs/load-testing.md").read_text()

NAMED: dict[str, tuple[set[Kind], set[Kind]]] = {
    "lose-result=0.05": ({Kind.LOST}, {Kind.LOST}),
    "false-conflict=0.05": ({Kind.LOST}, {Kind.LOST}),
    "double-accept": ({Kind.DUPLICATED}, {Kind.DUPLICATED}),
    "double-credit=0.05": ({Kind.DOUBLE_CREDITED}, {Kind.DOUBLE_CREDITED}),
    "no-credit=0.05": ({Kind.UNCREDITED}, {Kind.UNCREDITED}),
    "credit-other=0.05": ({Kind.MISCREDITED}, {Kind.DOUBLE_CREDITED, Kind.UNCREDITED}),
    "double-deliver=0.05": ({Kind.DOUBLE_DELIVERED}, {Kind.DOUBLE_DELIVERED}),
    "no-redelivery": ({Kind.ORPHANED}, {Kind.ORPHANED}),
    "leak-lease=0.05": ({Kind.LEAKED_LEASE, Kind.LATE_DELIVERED}, {Kind.LATE_DELIVERED}),
    "short-lease": ({Kind.DOUBLE_DELIVERED}, {Kind.DOUBLE_DELIVERED}),
    "endless-lease": ({Kind.LEAKED_LEASE}, {Kind.ORPHANED}),
    "wrong-model=0.2": ({Kind.WRONG_MODEL}, {Kind.WRONG_MODEL}),
    "starve": ({Kind.STUCK}, {Kind.STUCK}),
    "lose-job=0.05": ({Kind.STUCK}, {Kind.STUCK}),
    "phantom-job=0.05": ({Kind.PHANTOM}, {Kind.PHANTOM}),
    "swap-result=0.05": ({Kind.ALTERED}, {Kind.ALTERED}),
    "corrupt-result=0.05": ({Kind.ALTERED}, {Kind.ALTERED}),
    "forget-node": ({Kind.STUCK}, {Kind.STUCK}),
    "accept-unclaimed": ({Kind.UNCLAIMED_ANSWER}, {Kind.UNCLAIMED_ANSWER}),
    "stale-token": ({Kind.INTRUSION}, set()),
}
"""What names each of the sandbox's bugs in a smoke test: by the ledger, and by public endpoints alone."""

AT_ONCE = {"lose-result=0.05", "credit-other=0.05", "leak-lease=0.05", "endless-lease", "stale-token"}
"""Those that the ledger tells otherwise than public endpoints do, and a result that is lost."""

LABELS = {kind.label for kind in Kind}

BESIDE = {
    # A result that was taken and forgotten is taken once more where its node sends it again.
    "lose-result=0.05": {Kind.DUPLICATED},
    "double-accept": {Kind.DOUBLE_CREDITED},
}
"""What a bug brings with it."""


def smoke(*bugs: str, has_control: bool = True, seed: int = 1) -> LoadOutcome:
    """What a smoke test comes to."""
    outcomes: list[LoadOutcome] = []

    @in_virtual_time
    async def run() -> None:
        async with world(SMOKE.replace("seed = 1", f"seed = {seed}"), *bugs, has_control=has_control) as it:
            outcomes.append(await it.outcome())
            assert it.crashes == []

    run()
    return outcomes[0]


def test_every_bug_is_here_and_on_the_page() -> None:
    assert {bug.partition("=")[0] for bug in NAMED} == set(get_args(BugKind))
    section = PAGE.partition("### Bugs that can be planted")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE)
    assert {bug for bug, *_ in told} == set(get_args(BugKind))
    cells = {bug: [set(re.findall(r"[a-z]+(?:_[a-z]+)?", cell)) & LABELS for cell in both] for bug, *both in told}
    for bug, both in NAMED.items():
        if not bug.startswith("forget-node"):
            assert cells[bug.partition("=")[0]] == [{kind.label for kind in kinds} for kinds in both], bug


# Without proofs each is still planted once, in tests/unit/loadtest/audit/test_sandbox.py.
@pytest.mark.parametrize("has_control", [True, False], ids=["ledger", "public"])
@pytest.mark.parametrize(
    "bug", [bug if bug in AT_ONCE else pytest.param(bug, marks=pytest.mark.proof) for bug in NAMED]
)
def test_a_bug_is_named_as_what_it_is(bug: str, has_control: bool) -> None:
    outcome = smoke(bug, has_control=has_control)
    named = NAMED[bug][not has_control]
    found = {finding.kind for finding in outcome.report.broken}
    assert outcome.verdict is (Verdict.BROKEN if named else Verdict.PASSED)
    assert named <= found <= named | BESIDE.get(bug, set())
    assert all(finding.examples for finding in outcome.report.broken)


@pytest.mark.parametrize("has_control", [True, False], ids=["ledger", "public"])
@pytest.mark.parametrize("seed", [2, *(pytest.param(seed, marks=pytest.mark.proof) for seed in range(3, 8))])
def test_a_good_gateway_is_never_accused(seed: int, has_control: bool) -> None:
    outcome = smoke(has_control=has_control, seed=seed)
    assert outcome.report.broken == ()
    assert outcome.report.of(Kind.INTRUSION).judged == (3 if has_control else 2)
    assert outcome.verdict is Verdict.PASSED, [str(one) for one in outcome.outcomes]


@in_virtual_time
async def test_tokens_that_count_after_their_end_show_in_what_is_never_renewed() -> None:
    text = plan_text(faults=fault("expire-tokens", "5s"), thresholds='["max.renewed < 20s"]')
    async with world(text) as it:
        good = await it.outcome()
    assert good.verdict is Verdict.PASSED
    async with world(text, "stale-token") as it:
        bad = await it.outcome()
    assert bad.histograms[Measure.RENEWAL].count == 0
    assert "max.renewed not known" in str(bad.outcomes[0])
    assert [(finding.kind, finding.examples) for finding in bad.report.broken] == [
        (Kind.INTRUSION, ("an expired token",))
    ]


Change: TypeAlias = Callable[[str, int, Any], tuple[int, Any]]
"""Given path, status and content of a reply; what is said instead."""


class Tampered:
    """Stands before a gateway and changes what it says: ``change`` is given path, status and content of each reply.

    Of a request to the path ``unheard`` the gateway does not learn, though it is answered 200.
    """

    def __init__(self, app: ASGIApp, change: Change, unheard: str) -> None:
        self._app = app
        self._change = change
        self._unheard = unheard
        self._unheard_of = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if self._unheard and path == self._unheard:
            self._unheard_of += 1
            if self._unheard_of % 20 == 0:
                await Response(b'{"detail": "thanks"}')(scope, receive, send)
                return
        said: list[MutableMapping[str, Any]] = []

        async def hear(message: MutableMapping[str, Any]) -> None:
            said.append(message)

        await self._app(scope, receive, hear)
        body = b"".join(message.get("body", b"") for message in said)
        status, content = self._change(path, said[0]["status"], json.loads(body) if body else None)
        headers = {name.decode(): value.decode() for name, value in said[0]["headers"] if name != b"content-length"}
        await Response(b"" if content is None else json.dumps(content), status, headers)(scope, receive, send)


def honest(_path: str, status: int, content: Any) -> tuple[int, Any]:
    return status, content


def someone_elses_text() -> Change:
    """``get_result`` gives every tenth asker what the one before was given."""
    before: list[Any] = []

    def change(path: str, status: int, content: Any) -> tuple[int, Any]:
        if not path.startswith("/get_result/") or status != 200:
            return status, content
        before.append(content)
        return status, before[-2] if len(before) % 10 == 0 else content

    return change


def shows_nothing(path: str, status: int, content: Any) -> tuple[int, Any]:
    """``get_result`` knows of no result of a part of the jobs."""
    is_hit = path.startswith("/get_result/") and path.endswith("7")
    return (404, {"detail": "pending"}) if is_hit else (status, content)


def one_id_for_two() -> Change:
    """Every tenth submission is told the id of the one before, and its own job is never heard of."""
    before: list[str] = []

    def change(path: str, status: int, content: Any) -> tuple[int, Any]:
        if path == "/submit_job" and status == 200:
            before.append(content["job_id"])
            if len(before) % 10 == 0:
                return status, {"job_id": before[-2]}
        return status, content

    return change


def handed(**changes: str) -> Change:
    """Every tenth job handed out is changed."""
    count = iter(range(10**6))

    def change(path: str, status: int, content: Any) -> tuple[int, Any]:
        job = content.get("job_data") if path == "/worker/get_job" and isinstance(content, dict) else None
        if job is not None and next(count) % 10 == 9:
            content = {"job_data": {**job, **changes}}
        return status, content

    return change


@pytest.mark.parametrize("has_control", [True, False], ids=["ledger", "public"])
@pytest.mark.parametrize(
    ("change", "unheard", "kinds"),
    [
        (someone_elses_text, "", {Kind.ALTERED}),
        (lambda: shows_nothing, "", {Kind.LOST}),
        (one_id_for_two, "", {Kind.MISCOUNTED, Kind.PHANTOM}),
        (lambda: handed(job_id="nobody-s"), "", {Kind.PHANTOM}),
        (lambda: handed(model="another:1b"), "", {Kind.WRONG_MODEL}),
        (lambda: honest, "/worker/update_result", {Kind.LATE_DELIVERED}),
    ],
    ids=[
        "another's text is shown",
        "a result is not shown",
        "one id for two jobs",
        "an id that nobody was told",
        "another model is asked of a node",
        "a result is answered 200 and never heard of",
    ],
)
def test_what_stands_before_a_gateway_is_found_out(
    change: Callable[[], Change], unheard: str, kinds: set[Kind], has_control: bool
) -> None:
    @in_virtual_time
    async def check() -> None:
        async with world(
            plan_text(), has_control=has_control, around_app=lambda app: Tampered(app, change(), unheard)
        ) as it:
            outcome = await it.outcome()
        assert {finding.kind for finding in outcome.report.broken} >= kinds, outcome.report.broken
        assert outcome.verdict is Verdict.BROKEN

    check()


@in_virtual_time
async def test_who_stands_before_a_gateway_and_changes_nothing_is_not_accused() -> None:
    async with world(plan_text(), around_app=lambda app: Tampered(app, honest, "")) as it:
        outcome = await it.outcome()
    assert outcome.report.broken == ()
    assert outcome.verdict is Verdict.PASSED


class Trusting:
    """Stands before a gateway and lets each node be who it says that it is, whatever its token."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._tokens: dict[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        node = str(json.loads(body).get("node_url", "")) if body else ""
        if token := self._tokens.get(node):
            kept = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
            scope = {**scope, "headers": [*kept, (b"authorization", f"Bearer {token}".encode())]}
        heard = bytearray()

        async def repeat() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def listen(message: MutableMapping[str, Any]) -> None:
            heard.extend(message.get("body", b""))
            await send(message)

        await self._app(scope, repeat, listen)
        if scope["path"] == "/worker/register_node":
            self._tokens[node] = json.loads(bytes(heard))["access_token"]


@in_virtual_time
async def test_a_gateway_that_asks_nobody_who_he_is_is_found_out() -> None:
    async with world(plan_text(), around_app=Trusting) as it:
        outcome = await it.outcome()
    (finding,) = outcome.report.broken
    assert finding.kind is Kind.INTRUSION
    assert set(finding.examples) == {"a forged token", "another node's token"}
    assert outcome.verdict is Verdict.BROKEN


@in_virtual_time
async def test_what_a_gateway_does_not_let_anybody_try_is_unknown() -> None:
    def closed(path: str, status: int, content: Any) -> tuple[int, Any]:
        is_last = path == "/worker/register_node" and next(asked) >= 10
        return (403, {"detail": "not on the list"}) if is_last else (status, content)

    asked = iter(range(10**6))
    async with world(plan_text(), around_app=lambda app: Tampered(app, closed, "")) as it:
        outcome = await it.outcome()
    assert outcome.report.count(Kind.INTRUSION) is None
    assert outcome.verdict is Verdict.PASSED
