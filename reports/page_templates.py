"""The page templates, with the filters that turn rows into text."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports import number_text, profile_view
from reports.drawing import block_runs
from reports.palette import MIXER_STYLES
from reports.passport import sections

STATIC_FOLDER = Path(__file__).parent / "static"
TEMPLATE_FOLDER = Path(__file__).parent / "templates"
# In the order in which they need one another.
SCRIPTS = (
    "vendor/echarts.min.js",
    "report_data.js",
    "front_charts.js",
    "trust_charts.js",
    "tables.js",
    "report.js",
)
PROFILE_SCRIPTS = ("vendor/echarts.min.js", "report_data.js", "profile_charts.js", "report.js")
STYLESHEET = "report.css"


@cache
def page_environment() -> Environment:
    """The one environment; it escapes everything, refuses names it does not know and compiles each page once."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    environment.globals["mixer_styles"] = MIXER_STYLES
    environment.globals["missing"] = profile_view.missing
    return environment


def static_text(name: str) -> Markup:
    """A script or stylesheet of ours, to be put into a page as it is."""
    return Markup((STATIC_FOLDER / name).read_text(encoding="utf-8"))


def json_for_script(values: Any) -> Markup:
    """JSON that cannot end the script element it stands in, whatever the names inside it say."""
    text = json.dumps(values, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


_FILTERS = {
    "value": number_text.value_text,
    "cell": number_text.cell_text,
    "interval": number_text.interval_text,
    "spread": number_text.spread_text,
    "percent": number_text.percent_text,
    "millions": number_text.millions_text,
    "duration": number_text.duration_text,
    "moment": number_text.moment_text,
    "moment_s": number_text.moment_to_the_second,
    "direction": number_text.direction_text,
    "heading": number_text.heading_text,
    "sections": sections,
    "block_runs": block_runs,
    "short": profile_view.short_number,
    "relative_spread": profile_view.spread,
    "times": profile_view.times,
    "place_title": profile_view.place_title,
    "gigabytes": profile_view.gigabytes,
    "time_left": lambda progress: number_text.band_text(
        progress.seconds_left_low, progress.seconds_left_high
    ),
}
