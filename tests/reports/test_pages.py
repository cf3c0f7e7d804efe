"""The live pages, served by a small real web server and watched in a real browser."""

import mimetypes
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from reports.page_templates import SCRIPTS
from reports.pages import (
    STATIC_FOLDER,
    render_attempts_page,
    render_devices,
    render_index,
    render_study_page,
    render_trial_page,
)
from reports.rows import (
    AttemptRow,
    CurrentRow,
    DeviceSummaryRow,
    PageUrls,
    ProgressRow,
    StudyReport,
    StudySummaryRow,
    TrialDetail,
)
from tests.reports.builders import a_report, a_trial

URLS = PageUrls("/studies/pocket", "/studies/pocket/report.html", refresh_seconds=1)
HOSTILE = '"><script>window.stolen=1</script>'


class LiveStudy:
    """What the server answers with; the test changes it while the page looks."""

    def __init__(self, report: StudyReport) -> None:
        self.report = report
        self.status = 200
        self.asked: list[str] = []

    def page(self, path: str) -> str:
        detail = self.report.details.get(3, TrialDetail())
        if path.startswith("/studies/pocket/trials/"):
            return render_trial_page(self.report, 3, detail, URLS)
        return (
            render_study_page(self.report, URLS) if path == "/studies/pocket" else render_index((), (), None)
        )


