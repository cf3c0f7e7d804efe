"""The self-contained report as text, and as a real browser opens it from disk."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reports.html import render_report
from reports.rows import StudyReport
from tests.reports.builders import a_failed_trial, a_report, a_trial, an_empty_report

HOSTILE = "</script><script>window.stolen=1</script><img src=x onerror=window.stolen=2>\"'&"
COUNT_POINTS = """
() => {
  const { series } = echarts.getInstanceByDom(document.getElementById('scatter')).getOption();
  const drawn = series.filter((each) => /^(beaten|front|reference-.*)$/.test(each.id));
  return drawn.reduce((sum, each) => sum + each.data.length, 0);
}"""
PLACE_OF_TRIAL = """
(number) => {
  const element = document.getElementById('scatter');
  element.scrollIntoView({ block: 'center', behavior: 'instant' });
  const chart = echarts.getInstanceByDom(element);
  const all = chart.getOption().series.flatMap((each) => each.data);
  const points = all.filter((point) => point.trial?.number === number);
  const [x, y] = chart.convertToPixel({ xAxisIndex: 0, yAxisIndex: 0 }, points[0].value);
  const box = element.getBoundingClientRect();
  return [box.left + x, box.top + y];
}"""
CONTRAST = """
(selector) => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (text) => channels(text).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, index) => sum + c * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    const [, , , alpha = 1] = channels(colour);
    return alpha ? colour : ground(element.parentElement);
  };
  const element = document.querySelector(selector);
  const [one, other] = [light(getComputedStyle(element).color), light(ground(element))].sort((a, b) => b - a);
  return (one + 0.05) / (other + 0.05);
}"""
# Polled in the page: the report's own policy forbids the evaluation that wait_for_function needs.
INK_OF_AXIS_ONCE_CHANGED = """
async (expected) => {
  const chart = echarts.getInstanceByDom(document.getElementById('scatter'));
  const ink = () => chart.getOption().xAxis[0].nameTextStyle.color;
  for (let tries = 0; tries < 60 && ink() !== expected; tries += 1) await new Promise((go) => setTimeout(go, 50));
  return ink();
}"""
READ_TEXTS = (
    "#title",
    ".question",
    ".intro",
    ".trials .raw",
    ".pick",
    ".badge.proxy",
    ".badge.knee",
    ".better",
    ".kicker",
    ".values .raw",
)
Open = Callable[..., Any]


@pytest.fixture
def open_report(chromium: Any, tmp_path: Path) -> Iterator[Open]:
    """Open a report from disk in a fresh page; any error of the page or request to elsewhere fails the test."""
    contexts, troubles = [], []

    def _open(report: StudyReport, width: int = 1280, scheme: str = "light") -> Any:
        path = tmp_path / "report.html"
        path.write_text(render_report(report), encoding="utf-8")
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: _note_foreign(request.url, troubles))
        page.goto(path.as_uri())
        return page

    yield _open
    for context in contexts:
        context.close()
    assert troubles == []


def _note_foreign(url: str, troubles: list[str]) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        troubles.append(f"asked for {url}")


def _row_numbers(page: Any, table: str) -> list[int]:
    shown = "(rows) => rows.filter((row) => row.checkVisibility()).map((row) => Number(row.dataset.trial))"
    return list(page.locator(f"#{table} tbody tr").evaluate_all(shown))


def test_the_page_names_no_address_to_load_from() -> None:
    text = render_report(a_report())
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!#|data:)[^"']*""", text.split("<script>")[0]) == []
    assert "default-src 'none'" in text


def test_the_embedded_rows_are_those_of_the_report() -> None:
    report = a_report()
    text = render_report(report)
    rows = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', text, re.DOTALL)
    assert rows is not None
    assert len(json.loads(rows[1])["trials"]) == len(report.trials)


def test_a_report_without_any_measurement_still_renders() -> None:
    assert "No candidate has been measured yet" in render_report(an_empty_report())


def test_no_proxy_is_called_perplexity_or_accuracy_of_a_model() -> None:
    page = render_report(a_report()).split("<script>")[0].lower()
    assert "perplexity" not in page
    assert "proxy" in page


def test_the_scatter_has_one_point_per_measured_trial(open_report: Open) -> None:
    report = a_report()
    page = open_report(report)
    assert page.evaluate(COUNT_POINTS) == sum(trial.state == "measured" for trial in report.trials)


def test_an_empty_report_opens_without_an_error(open_report: Open) -> None:
    page = open_report(an_empty_report())
    assert page.evaluate(COUNT_POINTS) == 0


def test_other_metrics_can_be_chosen_as_axes(open_report: Open) -> None:
    page = open_report(a_report())
    page.select_option("#axis-x", "peak_rss_mb@laptop")
    page.select_option("#axis-y", "embedding_ratio")
    page.select_option("#axis-colour", "main_mixer")
    axes = page.evaluate(
        "() => { const o = echarts.getInstanceByDom(document.getElementById('scatter')).getOption();"
        " return [o.xAxis[0].name, o.yAxis[0].name]; }"
    )
    assert axes == ["Peak RSS, MB  ← better", "Embedding ratio, %"]
    assert page.evaluate(COUNT_POINTS) == 36


def test_a_click_on_a_point_chooses_its_row_and_fills_the_card(open_report: Open) -> None:
    report = a_report()
    page = open_report(report)
    trial = next(each for each in report.trials if each.kind == "reference")
    page.mouse.click(*page.evaluate(PLACE_OF_TRIAL, trial.number))
    assert trial.label in page.inner_text("#card h3")
    assert "chosen" in page.get_attribute(f"#trials-table-{trial.number}", "class")


