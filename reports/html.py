"""A study's report as one self-contained HTML file that opens from disk, with no network."""

from reports.encoding import report_to_dict
from reports.page_templates import SCRIPTS, STYLESHEET, json_for_script, page_environment, static_text
from reports.rows import StudyReport
from reports.view import view_of


def render_report(report: StudyReport) -> str:
    """Render the whole report: styles, charts library and data are inside; a policy forbids every request."""
    template = page_environment().get_template("report.html")
    return template.render(
        view=view_of(report),
        links=False,
        data=json_for_script(report_to_dict(report)),
        stylesheet=static_text(STYLESHEET),
        scripts=[static_text(name) for name in SCRIPTS],
    )
