"""The live pages that the service serves; they refresh themselves and load nothing from elsewhere."""

from collections.abc import Sequence
from dataclasses import replace

from reports.drawing import draw_layout, widest_ffn
from reports.encoding import report_to_dict
from reports.page_templates import (
    SCRIPTS,
    STATIC_FOLDER,
    STYLESHEET,
    json_for_script,
    page_environment,
)
from reports.rows import (
    AttemptRow,
    DeviceSummaryRow,
    PageUrls,
    StudyReport,
    StudySummaryRow,
    TrialDetail,
)
from reports.view import view_of

__all__ = [
    "STATIC_FOLDER",
    "render_attempts_page",
    "render_devices",
    "render_index",
    "render_study_page",
    "render_trial_page",
]

HTMX = "vendor/htmx.min.js"


def render_index(
    studies: tuple[StudySummaryRow, ...],
    devices: tuple[DeviceSummaryRow, ...] = (),
    urls: PageUrls | None = None,
    trouble: str = "",
) -> str:
    """The list of studies and devices, under what is wrong now; it looks for news every few seconds."""
    urls = urls or PageUrls(page="/")
    template = page_environment().get_template("index.html")
    return template.render(
        studies=studies,
        devices=devices,
        urls=urls,
        trouble=trouble,
        stylesheet=STYLESHEET,
        scripts=[HTMX],
    )


def render_login(next_path: str, trouble: str, urls: PageUrls | None = None) -> str:
    """The form that takes a token; `trouble` says why the last one did not do."""
    template = page_environment().get_template("login.html")
    return template.render(
        next=next_path, trouble=trouble, urls=urls or PageUrls(page="/login"), stylesheet=STYLESHEET
    )


def render_devices(
    devices: tuple[DeviceSummaryRow, ...], urls: PageUrls | None = None, trouble: str = ""
) -> str:
    """Every device, those that wait for someone first; it looks for news every few seconds."""
    waiting = tuple(device for device in devices if device.needs_someone)
    others = tuple(device for device in devices if not device.needs_someone)
    counts: dict[str, int] = {}
    for device in (*others, *waiting):
        counts[device.state_words] = counts.get(device.state_words, 0) + 1
    return (
        page_environment()
        .get_template("devices.html")
        .render(
            waiting=waiting,
            others=others,
            counts=counts,
            urls=urls or PageUrls(page="/devices"),
            trouble=trouble,
            stylesheet=STYLESHEET,
            scripts=[HTMX],
        )
    )


def render_study_page(report: StudyReport, urls: PageUrls, trouble: str = "") -> str:
    """A study's live page: while it runs, the page at `urls.page` is fetched again and morphed in place."""
    template = page_environment().get_template("study.html")
    return template.render(
        view=view_of(report),
        links=True,
        trouble=trouble,
        urls=urls,
        data=json_for_script(report_to_dict(report)),
        stylesheet=STYLESHEET,
        scripts=[HTMX, *SCRIPTS],
    )


def render_attempts_page(device: str, attempts: Sequence[AttemptRow], urls: PageUrls) -> str:
    """The newest attempts at measuring on a device, each with its log."""
    template = page_environment().get_template("attempts.html")
    return template.render(
        device=device, attempts=attempts, urls=urls, stylesheet=STYLESHEET, opens=_last_failure(attempts[:1])
    )


def render_trial_page(
    report: StudyReport,
    number: int,
    detail: TrialDetail,
    urls: PageUrls,
    attempts: Sequence[AttemptRow] = (),
) -> str:
    """One trial with everything known of it, down to its attempts' logs, the raw samples and the passport.

    `report` may hold only this trial; raises KeyError when it does not.
    """
    trial = next((trial for trial in report.trials if trial.number == number), None)
    if trial is None:
        raise KeyError(number)
    template = page_environment().get_template("trial.html")
    return template.render(
        view=view_of(report),
        trial=trial,
        detail=detail,
        attempts=attempts,
        opens=_last_failure(attempts),
        drawing=draw_layout(trial, widest_ffn((trial,))),
        urls=urls,
        data=json_for_script(report_to_dict(replace(report, details={number: detail}))),
        stylesheet=STYLESHEET,
        scripts=SCRIPTS,
    )


def _last_failure(attempts: Sequence[AttemptRow]) -> AttemptRow | None:
    """The attempt whose log is shown unfolded: the last one, if it failed."""
    return attempts[-1] if attempts and attempts[-1].is_failure else None
