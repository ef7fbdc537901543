"""docs/load-testing.md is complete and true."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from node.cli.exit_codes import ExitCode
from node.cli.loadtest.run import EXIT_CODES
from node.loadtest.audit.kinds import Kind
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.health import HealthLimits
from node.loadtest.plan import distributions, faults, jobs, nodes
from node.loadtest.plan.distributions import Constant
from node.loadtest.plan.model import Engine, GatewayPlan, Plan, SandboxPlan
from node.loadtest.plan.quantities import duration_text, number_text, share_text
from node.loadtest.plan.vocabulary import Table
from node.loadtest.thresholds.vocabulary import COUNTS, MEASURES, RATES, STEPS, TOTALS, canonical
from node.sandbox.bugs import BugKind

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/load-testing.md").read_text()

TABLES: dict[str, type[Table]] = {
    "The plan itself": Plan,
    "`[nodes]`": nodes.NodesPlan,
    "`[jobs]`": jobs.JobsPlan,
    "`[engine]`": Engine,
    "`[gateway]`": GatewayPlan,
    "`[sandbox]`": SandboxPlan,
}

UNIONS: dict[str, Any] = {
    "`[[nodes.stages]]`": nodes.Stage,
    "`[[jobs.arrivals]]`": jobs.Arrivals,
    "Distributions": distributions.Distribution,
    "`[[faults]]`": faults.PlannedFault,
}

OTHERS = ("dropped", "unknown")
"""Counts that are neither of how far jobs came nor the audit's kinds."""

REFUSED = {"burst": {"for"}}
"""Keys that a kind inherits and does not take."""

Rows: TypeAlias = dict[str, list[str]]


def section(title: str) -> str:
    found = re.search(rf"^##+ {re.escape(title)}$(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def rows(text: str) -> Rows:
    """Each table's rows by what stands in backticks first, with their cells."""
    lines = (line for line in text.splitlines() if line.startswith("| `"))
    cells = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    return {row[0].strip("`"): row for row in cells}


def models_of(union: Any) -> Iterator[type[Table]]:
    if get_origin(union) is Annotated:
        yield from models_of(get_args(union)[0])
    elif get_origin(union) in {Union, types.UnionType}:
        for part in get_args(union):
            yield from models_of(part)
    elif isinstance(union, type) and issubclass(union, BaseModel):
        yield union  # type: ignore[misc]


def shown_default(field: str, default: Any) -> str | None:
    """What a cell says of a default; None where it is told in words, or there is none."""
    match default:
        case None:
            return "steady" if field == "warm_up_s" else "–"
        case Constant(value=value):
            return number_text(value)
        case str():
            return default or None
        case float() if field.endswith("_s") and not field.endswith("_per_s"):
            return duration_text(default)
        case float():
            return share_text(default)
        case int():
            return str(default)
        case _:
            return None


@pytest.mark.parametrize("title", list(TABLES))
def test_every_key_is_told_with_its_default(title: str) -> None:
    model, told = TABLES[title], rows(section(title))
    assert set(told) == {model.short_name(field) for field in model.model_fields}
    for name, info in model.model_fields.items():
        cell = told[model.short_name(name)][2]
        assert cell == ("" if info.default is PydanticUndefined else shown_default(name, info.default) or ""), name


@pytest.mark.parametrize("title", list(UNIONS))
def test_every_kind_is_told_with_its_keys(title: str) -> None:
    told = rows(section(title))
    models = {}
    for model in models_of(UNIONS[title]):
        (kind,) = get_args(model.model_fields["kind"].annotation)
        keys = {model.short_name(field) for field in model.model_fields} - {"kind"}
        models[kind] = keys - REFUSED.get(kind, set())
    assert {kind: set(re.findall(r"`(\w+)`", row[1])) for kind, row in told.items()} == models


def test_every_name_of_thresholds_is_told() -> None:
    text = section("Thresholds")
    assert set(rows(text)) == set(MEASURES)
    kinds = {kind.label for kind in Kind}
    for name in (*TOTALS, *RATES, *(f"errors.{step}" for step in STEPS), "empty_polls", "lease", "duration", *OTHERS):
        assert f"`{name}`" in text, name
    assert set(COUNTS) == {*TOTALS, *kinds, *OTHERS}
    for example in re.findall(r'^  "(.+)",$', text, re.MULTILINE):
        for name in re.findall(r"[a-z][\w.]*[a-z_]\w*", re.sub(r"\d+(ms|%)", "", example)):
            assert canonical(name), name


def test_every_kind_of_the_audit_is_defined_in_its_own_words() -> None:
    told = rows(section("The audit"))
    assert {label: row[1] for label, row in told.items()} == {kind.label: kind.meaning for kind in Kind}


def test_every_bug_and_what_names_it_is_told() -> None:
    told = rows(section("Bugs that can be planted"))
    assert set(told) == set(get_args(BugKind))


def test_limits_are_told() -> None:
    told = rows(section("When the generator was the bottleneck"))
    limits = HealthLimits()
    assert set(told) == {"loop_lag_s", "send_lag_s", "lateness_s", "busy_share", "offered_share"}
    for name, row in told.items():
        limit = getattr(limits, name)
        assert (f"{limit:g} s" if name.endswith("_s") else f"{limit:.0%}".replace("%", " %")) in row[1]
    assert f"{limits.cpu_share:.0%}".replace("%", " %") in told["busy_share"][1]


def test_verdicts_and_their_exit_codes_are_told() -> None:
    found = re.findall(r"^\| (\w+) \| (\d+) \|", section("Verdicts and exit codes"), re.MULTILINE)
    assert {verdict: int(code) for verdict, code in found} == {
        verdict.value: EXIT_CODES[verdict].value for verdict in Verdict
    }
    assert ExitCode.NOT_ALLOWED == 4


def test_options_that_are_named_exist() -> None:
    from typer.main import get_command

    from node.cli.commands.loadtest import app

    group = get_command(app)
    options = {
        option
        for command in group.commands.values()  # type: ignore[attr-defined]
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", PAGE))
    assert named <= options | {"--set"}, named - options


def test_links_lead_somewhere() -> None:
    for target, anchor in re.findall(r"\]\(([\w./-]*)(#[\w-]+)?\)", PAGE):
        page = ROOT / "docs" / target if target else ROOT / "docs/load-testing.md"
        assert page.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
            assert anchor[1:] in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
