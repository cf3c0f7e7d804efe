"""The page of a profile: one file from disk and a live page, in a real browser."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports.page_templates import STATIC_FOLDER
from reports.pages import render_index
from reports.profile_page import render_profile_file, render_profile_page
from reports.profile_rows import ProfileReport
from reports.rows import Cell, DeviceSummaryRow, PageUrls
from tests.reports.profile_builders import (
    MIXERS,
    SHAPES,
    a_cost,
    a_failed_shape,
    a_mixer_row,
    a_profile,
    a_running_profile,
    a_shape_row,
    within,
)
from tests.reports.test_html import CONTRAST, HOSTILE

Open = Callable[..., Any]
BARS = """
(id) => {
  const { series } = echarts.getInstanceByDom(document.getElementById(id)).getOption();
  return series.filter((each) => each.type === 'bar' && each.name && !each.silent)
    .map((each) => [each.name, each.data.map((point) => point.value)]);
}"""
WHISKERS = "() => document.querySelectorAll('#mixer-costs svg path').length"
READ_TEXTS = (
    "#title", ".question", ".intro", ".tiles dt", ".profile-table .raw", ".profile-table th", ".findings li"
)  # fmt: skip


@pytest.fixture
def open_profile(chromium: Any, tmp_path: Path) -> Iterator[Open]:
    """Open a profile from disk; an error of the page or a request to elsewhere fails the test."""
    contexts, troubles = [], []

    def _open(report: ProfileReport, width: int = 1280, scheme: str = "light") -> Any:
        path = tmp_path / "profile.html"
        path.write_text(render_profile_file(report), encoding="utf-8")
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request", lambda request: troubles.append(request.url) if "file:" not in request.url else None
        )
        page.goto(path.as_uri())
        return page

    yield _open
    for context in contexts:
        context.close()
    assert troubles == []


def test_every_mixer_is_drawn_at_every_place(open_profile: Open) -> None:
    report = a_profile()
    drawn = dict(open_profile(report).evaluate(BARS, "mixer-costs"))
    for row in report.mixers:
        assert drawn[row.name] == pytest.approx([cost.ratio.value for cost in row.costs if cost.ratio])
    assert len(drawn) == len(MIXERS)


def test_every_shape_is_drawn_with_its_speeds_and_memory(open_profile: Open) -> None:
    report = a_profile()
    drawn = dict(open_profile(report).evaluate(BARS, "shape-speeds"))
    upwards = report.shapes[::-1]
    assert drawn["decode, tokens/s"] == [
        row.decode_per_second.value for row in upwards if row.decode_per_second
    ]
    assert drawn["peak RSS, MB"] == [row.peak_rss_mb.value for row in upwards if row.peak_rss_mb]


def test_intervals_are_drawn_over_the_bars(open_profile: Open) -> None:
    wide = a_profile()
    sure = [tuple(replace(cost, ratio=Cell(2.0, 2.0, 2.0)) for cost in row.costs) for row in wide.mixers]
    exact = replace(
        wide, mixers=tuple(replace(row, costs=costs) for row, costs in zip(wide.mixers, sure, strict=True))
    )
    drawn = open_profile(wide).evaluate(WHISKERS) - open_profile(exact).evaluate(WHISKERS)
    assert drawn >= 3 * 4 * 4, "three strokes for four mixers at four places; a short conv is exact"


def test_a_running_profile_shows_how_far_it_is_and_what_is_to_come(open_profile: Open) -> None:
    page = open_profile(a_running_profile())
    assert "7 of 15 measurements · now gated delta net × 2 · left: about 7 min 11 s" in page.inner_text(
        "#progress"
    )
    assert page.locator("#mixer-D td").last.inner_text() == "to come"


def test_a_shape_that_does_not_fit_says_so_in_the_chart_and_in_the_table(open_profile: Open) -> None:
    report = a_profile(shapes=(a_shape_row("lfm2-350m"), a_failed_shape("qwen3.5-0.8b", detail="no room")))
    page = open_profile(report)
    assert "out of memory: no room" in page.inner_text("#shape-2")
    assert "out of memory" in page.inner_text("#shape-speeds")


def test_a_number_that_beats_the_memory_is_marked(open_profile: Open) -> None:
    page = open_profile(a_profile(shapes=(a_shape_row("lfm2-350m", bandwidth_share=within(1.31)),)))
    assert "impossible" in page.inner_text("#shape-1 .reason")
    assert "Faster than the memory's bandwidth allows: lfm2-350m" in page.inner_text(".findings")


NOISE = replace(
    a_mixer_row("A"), costs=tuple(a_cost("A", index, ratio=None, outcome="too_noisy") for index in range(4))
)


@pytest.mark.parametrize(
    "report",
    [
        a_profile(mixers=(), shapes=(), bandwidth=()),
        a_profile(shapes=()),
        a_profile(mixers=(a_mixer_row("C"), NOISE)),
    ],
    ids=["nothing", "no shapes", "noise"],
)
def test_what_is_missing_breaks_nothing(open_profile: Open, report: ProfileReport) -> None:
    assert open_profile(report).inner_text("#title") == "invented-phone"


def test_hostile_names_stay_text(open_profile: Open) -> None:
    mixer = replace(a_mixer_row("A"), name=HOSTILE, sizes=HOSTILE)
    shape = a_failed_shape("lfm2-350m", outcome=HOSTILE, detail=HOSTILE)
    report = a_profile(device=HOSTILE, detail=HOSTILE, mixers=(a_mixer_row("C"), mixer),
                       shapes=(replace(shape, name=HOSTILE),), facts={HOSTILE: HOSTILE})  # fmt: skip
    page = open_profile(report)
    assert page.evaluate("window.stolen") is None
    assert page.inner_text("#title") == HOSTILE
    assert page.locator("img").count() == 0


def test_nothing_reaches_past_the_window(open_profile: Open) -> None:
    page = open_profile(a_profile(), width=380)
    for width in (380, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(open_profile: Open, scheme: str) -> None:
    page = open_profile(a_profile(), scheme=scheme)
    contrasts = {selector: page.evaluate(CONTRAST, selector) for selector in READ_TEXTS}
    assert {selector: contrast for selector, contrast in contrasts.items() if contrast < 4.5} == {}


def test_the_file_names_no_address_to_load_from() -> None:
    text = render_profile_file(a_profile())
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!#|data:)[^"']*""", text.split("<script>")[0]) == []
    assert "default-src 'none'" in text


