"""Tables, lists and progress in terminals of 40 to 140 columns."""

import io
import random
import re
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from reports.rows import CurrentRow, MeasurementReport, ProgressRow
from reports.terminal import (
    front_table,
    layout_text,
    measurement_table,
    progress_panel,
    references_table,
    repeatability_table,
    sparkline,
)
from tests.reports.builders import (
    COLUMNS,
    a_detail,
    a_device,
    a_failed_trial,
    a_report,
    a_trial,
    an_empty_report,
)


def _printed(renderable: RenderableType, width: int = 140) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(renderable)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def a_progress(**changes: object) -> ProgressRow:
    values: dict[str, object] = {
        "current": (CurrentRow(13, "CCACDL", "measuring on laptop, process 2 of 3"),),
        "hypervolume": 0.1234,
        "hypervolume_history": (1.0, 2.0, 3.0),
        "seconds_left_low": 250.0,
        "seconds_left_high": 330.0,
        "last_finished": a_trial(12),
        "columns": COLUMNS,
        **changes,
    }
    return ProgressRow("pocket", "running", 34, 12, 1, 1, 5, 204.0, **values)  # type: ignore[arg-type]


def a_measurement(**changes: object) -> MeasurementReport:
    trial = a_trial(0, "CCAC", label="lfm2-350m", **changes)
    return MeasurementReport(
        trial, COLUMNS, a_device(), {"threads": "1"}, "int4 (block 32)", a_detail(random.Random(1))
    )


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_nothing_is_wider_than_the_terminal_or_cut_off(width: int) -> None:
    report = a_report()
    tables = (front_table(report), references_table(report), repeatability_table(report))
    for renderable in (*tables, progress_panel(a_progress())):
        lines = _printed(renderable, width).splitlines()
        assert max(len(line) for line in lines) <= width
        assert not any("…" in line for line in lines)


def test_the_front_table_shows_layout_ratio_parameters_and_every_spread() -> None:
    report = a_report()
    knee = next(trial for trial in report.trials if trial.knee)
    (line,) = [
        each
        for each in _printed(front_table(report)).splitlines()
        if each.lstrip().startswith("◆") and "knee" not in each
    ][:1]
    assert knee.layout in line
    assert line.count("±") == 5


def test_without_a_front_the_table_gives_way_to_the_reason() -> None:
    missed = (a_trial(0, closest=True, violations=("peak_rss_mb@laptop 111.8 > 100 MB",)),)
    shown = _printed(front_table(a_report(0, trials=missed, constraints=("peak_rss_mb@laptop <= 100",))))
    assert "None of them meets the constraints" in shown
    assert "Embedding" not in shown


def test_in_80_columns_every_layout_of_the_front_stands_in_one_line_under_short_titles() -> None:
    report = a_report()
    lines = _printed(front_table(report), 80).splitlines()
    assert any(line.split() == ["Embedding", "recall", "loss", "TTFT", "TPOT", "RSS"] for line in lines)
    for trial in report.trials:
        if trial.on_front:
            assert any(trial.layout in line.split() for line in lines)


def test_where_no_table_fits_candidates_stand_one_below_the_other_with_units() -> None:
    report = a_report()
    knee = next(trial for trial in report.trials if trial.knee)
    text = _printed(front_table(report), 40)
    assert f"◆ {knee.number} {knee.layout}" in text
    assert re.search(r"TPOT [0-9.]+ ± [0-9.]+ ms ↓", text)
    assert "nearest on the front: " in _printed(references_table(report), 40)


def test_without_colours_the_layouts_letters_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(width=80, file=io.StringIO(), force_terminal=True)
    console.print(layout_text("CASD"))
    assert isinstance(console.file, io.StringIO)
    written = console.file.getvalue()
    assert re.sub(r"\x1b\[[0-9;]*m", "", written).strip() == "CASD"
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]", written)


def test_the_references_table_marks_what_the_front_does_better() -> None:
    text = _printed(references_table(a_report()))
    assert "lfm2-350m, scaled" in text
    assert "▲" in text


def test_progress_tells_what_is_under_way_and_an_honest_band() -> None:
    text = _printed(progress_panel(a_progress()))
    assert "12 of 34 trials" in text
    assert "#13 CCACDL  measuring on laptop, process 2 of 3" in text
    assert "left: 4 min 10 s to 5 min 30 s" in text


def test_progress_without_a_forecast_says_so() -> None:
    unknown = a_progress(seconds_left_low=None, hypervolume=None, hypervolume_history=(), current=())
    assert "left: not known yet" in _printed(progress_panel(unknown))


def test_a_failed_trial_is_told_with_its_reason() -> None:
    text = _printed(progress_panel(a_progress(last_finished=a_failed_trial(12))))
    assert "✗ #12" in text
    assert "out_of_memory" in text


def test_a_measurement_shows_interval_and_raw_or_why_it_failed() -> None:
    text = _printed(measurement_table(a_measurement()))
    assert "lfm2-350m on builder-laptop" in text
    assert "Recall score (proxy)" in text
    imprecise = replace(a_measurement(), note="Not within ± 2 % after the most processes: decode ± 3.1 %")
    assert "decode ± 3.1 %" in _printed(measurement_table(imprecise))
    failed = a_measurement(state="failed", cells={}, outcome="timed_out", detail="no answer in 60 s")
    assert "timed_out: no answer in 60 s" in _printed(measurement_table(failed))


def test_repeats_stand_raw_beside_paired() -> None:
    lines = [
        line.split() for line in _printed(repeatability_table(a_report())).splitlines() if "TPOT" in line
    ]
    assert [line[2] for line in lines] == ["raw", "paired"]


def test_a_layout_keeps_its_letters_without_colours() -> None:
    assert layout_text("CASDL?").plain == "CASDL?"


def test_an_empty_study_prints_empty_tables() -> None:
    report = an_empty_report()
    assert "Pareto front" in _printed(front_table(report))
    assert "References" in _printed(references_table(report))


def test_a_sparkline_needs_two_different_values() -> None:
    assert sparkline((1.0,)) == sparkline((2.0, 2.0)) == ""
    assert sparkline((0.0, 1.0)) == "▁█"