def test_hovering_a_point_shows_its_layout_and_intervals(open_report: Open) -> None:
    report = a_report()
    page = open_report(report)
    trial = next(each for each in report.trials if each.kind == "reference")
    page.mouse.move(*page.evaluate(PLACE_OF_TRIAL, trial.number))
    page.wait_for_selector("#scatter .tooltip .layout")
    assert trial.layout in page.inner_text("#scatter .tooltip")


def test_a_row_is_chosen_with_the_keyboard(open_report: Open) -> None:
    page = open_report(a_report())
    page.focus("#trials-table-3 .pick")
    page.keyboard.press("Enter")
    assert "#3" in page.inner_text("#card h3")
    assert page.get_attribute("#trials-table-3 .pick", "aria-pressed") == "true"


def test_a_heading_sorts_the_table_and_once_more_turns_it(open_report: Open) -> None:
    report = a_report()
    page = open_report(report)
    name = "tpot_ms_p50@laptop"
    having = [trial for trial in report.trials if name in trial.cells]
    fastest_first = [t.number for t in sorted(having, key=lambda trial: trial.cells[name].value)]
    heading = page.locator(f'#trials-table [data-sort="{name}"]')
    heading.click()
    assert _row_numbers(page, "trials-table")[: len(having)] == fastest_first
    heading.click()
    assert _row_numbers(page, "trials-table")[: len(having)] == fastest_first[::-1]
    assert page.locator('#trials-table th[aria-sort="descending"]').count() == 1


def test_the_table_is_narrowed_by_words_and_by_kind(open_report: Open) -> None:
    report = a_report()
    page = open_report(report)
    page.fill("#find", "gemma")
    assert _row_numbers(page, "trials-table") == [37]
    page.fill("#find", "")
    page.select_option("#show", "failed")
    assert _row_numbers(page, "trials-table") == [34, 35]


def test_brushing_an_axis_narrows_the_table_until_it_is_cleared(open_report: Open) -> None:
    page = open_report(a_report())
    box = page.evaluate(
        "() => { const e = document.getElementById('parallel');"
        " e.scrollIntoView({block: 'center', behavior: 'instant'});"
        " const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; }"
    )
    x, top = box[0] + 60, box[1] + 46
    page.mouse.move(x, top + 5)
    page.mouse.down()
    page.mouse.move(x, top + 60, steps=6)
    page.mouse.move(x, top + 150, steps=6)
    page.mouse.up()
    page.wait_for_selector("#brush-clear:visible")
    assert 0 < len(_row_numbers(page, "trials-table")) < 36
    page.click("#brush-clear")
    assert len(_row_numbers(page, "trials-table")) == 38


def test_raw_samples_are_drawn_when_they_are_asked_for(open_report: Open) -> None:
    page = open_report(a_report())
    page.click("#card summary")
    assert page.locator("#card .samples .chart svg").count() == 4


def test_the_front_is_downloaded_as_csv_made_in_the_page(open_report: Open) -> None:
    report = a_report()
    page = open_report(report)
    with page.expect_download() as waiting:
        page.click('[data-download="front-csv"]')
    rows = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text(encoding="utf-8"))))
    on_front = {trial.number: trial for trial in report.trials if trial.on_front}
    assert {int(row["number"]) for row in rows} == set(on_front)
    for row in rows:
        assert (
            float(row["tpot_ms_p50@laptop"]) == on_front[int(row["number"])].cells["tpot_ms_p50@laptop"].value
        )


def test_hostile_names_stay_text(open_report: Open) -> None:
    trials = (
        a_trial(0, on_front=True, knee=True, label=HOSTILE, digest=HOSTILE, recall_pattern=HOSTILE),
        a_failed_trial(1, outcome=HOSTILE, detail=HOSTILE, log_excerpt=HOSTILE),
        a_trial(2, kind="reference", label=HOSTILE),
    )
    report = a_report(
        name=HOSTILE, budget=HOSTILE, trials=trials, caveats=(HOSTILE,), space={HOSTILE: HOSTILE}
    )
    page = open_report(report)
    page.mouse.move(*page.evaluate(PLACE_OF_TRIAL, 2))
    page.wait_for_selector("#scatter .tooltip")
    assert page.evaluate("window.stolen") is None
    assert page.inner_text("#title") == HOSTILE
    assert page.locator("img").count() == 0


def test_nothing_reaches_past_the_window(open_report: Open) -> None:
    page = open_report(a_report(), width=380)
    for width in (380, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(open_report: Open, scheme: str) -> None:
    page = open_report(a_report(candidates=8), scheme=scheme)
    contrasts = {selector: page.evaluate(CONTRAST, selector) for selector in READ_TEXTS}
    assert {selector: contrast for selector, contrast in contrasts.items() if contrast < 4.5} == {}


def test_the_dark_page_is_dark_and_its_charts_follow(open_report: Open) -> None:
    page = open_report(a_report(candidates=8), scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 21)"
    page.emulate_media(color_scheme="light")
    assert page.evaluate(INK_OF_AXIS_ONCE_CHANGED, "#14181f") == "#14181f"


def test_nothing_moves_once_the_page_has_been_laid_out(open_report: Open) -> None:
    page = open_report(a_report())
    shift = page.evaluate(
        "() => new Promise((done) => { let sum = 0; new PerformanceObserver((list) => {"
        " for (const entry of list.getEntries()) sum += entry.value; })"
        ".observe({ type: 'layout-shift', buffered: true }); setTimeout(() => done(sum), 300); })"
    )
    assert shift < 0.02
