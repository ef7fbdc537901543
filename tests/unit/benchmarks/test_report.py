"""The figures as they are kept, shown and documented."""

from __future__ import annotations

import importlib.util
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.__main__ import PAGE, RESULTS, main
from benchmarks.figures import Figure, Goal, Kind, Spread, number
from benchmarks.machine import facts
from benchmarks.peers.found import Peer, Peers
from benchmarks.report import BEGIN, END, Report, as_json, from_json, markdown, show, write_docs, write_json
from benchmarks.suite import Part, Took, parts, run

NOBODY = Peers(*(Peer(name, missing=f"{name} is missing") for name in ("locust", "autocannon", "wrk", "httpx")))
RATIO = Kind("node_loop.ratio_vs_locust_fast", "nodes by Locust", "×", Goal(at_least=5))
LATE = Kind("idle.late_p99_ms", "lateness", "ms", Goal(at_most=20))
COST = Kind(
    "requests.jobs.wrk_200.cpu_us", "CPU of a request: wrk, 200 users, every poll brings a job", "µs", is_detail=True
)
RATE = Kind("requests.jobs.wrk_200.per_s", "requests", "1/s", is_detail=True)


def report(*, quick: bool = True) -> Report:
    figures = [
        Figure(RATIO, Spread(5.5, 5.1, 6.0, 5)),
        Figure(LATE, Spread.of([25.0])),
        Figure(Kind("sandbox.polls_per_s", "polls", "1/s", Goal(at_least=8000)), None, "wrk is missing"),
        Figure(COST, Spread.of([8.0, 9.0])),
        Figure(RATE, Spread.of([100_000.0, 110_000.0])),
    ]
    return Report(facts({"locust": None}), quick, [Took("requests", 60.0, 0.4, 0.05)], figures)


def test_kept_figures_can_be_read_again() -> None:
    made = report()
    kept = json.loads(json.dumps(as_json(made)))
    assert from_json(kept) == made
    with pytest.raises(ValueError, match="schema"):
        from_json({**kept, "schema": 99})


def test_each_value_is_at_the_path_of_its_name_and_what_is_missing_is_null() -> None:
    kept = as_json(report())
    assert kept["node_loop"]["ratio_vs_locust_fast"] == 5.5
    assert kept["requests"]["jobs"]["wrk_200"]["cpu_us"] == 8.5
    assert kept["sandbox"]["polls_per_s"] is None
    entry = kept["figures"]["sandbox.polls_per_s"]
    assert (entry["met"], entry["missing"], entry["value"]) == (None, "wrk is missing", None)
    assert kept["figures"]["idle.late_p99_ms"]["met"] is False
    assert kept["figures"]["node_loop.ratio_vs_locust_fast"]["spread"] == {
        "median": 5.5,
        "p25": 5.1,
        "p75": 6.0,
        "n": 5,
    }
    assert kept["machine"]["versions"]["locust"] is None
    assert kept["machine"]["cores"] >= 1


def test_the_tables_show_what_was_met_missed_and_missing() -> None:
    console = Console(file=io.StringIO(), width=140)
    show(report(), console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for text in ("5.5 ×", "met", "MISSED", "wrk is missing", "every poll brings a job: wrk", "locust – missing"):
        assert text in shown
        assert text in markdown(report())


def test_the_page_gets_the_tables_between_its_markers_and_nothing_else_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_docs(report(), page)
    write_docs(report(), page)
    before, _, rest = page.read_text().partition(BEGIN)
    tables, _, after = rest.partition(END)
    assert (before, after) == ("before\n", "\nafter\n")
    assert tables == f"\n{markdown(report())}"
    page.write_text("none")
    with pytest.raises(ValueError, match="no markers"):
        write_docs(report(), page)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (5.5, "5.5"), (12.34, "12.3"), (123.4, "123"), (8123, "8,123")]
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_all_names_are_distinct_and_no_group_hides_what_else_is_kept() -> None:
    names = [kind.name for part in parts(NOBODY, quick=False) for kind in part.kinds]
    assert len(set(names)) == len(names)
    groups = {name.partition(".")[0] for name in names}
    assert not groups & {"schema", "quick", "machine", "took", "figures"}
    assert RATIO.name in names


def test_what_cannot_be_measured_does_not_end_the_run() -> None:
    told: list[str] = []
    made = [Part("late", [LATE], lambda _: {LATE.name: Spread.of([1.0])}), Part("none", [RATIO], lambda _: {})]
    figures, took = run(made, told.append)
    assert [(figure.is_met, figure.missing) for figure in figures] == [(True, ""), (None, "it was not measured")]
    assert [each.part for each in took] == ["late", "none"]
    assert all(each.others_cores >= 0 for each in took)
    assert told == ["1/2 late", "2/2 none"]


def test_figures_that_were_kept_are_shown_and_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "results.json"
    write_json(report(), file)
    assert main(["--read", str(file)]) == 0
    assert "nodes by Locust" in capsys.readouterr().out
    assert main(["--read", str(file), "--strict"]) == 1
    file.write_text("[]")
    assert main(["--read", str(file)]) == 2


def test_the_page_names_what_there_is() -> None:
    page = PAGE.read_text()
    modules = set(re.findall(r"-m (benchmarks[.\w]*)", page))
    assert {"benchmarks", "benchmarks.node_loop", "benchmarks.where"} <= modules
    assert all(importlib.util.find_spec(module) for module in modules)
    first_cells = re.findall(r"^\| ([a-z_, ]+) \| `python -m", page, re.MULTILINE)
    assert {part.name for part in parts(NOBODY, quick=False)} == {
        name for cell in first_cells for name in cell.split(", ")
    }


def test_the_kept_results_are_of_this_suite_and_the_page_shows_them() -> None:
    if not RESULTS.exists():
        assert f"{BEGIN}\n{END}" in PAGE.read_text()
        return
    kept = from_json(json.loads(RESULTS.read_text()))
    names = [kind.name for part in parts(NOBODY, quick=kept.quick) for kind in part.kinds]
    assert [figure.kind.name for figure in kept.figures] == names
    assert f"{BEGIN}\n{markdown(kept)}{END}" in PAGE.read_text()


def test_the_page_shows_what_is_kept_to_the_last_digit(tmp_path: Path) -> None:
    made, page = report(), tmp_path / "page.md"
    # Kept as 16.55, which is shown as 16.6.
    made.figures.append(Figure(Kind("a.b", "figure", "µs"), Spread(16.549961, 16.549961, 16.549961, 4)))
    page.write_text(f"{BEGIN}\n{END}\n")
    write_docs(made, page)
    assert markdown(from_json(json.loads(json.dumps(as_json(made))))) in page.read_text()
