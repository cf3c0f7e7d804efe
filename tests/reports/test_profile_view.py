"""A profile in words, numbers and characters."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from reports.encoding import profile_from_dict, profile_to_dict
from reports.profile_rows import CostRow, ProfileReport
from reports.profile_terminal import profile_view, progress_line
from reports.profile_view import (
    ceiling_per_second,
    findings,
    missing,
    notes,
    place_title,
    short_number,
    spread,
    times,
)
from reports.rows import Cell
from tests.reports.profile_builders import (
    SHAPES,
    a_cost,
    a_failed_shape,
    a_mixer_row,
    a_profile,
    a_running_profile,
    a_shape_row,
    within,
)


def printed(report: ProfileReport, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(profile_view(report))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(len(line) for line in text.splitlines()) <= width
    return str(text)


def test_a_profile_survives_json() -> None:
    for report in (a_profile(), a_running_profile(), a_profile(shapes=(a_failed_shape("qwen3-0.6b"),))):
        assert profile_from_dict(profile_to_dict(report)) == report


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2734, "0.273"),
        (2.951, "2.95"),
        (54.81, "54.8"),
        (412.4, "412"),
        (1234.0, "1\u202f234"),
        (-0.25, "−0.250"),
    ],
)
def test_numbers_have_three_digits_where_that_is_possible(value: float, text: str) -> None:
    assert short_number(value) == text


def test_an_interval_is_told_by_its_longer_side_in_percent() -> None:
    assert spread(Cell(10.0, 9.8, 10.3)) == "±\u202f3\u202f%"
    assert spread(Cell(10.0, 9.97, 10.03)) == "±\u202f0.3\u202f%"
    assert spread(Cell(1.0, 1.0, 1.0)) == ""
    assert spread(None) == ""


def test_a_short_conv_is_one_short_conv_and_not_a_measured_one() -> None:
    assert times(a_cost("C", 0)) == "1"
    assert times(a_cost("A", 3)) == "×86.7"
    assert times(CostRow("decode at 512", 512)) == ""
    assert place_title(a_cost("A", 3)) == "decode at 32\u202f768"


def test_why_a_number_is_missing_is_told_in_words() -> None:
    assert missing("out_of_memory") == "out of memory"
    assert missing("") == "to come"
    assert missing("some_new_kind", "failed") == "some new kind"


def test_the_dearest_mixers_are_named_together_where_they_cannot_be_told_apart() -> None:
    sentences = findings(a_profile())
    assert sentences[0].startswith(
        "Gated delta net and linear attention are the dearest mixers in prefill of 512"
    )
    alone = "Grouped-query attention is the dearest mixer in decode at 4\u202f096 tokens (10.5 short convs) and decode"
    assert any(sentence.startswith(alone) for sentence in sentences)


def test_nothing_is_called_the_dearest_before_all_are_known() -> None:
    assert not any("dearest" in sentence for sentence in findings(a_running_profile()))


def test_what_beats_the_memory_is_flagged_everywhere() -> None:
    impossible = a_shape_row("lfm2-350m", bandwidth_share=within(1.31))
    stack = replace(
        a_mixer_row("C"),
        costs=tuple(a_cost("C", i, bandwidth_share=within(1.6) if i == 1 else None) for i in range(4)),
    )
    report = a_profile(shapes=(impossible,), mixers=(stack,))
    assert report.impossible == ("lfm2-350m", "short conv, decode at 512")
    assert (
        "Faster than the memory's bandwidth allows: lfm2-350m; short conv, decode at 512"
        in findings(report)[-1]
    )
    assert "131\u202f% !" in printed(report)
    assert a_profile().impossible == ()


def test_the_ceiling_is_what_the_whole_bandwidth_would_allow() -> None:
    assert ceiling_per_second(a_shape_row("lfm2-350m")) == pytest.approx(42.7 / 0.78)
    assert ceiling_per_second(a_failed_shape("lfm2-350m")) is None


def test_the_notes_tell_copies_width_and_threads() -> None:
    text = " ".join(notes(a_profile(threads=4)))
    assert "2 and 6 equal blocks at width 1024" in text
    assert "4 threads" in text


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_terminal_shows_every_mixer_every_place_and_every_shape(width: int) -> None:
    text = printed(a_profile(), width)
    for word in ("×86.7", "23.4", "×0.901", "412", "58.1", "81\u202f%", "12.4 GB/s at best", *SHAPES):
        assert word in text, word
    assert text.count("█") > 100


def test_a_bar_is_as_long_as_its_share_and_never_nothing() -> None:
    lines = printed(a_profile()).splitlines()
    deep = lines[next(i for i, line in enumerate(lines) if line.startswith("decode at 32")) + 1 :][:5]
    bars = [sum(character in "█▉▊▋▌▍▎▏" for character in line) for line in deep]
    assert bars[1] == 36
    assert all(1 <= bar <= 2 for bar in [bars[0], *bars[2:]])


def test_failures_stand_where_their_numbers_would_and_below_with_their_reason() -> None:
    shapes = (a_shape_row("lfm2-350m"), a_failed_shape("qwen3.5-0.8b", detail="1 310 MB are above the limit"))
    lost = replace(
        a_mixer_row("A"),
        costs=tuple(CostRow(f"decode at {each}", each, outcome="timed_out") for each in (1, 2, 3, 4)),
    )
    done = a_profile()
    failed = replace(
        done.entries[-1], state="failed", outcome="out_of_memory", detail="1 310 MB are above the limit"
    )
    report = replace(done, shapes=shapes, mixers=(done.mixers[0], lost), entries=(*done.entries[:-1], failed))
    text = " ".join(printed(report).split())
    assert text.count("timed out") == 4
    assert "qwen3.5-0.8b: out of memory: 1 310 MB are above the limit" in text


def test_what_is_too_noisy_shows_its_time_and_no_ratio() -> None:
    noisy = a_cost("A", 0, ratio=None, outcome="too_noisy", milliseconds=Cell(0.2, -0.1, 0.5))
    report = a_profile(mixers=(a_mixer_row("C"), replace(a_mixer_row("A"), costs=(noisy,) * 4)))
    assert "too noisy" in printed(report)
    assert "0.200" in printed(report)


def test_the_progress_is_a_line_of_where_what_and_how_long() -> None:
    line = progress_line(a_running_profile()).plain
    assert line == "7 of 15  gated delta net × 2  about 7 min 11 s left"
    assert progress_line(replace(a_running_profile(), seconds_left=None)).plain.endswith("× 2")


def test_a_profile_of_nothing_yet_is_shown_without_an_error() -> None:
    report = a_profile(state="running", mixers=(), shapes=(), bandwidth=(), entries=(), finished_at=None)
    assert "invented-phone" in printed(report)
    assert findings(report) == ()