def test_the_live_page_loads_its_scripts_from_the_service_and_asks_again_while_it_runs() -> None:
    urls = PageUrls("/devices/phone/profile", "/api/v1/profiles/p/page.html", "/api/v1/profiles/p")
    running, done = (render_profile_page(each, urls) for each in (a_running_profile(), a_profile()))
    for name in re.findall(r'src="/static/([^"]+)"', done):
        assert (STATIC_FOLDER / name).is_file()
    assert 'hx-get="/devices/phone/profile"' in running
    assert "hx-get" not in done
    assert 'href="/api/v1/profiles/p/page.html"' in done


def test_the_list_of_devices_links_to_the_profiles_that_there_are() -> None:
    devices = (
        DeviceSummaryRow("phone", "online", "adb", "lab", profile_href="/devices/phone/profile"),
        DeviceSummaryRow("laptop", "online", "local", "lab"),
    )
    assert render_index((), devices).count("/profile") == 1


def test_a_browser_that_watches_sees_the_next_numbers(chromium: Any, tmp_path: Path) -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    shown = [a_running_profile()]
    urls = PageUrls("/devices/phone/profile", refresh_seconds=1)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_static = self.path.startswith("/static/")
            body = (
                (STATIC_FOLDER / self.path.removeprefix("/static/")).read_bytes()
                if is_static
                else render_profile_page(shown[0], urls).encode()
            )
            self.send_response(200)
            kind = (
                "text/css" if self.path.endswith("css") else "text/javascript" if is_static else "text/html"
            )
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    page = chromium.new_page()
    try:
        page.goto(f"http://127.0.0.1:{server.server_port}/devices/phone/profile")
        assert len(dict(page.evaluate(BARS, "shape-speeds"))["decode, tokens/s"]) == len(SHAPES)
        shown[0] = a_profile()
        page.wait_for_function("() => document.getElementById('main').dataset.running === 'no'")
        drawn = dict(page.evaluate(BARS, "mixer-costs"))
        assert drawn["gated delta net"][1] == pytest.approx(0.61 / 0.27)
    finally:
        page.close()
        server.shutdown()
        server.server_close()
