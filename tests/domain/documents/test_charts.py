from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_server.domain.calibration import ReliabilityBin
from trimtab_server.domain.documents.charts import (
    IntervalRow,
    curve_chart,
    interval_chart,
    line_chart,
    percent_text,
    reliability_chart,
    tick_values,
)

BIN = ReliabilityBin(0.5, 0.6, 40, 33.0, 0.55, 0.5, 0.35, 0.65, 0.4, 0.7)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_few_and_inside(low: float, span: float) -> None:
    """Between one and eleven ticks, all in the range, evenly spaced."""
    ticks = tick_values(low, low + span)
    assert 1 <= len(ticks) <= 11
    slack = 1e-6 * max(1.0, abs(low), span)
    assert all(low - slack <= tick <= low + span + slack for tick in ticks)


def test_ticks_by_hand() -> None:
    """Steps of 1, 2 or 5; an empty range has one tick."""
    assert tick_values(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert tick_values(-0.03, 0.07) == [-0.02, 0, 0.02, 0.04, 0.06]
    assert tick_values(2, 2) == [2]


def test_percent_text_is_short() -> None:
    """No decimals unless they say something, no minus zero."""
    assert percent_text(0.2) == "20%"
    assert percent_text(0.125) == "12.5%"
    assert percent_text(-0.0) == "0%"


@pytest.mark.parametrize(
    "svg",
    [
        reliability_chart([BIN]),
        reliability_chart([]),
        line_chart("a & b", ["2020-12-31", "2021-01-01"], {"<x>": [0.0, 0.1], "y": [0.0, -0.1]}),
        line_chart("empty", [], {}),
        interval_chart("rows", [IntervalRow("a<b", 0.01, -0.01, 0.03, "n = 3")], "axis"),
        interval_chart("rows", [IntervalRow("point", 0.0, None, None)], "axis"),
    ],
)
def test_every_chart_is_well_formed_titled_and_finite(svg: str) -> None:
    """Parses as XML (names are escaped), has a title for readers, and no NaN among coordinates."""
    scroll = ET.fromstring(svg)
    assert scroll.get("class") == "scroll"
    root = scroll[0]
    assert root[0].tag == "title"
    assert root[0].text
    assert "nan" not in svg
    assert "inf" not in svg


def test_charts_of_nothing_are_a_sentence() -> None:
    """No empty axis."""
    for told in (interval_chart("a & b", [], "axis"), curve_chart("a & b", [], "axis")):
        said = ET.fromstring(told)
        assert (said.tag, said.text) == ("p", "a & b: no value is known, so there is no chart.")


def test_the_reliability_chart_puts_a_better_win_rate_higher() -> None:
    """The y axis points up: the mark of 50 % lies at the middle of the plot."""
    root = ET.fromstring(reliability_chart([BIN]))
    mark = next(one for one in root.iter("circle"))
    assert float(mark.attrib["cy"]) == pytest.approx(42 + 330 / 2)
    assert "n = 40" in (mark[0].text or "")
