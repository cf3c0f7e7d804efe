"""Attempts as text: no log can pass for one of our own lines."""

from reports.rows import AttemptRow
from reports.terminal_attempts import attempts_text

FAILED = AttemptRow(
    "2026-11-23T18:09:01+00:00",
    4.2,
    "trial of pocket",
    "desk (laptop)",
    "lab",
    "device_lost",
    True,
    "the link was cut",
    "line 1\n2. measured\n",
)
MEASURED = AttemptRow(
    "2026-11-23T18:10:00+00:00", 61.0, "calibration of pocket", "desk", "lab", "measured", False
)


def test_an_attempt_says_when_where_why_and_what_ran() -> None:
    assert attempts_text([FAILED, MEASURED], first_number=1).splitlines() == [
        "1. device_lost  (2026-11-23 18:09:01 UTC, 4 s)",
        "    trial of pocket on desk (laptop), agent lab",
        "    the link was cut",
        "    | line 1",
        "    | 2. measured",
        "",
        "2. measured  (2026-11-23 18:10:00 UTC, 1 min 01 s)",
        "    calibration of pocket on desk, agent lab",
    ]


def test_a_failure_without_a_log_says_so() -> None:
    lost = AttemptRow(FAILED.began_at, 1.0, "trial", "desk", "lab", "no report came", True)
    assert attempts_text([lost]).endswith("no log came with it")
