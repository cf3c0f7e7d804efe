"""Rows survive the way through JSON, and anything else is refused with its place."""

import json
import math

import pytest

from reports.encoding import (
    measurement_from_dict,
    measurement_to_dict,
    progress_from_dict,
    progress_to_dict,
    report_from_dict,
    report_to_dict,
)
from reports.errors import RowError
from reports.rows import CurrentRow, HypervolumePoint, MeasurementReport, ProgressRow
from tests.reports.builders import COLUMNS, a_detail, a_device, a_report, a_trial


def test_a_report_comes_back_from_json_as_it_went() -> None:
    report = a_report(6)
    assert report_from_dict(json.loads(json.dumps(report_to_dict(report)))) == report


def test_a_progress_comes_back_from_json_as_it_went() -> None:
    progress = ProgressRow(
        "pocket",
        "running",
        34,
        12,
        1,
        0,
        5,
        60.5,
        hypervolume_history=(1.0, 2.0),
        current=(CurrentRow(13, "CCAC", "measuring"),),
        last_finished=a_trial(12),
        columns=COLUMNS,
    )
    assert progress_from_dict(json.loads(json.dumps(progress_to_dict(progress)))) == progress


def test_a_measurement_comes_back_from_json_as_it_went() -> None:
    import random

    measurement = MeasurementReport(
        a_trial(0), COLUMNS, a_device(), {"threads": "1"}, "int4", a_detail(random.Random(1))
    )
    assert measurement_from_dict(json.loads(json.dumps(measurement_to_dict(measurement)))) == measurement


def test_a_number_that_is_not_finite_becomes_null_and_then_nan() -> None:
    report = a_report(2, hypervolume=(HypervolumePoint(0, math.nan),))
    text = json.dumps(report_to_dict(report), allow_nan=False)
    assert math.isnan(report_from_dict(json.loads(text)).hypervolume[0].value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"novelty": 1}, "no field 'novelty'"),
        ({"trials": 3}, "report.trials should be a list, not 3"),
        ({"seconds": "long"}, "report.seconds should be float, not 'long'"),
        ({"workload": []}, "report.workload should be an object"),
        ({"trials": [{}]}, r"report.trials\[0\].number is missing"),
        ({"repeatability": [{"kind": "odd"}]}, "repeatability"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(change: dict[str, object], words: str) -> None:
    with pytest.raises(RowError, match=words):
        report_from_dict({**report_to_dict(a_report(2)), **change})


def test_an_unknown_choice_is_refused_with_the_known_ones() -> None:
    values = report_to_dict(a_report(1))
    values["trials"][0]["state"] = "predicted"
    with pytest.raises(RowError, match=r"trials\[0\]\.state should be one of measured, failed"):
        report_from_dict(values)
