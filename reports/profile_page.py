"""A device's profile as a live page of the service, and as one HTML file that opens from disk."""

from reports.encoding import profile_to_dict
from reports.page_templates import (
    PROFILE_SCRIPTS,
    STYLESHEET,
    json_for_script,
    page_environment,
    static_text,
)
from reports.pages import HTMX
from reports.profile_rows import ProfileReport
from reports.profile_view import findings, notes
from reports.rows import PageUrls


def render_profile_page(report: ProfileReport, urls: PageUrls) -> str:
    """The live page: while it is measured, it is fetched again and morphed in place."""
    return _render(
        report,
        urls=urls,
        is_file=False,
        stylesheet=STYLESHEET,
        scripts=[HTMX, *PROFILE_SCRIPTS],
    )


def render_profile_file(report: ProfileReport) -> str:
    """The self-contained file: styles, charts library and data are inside; a policy forbids every request."""
    return _render(
        report,
        urls=PageUrls(page=""),
        is_file=True,
        stylesheet=static_text(STYLESHEET),
        scripts=[static_text(name) for name in PROFILE_SCRIPTS],
    )


def _render(report: ProfileReport, **how: object) -> str:
    template = page_environment().get_template("profile.html")
    return template.render(
        report=report,
        findings=findings(report),
        notes=notes(report),
        data=json_for_script(profile_to_dict(report)),
        **how,
    )
