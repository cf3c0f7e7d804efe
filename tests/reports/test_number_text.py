"""Numbers as people read them."""

import math

import pytest

from reports.number_text import (
    band_text,
    duration_text,
    heading_text,
    interval_text,
    moment_text,
    percent_text,
    relative_half_width,
    spread_text,
    value_text,
)
from reports.rows import Cell
from tests.reports.builders import RECALL_SCORE, TPOT


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(1234.5, 1, "1\u202f234.5"), (-0.25, 2, "\u22120.25"), (None, 1, "–"), (math.nan, 1, "–"), (7, 0, "7")],
)
def test_a_value_has_fixed_digits_and_thin_spaces(value: float | None, digits: int, text: str) -> None:
    assert value_text(value, digits) == text


def test_an_interval_is_shown_only_where_it_is_known() -> None:
    assert interval_text(Cell(10.0, 9.8, 10.2), TPOT) == "9.80–10.20"
    assert spread_text(Cell(10.0, 9.8, 10.2), TPOT) == "± 0.20"
    assert spread_text(Cell(10.0, 9.5, 10.2), TPOT) == spread_text(Cell(10.0, 9.8, 10.5), TPOT) == "± 0.50"
    assert interval_text(Cell(10.0), TPOT) == spread_text(None, TPOT) == ""


def test_half_an_interval_is_taken_relative_to_the_value() -> None:
    assert relative_half_width(Cell(10.0, 9.8, 10.2)) == pytest.approx(0.02)
    assert relative_half_width(Cell(0.0, -1.0, 1.0)) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(9.4, "9 s"), (521.0, "8 min 41 s"), (3725.0, "1 h 02 min"), (None, "–")]
)
def test_a_duration_is_told_in_the_two_units_that_matter(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


def test_time_left_is_a_band_or_said_to_be_unknown() -> None:
    assert band_text(100.0, 140.0) == "1 min 40 s to 2 min 20 s"
    assert band_text(None, 140.0) == "not known yet"


def test_a_moment_is_cut_to_minutes_and_other_text_is_left_alone() -> None:
    assert moment_text("2026-11-23T18:09:01.2+00:00") == "2026-11-23 18:09 UTC"
    assert moment_text("yesterday") == "yesterday"


def test_a_heading_names_the_unit_where_there_is_one() -> None:
    assert heading_text(TPOT) == "TPOT p50, ms"
    assert heading_text(RECALL_SCORE) == "Recall score"
    assert percent_text(0.125, 1) == "12.5\u202f%"
