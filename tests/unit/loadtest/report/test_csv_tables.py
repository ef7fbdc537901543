"""CSV: what a spreadsheet reads is what was measured, and no formula."""

from __future__ import annotations

import csv
import io
import math

from node.loadtest.figures.figures import Count
from node.loadtest.report.csv_tables import JOB_COLUMNS, jobs_csv, series_csv
from tests.unit.loadtest.report.outcomes import broken, empty, hostile, passed, untold


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_series_has_a_row_a_second_and_its_counts_add_up() -> None:
    outcome = broken()
    rows = read(series_csv(outcome))
    assert [int(row["unix_s"]) for row in rows] == list(outcome.figures.series.span)
    for count in Count:
        assert math.isclose(sum(float(row[f"{count}_per_s"]) for row in rows), outcome.figures.counts[count])
    assert {row["seconds"] for row in rows} == {"1"}
    assert sum(int(row["is_judged"]) for row in rows) == outcome.stretch.end - outcome.stretch.start
    assert next(row["faults"] for row in rows if row["faults"]) == "kill 30%, back after 2s"
    assert {row["submitted_accepted_p99_s"] for row in rows} > {""}
    assert max(float(row["nodes.running"]) for row in rows) == 10
    assert rows[0]["at"].endswith("Z")


def test_jobs_that_are_accused_stand_there_with_what_is_known() -> None:
    outcome = broken()
    rows = {row["id"]: row for row in read(jobs_csv(outcome))}
    named = {name for finding in outcome.report.broken for name in finding.examples}
    assert set(rows) == named
    lost = [row for row in rows.values() if "lost" in row["kinds"].split()]
    assert lost
    assert all(
        (row["what"], row["claims"], row["accepted_times"], row["ledger_says"]) == ("job", "1", "1", "nowhere")
        for row in lost
    )
    assert all(row["nodes"].startswith("load-run-") and row["submitted_at"] for row in lost)


def test_ids_that_are_no_job_of_the_book_are_kept() -> None:
    row = next(row for row in read(jobs_csv(hostile())) if row["what"] == "other")
    assert row["id"].startswith("'=")
    assert row["model"] == ""


def test_nothing_found_and_nothing_measured_leave_heads_alone() -> None:
    assert jobs_csv(passed()) == ",".join(JOB_COLUMNS) + "\n"
    assert read(jobs_csv(untold())) == []
    assert read(series_csv(empty())) == []


def test_no_cell_begins_a_formula() -> None:
    for text in (jobs_csv(hostile()), series_csv(hostile())):
        text.encode("utf-8")
        for row in csv.reader(io.StringIO(text)):
            for cell in row:
                try:
                    float(cell)
                except ValueError:
                    assert not cell.startswith(("=", "+", "-", "@"))
