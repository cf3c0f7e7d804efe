"""Time worked is what the spans of work cover, idle hours left out."""

from datetime import UTC, datetime, timedelta

from service.time_worked import Span, seconds_worked

MORNING = datetime(2026, 1, 1, 8, tzinfo=UTC)


def a_span(start_s: float, end_s: float) -> Span:
    return MORNING + timedelta(seconds=start_s), MORNING + timedelta(seconds=end_s)


def test_nothing_done_is_no_time() -> None:
    assert seconds_worked([]) == 0


def test_spans_that_overlap_count_once() -> None:
    assert seconds_worked([a_span(0, 100), a_span(20, 30), a_span(90, 110)]) == 110


def test_a_short_pause_belongs_to_the_work() -> None:
    assert seconds_worked([a_span(20, 30), a_span(0, 10)]) == 30


def test_a_night_between_two_spans_does_not_count() -> None:
    assert seconds_worked([a_span(0, 100), a_span(50_000, 50_010)]) == 110
