"""What is wrong with a plan is told all at once, with its place and what to do."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain.errors import InputFault, InvalidInput
from node.loadtest.plan.model import Plan
from node.loadtest.plan.reading import read_scenario, scenario_of
from node.sandbox.policy import SandboxPolicy
from tests.unit.loadtest.plan.plans import LEAST, SCENARIOS, scenario

WRONG = """
name = "x"
duration = 45
sed = 3
warm_up = "stead"
thresholds = [
  "p99.poll < 50ms",
  "p99.pol < 50ms",
]
engine = "rea"

[nodes]
slots = 0
poll_cycle = "5 sec"
offers = [ { models = [], weigth = 3 } ]

[[nodes.stages]]
kind = "ramp"
to = -5
over = "10s"

[[nodes.stages]]
kind = "rump"
to = 5

[[nodes.stages]]
kind = "hold"

[jobs]
prompt_tokens = { kind = "lognormal", median = 5, p95 = 3 }
max_output = "many"

[[jobs.arrivals]]
rate = "20/s"

[[jobs.arrivals]]
kind = "poisson"
rate = "20/x"
fo = "3s"

[[faults]]
kind = "kill"
at = "5s"

[[faults]]
kind = "slow"
at_s = "5s"
factor = 1
for = true
share = "120%"

