"""What is drawn is what was measured."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from node.loadtest.figures.figures import Figures
from node.loadtest.figures.histogram import Histogram, Tally
from node.loadtest.figures.series import Series
from node.loadtest.report.axis import from_zero
from node.loadtest.report.charts import charts, key_to_moments, timeline
from node.loadtest.report.percentile_chart import percentile_chart
from node.loadtest.report.time_chart import HEIGHT, Curve, Look, Moment, TimeChart, Timeline
from tests.unit.loadtest.report.outcomes import broken, empty, passed
from tests.unit.loadtest.report.trees import tree

TIME = Timeline([0.0, 1.0, 2.0, 3.0], 1.0, (1.0, 4.0), [Moment(1, 1.0, "kill <all>"), Moment(2, 1.02, "over: it")])


def drawn(*curves: Curve, time: Timeline = TIME) -> ET.Element:
    chart = TimeChart("A title", curves, from_zero([10.0]), str, str)
    return tree(f"<div>{chart.drawn(time)}</div>")


def points(element: ET.Element) -> list[tuple[float, float]]:
    found = [point.split(",") for point in element.attrib["points"].split()]
    return [(float(x), float(y)) for x, y in found]


def test_a_line_goes_through_its_values_and_leaves_gaps() -> None:
    lines = [points(line) for line in drawn(Curve("a", [0.0, 10.0, None, 5.0], 1)).iter("polyline")]
    assert lines == [[(125, HEIGHT), (375, 0)], [(875, HEIGHT / 2)] * 2]


def test_stacks_stand_on_each_other() -> None:
    areas = list(
        drawn(Curve("a", [2, 2, 2, 2], 1, Look.STACK), Curve("b", [1, None, 3, 8], 2, Look.STACK)).iter("polygon")
    )
    tops = [[y for _, y in points(area)[:4]] for area in areas]
    assert tops[0] == [HEIGHT * 0.8] * 4
    assert tops[1] == pytest.approx([HEIGHT * (1 - top / 10) for top in (3, 2, 5, 10)])
    assert [y for _, y in points(areas[1])[4:]] == [HEIGHT * 0.8] * 4


def test_moments_share_a_number_where_they_are_close_and_are_told() -> None:
    moments = [group for group in drawn(Curve("a", [1, 2, 3, 4], 1)).iter("g") if "moment" in group.attrib["class"]]
    assert len(moments) == 1
    texts = [element.text for element in moments[0].iter() if element.text]
    assert texts == ["1, at 1s: kill <all>\n2, at 1s: over: it", "1–2"]


def test_numbers_that_have_no_room_are_left_out_and_told_all_the_same() -> None:
    many = [Moment(number, number / 100, "again") for number in range(1, 400)]
    time = Timeline(TIME.begins, 1.0, None, many)
    groups = list(drawn(Curve("a", [1, 2, 3, 4], 1), time=time).iter("g"))
    written = [group.findtext("text") for group in groups if group.find("text") is not None]
    assert 4 < len(written) < len(groups)
    told = "".join(group.findtext("title") or "" for group in groups)
    assert all(f"{number}, at " in told for number in range(1, 400))


def test_the_judged_stretch_is_shaded() -> None:
    shade = next(one for one in drawn(Curve("a", [1, 2, 3, 4], 1)).iter("rect") if one.attrib["class"] == "judged")
    assert (shade.attrib["x"], shade.attrib["width"]) == ("25.000%", "75.000%")
    without = Timeline(TIME.begins, 1.0, None, [])
    assert not [
        one for one in drawn(Curve("a", [1, 2, 3, 4], 1), time=without).iter("rect") if one.get("class") == "judged"
    ]


def test_each_time_tells_its_figures_when_pointed_at() -> None:
    hits = [one for one in drawn(Curve("a", [1.0, None, 3.0, 4.0], 1)).iter("rect") if one.attrib["class"] == "hit"]
    assert [hit[0].text for hit in hits] == ["at 0s\na: 1.0", "at 1s", "at 2s\na: 3.0", "at 3s\na: 4.0"]


def test_long_runs_have_no_more_columns_than_can_be_pointed_at() -> None:
    cells = 1000
    time = Timeline([float(at) for at in range(cells)], 1.0, None, [])
    hits = [one for one in drawn(Curve("a", [1.0] * cells, 1), time=time).iter("rect") if one.attrib["class"] == "hit"]
    assert 100 < len(hits) <= 180


def test_a_run_has_its_charts_and_they_are_well_formed() -> None:
    found = {one.title: tree(f"<div>{one.chart}</div>") for one in charts(broken())}
    assert list(found)[:4] == ["Jobs a second", "Latency", "Nodes", "Jobs on their way"]
    assert "Failures a second" in found
    assert "The generator's lag" not in {one.title for one in charts(empty())}
    legend = ["".join(span.itertext()) for span in found["Jobs a second"].iter("span")]
    assert legend == ["offered", "claimed", "accepted", "sent again"]
    assert "Failures a second" not in {one.title for one in charts(passed())}


def test_faults_are_marked_at_their_time_of_the_plan() -> None:
    moments = timeline(broken()).moments
    assert [(moment.number, round(moment.at_s)) for moment in moments][:3] == [(1, 4), (2, 6), (3, 7)]
    assert [moment.is_end for moment in moments][:3] == [False, True, False]
    assert "kill 30%, back after 2s" in str(key_to_moments(broken()))
    assert key_to_moments(empty()) is None


def test_percentiles_rise_and_each_nine_is_as_wide() -> None:
    tally, histogram = Tally(), Histogram()
    for ms in range(1, 1001):
        tally.record(ms / 1000)
    histogram.take(tally)
    chart = tree(f"<div>{percentile_chart({'jobs': histogram, 'none': Histogram()})}</div>")
    (line,) = chart.iter("polyline")
    places = points(line)
    assert places == sorted(places, key=lambda place: (place[0], -place[1]))
    texts = [text.text for text in chart.iter("text")]
    assert {"p50", "p90", "p99", "p99.9"} <= set(texts)
    assert "p99.99" not in texts
    # 0.1 s is the 10th percentile and 1 s the last: an axis of powers of ten between them.
    at_p90 = min(places, key=lambda place: abs(place[0] - 1000 / 3))
    assert at_p90[1] == min(y for x, y in places if x <= at_p90[0])
    assert percentile_chart({"none": Histogram()}) is None


def test_a_level_holds_over_a_late_tick_and_not_over_a_real_gap() -> None:
    series = Series()
    for at in (0, 1, 3, 10):
        series.gauge("nodes.running", at, at + 1)
        series.gauge("nodes.planned", at, 20)
    outcome = passed()
    times = replace(outcome.times, begun_at=0.0, load_ended_at=11.0, settled_at=11.0)
    figures = Figures(series=series)
    found = replace(outcome, figures=figures, times=times)
    nodes = next(tree(f"<div>{one.chart}</div>") for one in charts(found) if one.title == "Nodes")
    told = [hit.findtext("title") or "" for hit in nodes.iter("rect") if hit.attrib["class"] == "hit"]
    assert [text.count("running: 2") for text in told] == [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert [text.count("running: ") for text in told] == [1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1]