@contextmanager
def served(study: LiveStudy) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            study.asked.append(self.path)
            is_static = self.path.startswith("/static/")
            if is_static:
                body = (STATIC_FOLDER / self.path.removeprefix("/static/")).read_bytes()
            else:
                body = study.page(self.path).encode() if study.status == 200 else b"<p>broken</p>"
            self.send_response(200 if is_static else study.status)
            self.send_header("Content-Type", mimetypes.guess_type(self.path)[0] or "text/html; charset=utf-8")
            self.end_headers()
            # A page that was closed does not wait for its answer.
            with suppress(BrokenPipeError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def a_running_report(candidates: int) -> StudyReport:
    progress = ProgressRow(
        "pocket",
        "running",
        34,
        candidates,
        1,
        0,
        4,
        60.0,
        current=(CurrentRow(candidates, "CCACCACC", "measuring on laptop"),),
        seconds_left_low=100.0,
        seconds_left_high=140.0,
    )
    return a_report(candidates, state="running", finished_at=None, progress=progress)


def test_every_asset_that_a_page_names_is_there_with_its_licence() -> None:
    page = render_study_page(a_report(4), URLS)
    for name in re.findall(r'(?:src|href)="/static/([^"]+)"', page):
        assert (STATIC_FOLDER / name).is_file()
    licences = {path.name for path in (STATIC_FOLDER / "vendor").glob("*.txt")}
    assert {"LICENSE-echarts.txt", "NOTICE-echarts.txt", "LICENSE-htmx.txt"} <= licences
    assert all((STATIC_FOLDER / name).is_file() for name in SCRIPTS)


def test_a_finished_study_is_not_asked_for_again() -> None:
    assert "hx-trigger" not in render_study_page(a_report(4), URLS)
    assert 'hx-trigger="every' in render_study_page(a_running_report(4), URLS)


def test_the_index_lists_studies_and_devices_as_text() -> None:
    study = StudySummaryRow(
        HOSTILE, "running", "2026-11-23T18:00:00Z", 34, 12, 1, 5, ("laptop",), "/studies/x", 60.0
    )
    page = render_index((study,), (DeviceSummaryRow(HOSTILE, "ready", "local", "agent-1", {"cores": "2"}),))
    assert "12 of 34" in page
    assert "<script>window" not in page


def a_device(name: str, state: str, **changes: Any) -> DeviceSummaryRow:
    return DeviceSummaryRow(name, state, "ssh", "lab-host", {"cores": "8 cores"}, **changes)


def test_the_devices_page_shows_those_that_wait_for_someone_first_with_what_to_type() -> None:
    devices = (
        a_device("desk", "measuring", reason="trial of study pocket", labels={"room": "lab"}),
        a_device("pixel", "resting", reason="allowed from 22:00"),
        a_device(
            "laptop",
            "quarantined",
            reason="3 faults in a row",
            hint="loopfront agent doctor",
            hint_place="on the lab host",
            log_href="/api/v1/jobs/job-1/log",
            examined_at="2026-11-23T18:00:00+00:00",
            examination="failed: it is hot",
        ),
        a_device("phone", "unopened", reason="accept the dialog", is_registered=False),
    )
    page = render_devices(devices)
    assert [page.index(f"<h3>{name}<") for name in ("laptop", "phone", "desk", "pixel")] == sorted(
        page.index(f"<h3>{name}<") for name in ("laptop", "phone", "desk", "pixel")
    )
    assert "1 measuring, 1 resting, 1 quarantined, 1 can&#39;t be opened" in page
    for words in ("on the lab host, type", "failed: it is hot", "2026-11-23 18:00 UTC", "not registered yet"):
        assert words in page
    assert 'href="/api/v1/jobs/job-1/log"' in page
    assert 'hx-trigger="every' in page
    assert "No agent has told of any device yet" in render_devices(())


def test_the_devices_page_takes_what_agents_say_as_text_and_fits_a_phone(chromium: Any) -> None:
    hostile = a_device(HOSTILE, "unopened", reason=HOSTILE * 20, hint="a" * 300, labels={HOSTILE: HOSTILE})
    page = chromium.new_page(viewport={"width": 390, "height": 800})
    page.set_content(
        render_devices((hostile, a_device("desk", "idle"))).replace(
            '<link rel="stylesheet" href="/static/report.css">',
            f"<style>{(STATIC_FOLDER / 'report.css').read_text()}</style>",
        )
    )
    assert page.evaluate("window.stolen") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.querySelectorAll('.device').length") == 2
    page.close()


def test_a_trial_that_the_report_lacks_is_refused() -> None:
    with pytest.raises(KeyError):
        render_trial_page(a_report(2), 99, TrialDetail(), URLS)


def an_attempt(**changes: Any) -> AttemptRow:
    attempt = AttemptRow(
        "2026-11-23T18:09:01+00:00", 4.0, "trial of pocket", "desk", "lab", "measured", False
    )
    return replace(attempt, **changes)


def test_attempts_are_shown_as_text_and_only_the_last_failures_log_is_unfolded() -> None:
    hostile = {"reason": HOSTILE, "log": f"</pre>{HOSTILE}", "device": HOSTILE, "agent": HOSTILE}
    attempts = [an_attempt(ending="device_lost", is_failure=True, **hostile) for _ in range(2)]
    for page in (
        render_trial_page(a_report(2), 1, TrialDetail(), URLS, attempts),
        render_attempts_page(HOSTILE, attempts, URLS),
    ):
        assert "<script>window" not in page
        assert page.count("<details>") == 1
        assert page.count("<details open>") == 1
    measured = render_trial_page(a_report(2), 1, TrialDetail(), URLS, [*attempts, an_attempt()])
    assert "<details open>" not in measured
    assert "None yet." in render_trial_page(a_report(2), 1, TrialDetail(), URLS)


def test_the_end_of_a_long_log_is_seen_first(chromium: Any) -> None:
    lines = "\n".join(f"line {number}" for number in range(500))
    attempt = an_attempt(ending="runner_fault", is_failure=True, log=lines)
    page = chromium.new_page()
    with served(LiveStudy(a_report(2))) as address:
        page.goto(address)
        page.set_content(render_attempts_page("desk", [attempt], replace(URLS, static=f"{address}/static")))
        box = page.locator(".log").bounding_box()
        text = page.locator(".log pre").bounding_box()
    page.close()
    assert text["height"] > 5 * box["height"]
    assert abs((text["y"] + text["height"]) - (box["y"] + box["height"])) < 2


def test_a_trial_page_draws_every_raw_sample(chromium: Any) -> None:
    with served(LiveStudy(a_report(6))) as address:
        page = chromium.new_page()
        page.goto(f"{address}/studies/pocket/trials/3")
        drawn = page.evaluate(
            "() => [...document.querySelectorAll('.samples .chart:not(.ratio)')].map((element) =>"
            " echarts.getInstanceByDom(element).getOption().series.map((each) => each.data.length))"
        )
        page.close()
    assert drawn == [[24, 24], [96, 96]]


def test_news_of_a_running_study_come_in_and_the_readers_choices_stay(chromium: Any) -> None:
    study = LiveStudy(a_running_report(8))
    with served(study) as address:
        page = chromium.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}/studies/pocket")
        page.select_option("#axis-x", "peak_rss_mb@laptop")
        page.click("#trials-table-2 .pick")
        page.click('#trials-table [data-sort="number"]')
        page.click('#trials-table [data-sort="number"]')
        page.fill("#find", "c")
        page.evaluate("window.svgBefore = document.querySelector('#scatter svg')")
        page.evaluate("document.querySelector('#trials-table [data-sort=layout]').focus()")
        study.report = a_running_report(10)
        page.wait_for_selector("#trials-table-13", state="attached", timeout=15_000)
        assert page.input_value("#axis-x") == "peak_rss_mb@laptop"
        assert page.input_value("#find") == "c"
        assert "#2" in page.inner_text("#card h3")
        assert page.evaluate("window.svgBefore.isConnected")
        assert page.evaluate("document.activeElement.dataset.sort") == "layout"
        numbers = page.locator("#trials-table tbody tr").evaluate_all(
            "(rows) => rows.map((r) => +r.dataset.trial)"
        )
        assert numbers == sorted(numbers, reverse=True)
        points = "() => Loopfront.measured(Loopfront.page.report).length"
        assert page.evaluate(points) == 10
        study.report = a_report(11)
        page.wait_for_selector("#trials-table-14", state="attached", timeout=15_000)
        asked = len(study.asked)
        page.wait_for_timeout(1_500)
        assert len(study.asked) == asked
        assert errors == []
        page.close()


def test_a_service_that_fails_leaves_the_last_news_and_says_so(chromium: Any) -> None:
    study = LiveStudy(a_running_report(6))
    with served(study) as address:
        page = chromium.new_page()
        page.goto(f"{address}/studies/pocket")
        study.status = 500
        page.wait_for_selector("#connection:visible", timeout=15_000)
        assert page.locator("#trials-table tbody tr").count() == 10
        study.status = 200
        page.wait_for_selector("#connection", state="hidden", timeout=15_000)
        page.close()


def test_a_page_of_the_service_asks_nobody_else(chromium: Any) -> None:
    hostile = replace(a_running_report(2), trials=(a_trial(0, label=HOSTILE),), name=HOSTILE)
    with served(LiveStudy(hostile)) as address:
        page = chromium.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/studies/pocket")
        page.wait_for_selector("#scatter svg")
        assert page.evaluate("window.stolen") is None
        page.close()
    assert all(url.startswith((address, "data:")) for url in asked)