[sandbox]
lease_s = true
"""


def faults_of(text: str) -> tuple[InputFault, ...]:
    with pytest.raises(InvalidInput) as caught:
        scenario_of(text, "plan.toml")
    return caught.value.faults


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    faults = faults_of(WRONG)
    assert [(fault.line, fault.column) for fault in faults] == [
        (3, "duration"),
        (4, "sed"),
        (5, "warm_up"),
        (6, "thresholds[2]"),
        (10, "engine"),
        (13, "nodes.slots"),
        (14, "nodes.poll_cycle"),
        (15, "nodes.offers[1].models"),
        (15, "nodes.offers[1].weigth"),
        (19, "nodes.stages[1].to"),
        (23, "nodes.stages[2].kind"),
        (26, "nodes.stages[3].for"),
        (30, "jobs.prompt_tokens"),
        (31, "jobs.max_output"),
        (33, "jobs.arrivals[1].kind"),
        (38, "jobs.arrivals[2].rate"),
        (39, "jobs.arrivals[2].fo"),
        (41, "faults[1]"),
        (48, "faults[2].factor"),
        (49, "faults[2].for"),
        (50, "faults[2].share"),
        (53, "sandbox.lease_s"),
    ]
    assert all(fault.place == "plan.toml" and fault.problem and fault.remedy for fault in faults)


@pytest.mark.parametrize(
    ("head", "tables", "column", "problem", "remedy"),
    [
        ("sed = 1", "", "sed", "no key here", "did you mean seed?"),
        ("zzz = 1", "", "zzz", "no key here", "remove it; there are description, duration"),
        ("seed = 1.5", "", "seed", "1.5 does not fit", "whole number"),
        ("seed = true", "", "seed", "does not fit", "whole number"),
        ('seed = "1"', "", "seed", "does not fit", "whole number"),
        ("description = 3", "", "description", "does not fit", "double quotes"),
        ("settle = 3", "", "settle", "3 has no unit", '"3s"'),
        ("settle = nan", "", "settle", "nan is no duration", '"90s"'),
        ("settle_s = -3", "", "settle_s", "-3 is out of bounds", "more than 0"),
        ('settle = "3s"\nsettle_s = 3', "", "settle", "no key here", ""),
        ("settle = [1]", "", "settle", "does not fit", "a number"),
        ('thresholds = "jobs.lost == 0"', "", "thresholds", "does not fit", "a list"),
        ("thresholds = [3]", "", "thresholds[1]", "does not fit", ""),
        ("engine = 3", "", "engine", "", ""),
        ("", "[engine]\nkind = 'real'\ntokens_per_s = 3", "engine.tokens_per_s", "no key", ""),
        ("", "[engine]\ntokens_per_s = {kind = 'unifrom'}", "engine.tokens_per_s.kind", "is none of", "uniform?"),
        ("", "[engine]\ntokens_per_s = {kind = 'uniform', low = 3}", "engine.tokens_per_s.high", "missing", "high"),
        ("", "[engine]\ntokens_per_s = {kind = 'uniform', low = 3, high = 2}", "engine.tokens_per_s", "below", ""),
        (
            "",
            "[engine]\noutput_tokens = {kind = 'normal', center = 1, deviation = 1, at_least = 3, at_most = 3}",
            "engine.output_tokens",
            "at_most",
            "room",
        ),
        ("", "[engine]\ntokens = 3", "engine.tokens", "no key here", "tokens_per_s?"),
        ("", "[engine]\noutput_tokens = nan", "engine.output_tokens", "nan does not fit", ""),
        ("", "[engine]\noutput_tokens = -1", "engine.output_tokens", "-1 is out of bounds", "0 or more"),
        ("", "[[jobs.arrivals]]\nkind='burst'\ncount=1\nfor='3s'", "jobs.arrivals[1]", "no for", "over"),
        ("", "[[jobs.arrivals]]\nkind='ramp'\nto=1\npattern='evne'", "jobs.arrivals[1].pattern", "is none of", "even?"),
        ("", "[[jobs.arrivals]]\nkind='replay'\nfile=3", "jobs.arrivals[1].file", "does not fit", "path"),
        ("", "[[jobs.arrivals]]\nkind='replay'\nfile=''", "jobs.arrivals[1].file", "does not fit", "path"),
        ("", "[[faults]]\nkind='kill'\nat='1s'\nshare=0.1\ncount=2", "faults[1]", "both share and count", ""),
        ("", "[[faults]]\nkind='kill'\nat='1s'\nshare='ten'", "faults[1].share", "not a share", '"10%"'),
        ("", "[jobs]\nmodels = []", "jobs.models", "the list is empty", "one at least"),
        ("", "[jobs]\nmodels = [{name = ''}]", "jobs.models[1].name", "does not fit", "not empty"),
        ("jobs = 3", "", "jobs", "3 does not fit", "give a table"),
        ("faults = [3]", "", "faults[1]", "", ""),
    ],
)
def test_a_bad_value_is_told_with_what_it_should_be(
    head: str, tables: str, column: str, problem: str, remedy: str
) -> None:
    (fault,) = faults_of(head + LEAST + tables)
    assert fault.column == column
    assert fault.line is not None
    assert problem in fault.problem
    assert remedy in fault.remedy


@pytest.mark.parametrize(
    ("head", "tables", "column", "problem"),
    [
        ('warm_up = "60s"', "", "warm_up", "nothing is left"),
        ("", "[[nodes.stages]]\nkind='ramp'\nto=3\nover='61s'", "nodes.stages", "longer than the plan (1m)"),
        ("", "[[jobs.arrivals]]\nkind='burst'\ncount=1\nat='60s'", "jobs.arrivals[1].at", "begin after"),
        ("", "[[jobs.arrivals]]\nkind='poisson'\nrate=1\nat_s=59\nfor_s=2", "jobs.arrivals[1].for_s", "end after"),
        ("", "[[faults]]\nkind='expire-tokens'\nat='60s'", "faults[1].at", "after the plan's end"),
        ("", "[[faults]]\nkind='unreachable'\nat='50s'\nfor='15s'", "faults[1].for", "after the plan's end"),
        ("", "[jobs]\nmodels = [{name = 'x'}]", "jobs.models[1].name", "which no node offers"),
    ],
)
def test_what_does_not_go_together_is_told(head: str, tables: str, column: str, problem: str) -> None:
    (fault,) = faults_of(head + LEAST + tables)
    assert fault.column == column
    assert problem in fault.problem


def test_the_times_of_a_job_fit_into_its_lease() -> None:
    plan = scenario("[sandbox]\nlease='6s'").plan
    assert (plan.job_deadline_s, plan.result_timeout_s) == pytest.approx((4.6, 0.6))
    assert plan.settling_s(on_sandbox=True) == pytest.approx(6 + 4.6 + 10)
    usual = scenario().plan
    assert (usual.job_deadline_s, usual.result_timeout_s) == pytest.approx((230, 30))
    both = scenario("[sandbox]\nlease='9s'\n[gateway]\nlease='3s'").plan
    assert (both.lease_s(on_sandbox=True), both.lease_s(on_sandbox=False), both.shortest_lease_s) == (9, 3, 3)
    given_ = LEAST.replace("[[nodes.stages]]", "[nodes]\njob_deadline = '250s'\n[[nodes.stages]]")
    (fault,) = faults_of(given_)
    assert fault.column == "nodes.job_deadline"
    assert "do not fit into a lease of 5m" in fault.problem
    (fault,) = faults_of(given_.replace("job_deadline = '250s'", "result_timeout = '40s'"))
    assert fault.column == "nodes.result_timeout"


def test_a_quantity_is_written_with_its_unit_in_the_name_or_in_the_value() -> None:
    short = scenario("[[jobs.arrivals]]\nkind='ramp'\nfrom='60/min'\nto=3\nat='2s'", head="settle='1m30s'")
    long = scenario("[[jobs.arrivals]]\nkind='ramp'\nfrom_per_s=1\nto_per_s=3\nat_s=2", head="settle_s=90")
    assert short.plan == long.plan


def test_a_sandbox_is_set_up_as_the_plan_says() -> None:
    plan = scenario("[sandbox]\nlease='9s'\nrate='400/s'\nlatency='5ms'").plan
    policy = replace(SandboxPolicy(), **plan.sandbox.model_dump())
    assert (policy.lease_s, policy.rate_per_s, policy.latency_s) == (9, 400, 0.005)
    usual = SandboxPolicy()
    assert replace(usual, **scenario().plan.sandbox.model_dump()) == usual


def test_an_engine_is_real_by_its_name() -> None:
    assert scenario(head='engine = "real"').plan.engine.kind == "real"
    assert scenario("[engine]\nkind = 'real'").plan == scenario(head='engine = "real"').plan


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        (b"name = \xff", "not UTF-8"),
        (b"name = ", "not TOML"),
        (b"", "is missing"),
    ],
)
def test_a_file_that_is_no_plan(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "plan.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        read_scenario(path, "plan.toml")
    assert problem in caught.value.faults[0].problem
    assert all(fault.place == "plan.toml" for fault in caught.value.faults)


def test_what_is_no_toml_is_told_with_its_line() -> None:
    for text, line, column in (
        ("a = 1\nb = \n", 2, "column 5"),
        ("a = 1\na = 2", None, None),
        ("a = " + "9" * 5000, None, None),
    ):
        (fault,) = faults_of(text)
        assert (fault.line, fault.column) == (line, column)
        assert fault.problem.startswith("not TOML: ")


def test_a_trace_is_found_beside_its_plan(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(LEAST + "[[jobs.arrivals]]\nkind='replay'\nfile='trace.jsonl'\n")
    trace = tmp_path / "trace.jsonl"
    trace.write_text('{"at_s": 2, "model": "llama3.1:latest"}\n\n{"at_s": 1, "model": "llama3.1:latest"}\n')
    found = read_scenario(tmp_path / "plan.toml")
    assert [job.at_s for job in found.traces[Path("trace.jsonl")]] == [1, 2]
    assert found.warnings == ()

    trace.write_text('{"at_s": 70, "model": "other"}\n')
    with pytest.raises(InvalidInput, match="asks for other, which no node offers"):
        read_scenario(tmp_path / "plan.toml")

    trace.write_text('{"at_s": -2, "model": "x"}\nnothing\n{"at_s": 3, "model": "x", "colour": 1}\n' + "x\n" * 50)
    with pytest.raises(InvalidInput) as caught:
        read_scenario(tmp_path / "plan.toml")
    places = [(fault.place, fault.line, fault.column) for fault in caught.value.faults]
    assert places[:3] == [("trace.jsonl", 1, "at_s"), ("trace.jsonl", 2, None), ("trace.jsonl", 3, "colour")]
    assert len(places) == 20

    trace.write_text('{"at_s": -2, "modell": "x", "colour": 1, "max_output": 1.5}\n[1]\n{"model": ""}\n')
    with pytest.raises(InvalidInput) as caught:
        read_scenario(tmp_path / "plan.toml")
    assert [str(fault).partition(" — ")[0] for fault in caught.value.faults] == [
        "trace.jsonl:1 [at_s]: -2 is out of bounds",
        "trace.jsonl:1 [model]: model is missing",
        "trace.jsonl:1 [max_output]: 1.5 does not fit here",
        "trace.jsonl:1 [modell]: modell is no key here",
        "trace.jsonl:1 [colour]: colour is no key here",
        "trace.jsonl:2: this is no JSON object",
        "trace.jsonl:3 [at_s]: at_s is missing",
        "trace.jsonl:3 [model]: '' does not fit here",
    ]
    assert "did you mean model?" in str(caught.value)

    trace.write_text("")
    with pytest.raises(InvalidInput, match="holds no job"):
        read_scenario(tmp_path / "plan.toml")
    trace.unlink()
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_scenario(tmp_path / "plan.toml")


def test_a_plan_travels_as_json() -> None:
    for path in sorted(SCENARIOS.glob("*.toml")):
        plan = read_scenario(path).plan
        assert Plan.model_validate(plan.model_dump(mode="json")) == plan


statements = st.sampled_from(
    [
        *(line for path in SCENARIOS.glob("*.toml") for line in path.read_text().splitlines() if line.strip()),
        "[[nodes]]",
        "[nodes.stages]",
        "stages = [1, {kind = 'hold'}]",
        "jobs = {arrivals = [{kind = 'poisson'}, 3, []]}",
        "engine = {kind = 3}",
        "at = 1979-05-27",
        "for = inf",
        "nodes = []",
        "[faults]",
        "share = -1",
        "offers = [[]]",
        "kind = []",
    ]
)


@settings(max_examples=150)
@given(st.lists(statements | st.text(max_size=10), max_size=12), st.booleans())
def test_whatever_is_given_is_read_or_refused(lines: list[str], whole: bool) -> None:
    text = (LEAST if whole else "") + "\n".join(lines)
    with contextlib.suppress(InvalidInput):
        scenario_of(text, "plan.toml")
