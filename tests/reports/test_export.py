"""Exports hold what was measured, and nothing else."""

import csv
import io
import json

from reports.export import front_csv, front_json, trials_csv, trials_json
from tests.reports.builders import TPOT, a_failed_trial, a_report, a_trial


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_front_as_csv_has_paired_raw_and_interval_of_every_metric() -> None:
    report = a_report()
    rows = _rows(front_csv(report))
    trials = {trial.number: trial for trial in report.trials if trial.on_front}
    assert {int(row["number"]) for row in rows} == set(trials)
    for row in rows:
        cell = trials[int(row["number"])].cells[TPOT.name]
        told = [float(row[f"{TPOT.name}{part}"]) for part in ("", ".low", ".high", ".raw")]
        assert told == [cell.value, cell.low, cell.high, cell.raw]


def test_only_measured_trials_are_exported() -> None:
    trials = (
        a_trial(0),
        a_trial(1, state="running", on_front=True),
        a_failed_trial(2),
        a_trial(3, kind="reference"),
    )
    report = a_report(0, trials=trials)
    assert [row["number"] for row in _rows(trials_csv(report))] == ["0", "3"]
    assert [trial["number"] for trial in json.loads(trials_json(report))["trials"]] == [0, 3]
    assert _rows(front_csv(report)) == json.loads(front_json(report))["front"] == []


def test_json_says_where_the_numbers_come_from() -> None:
    exported = json.loads(front_json(a_report()))
    assert exported["workload"]["context tokens"] == "512"
    assert exported["provenance"]["onnxruntime"] == "1.32.0"
    assert exported["columns"][0]["is_proxy"] is True


def test_a_label_that_a_spreadsheet_would_run_stays_text() -> None:
    report = a_report(0, trials=(a_trial(0, label='=cmd|" /C calc"!A1'),))
    assert _rows(trials_csv(report))[0]["label"].startswith("'=")


def test_an_empty_front_is_a_line_of_headings() -> None:
    assert len(front_csv(a_report(0, trials=())).splitlines()) == 1
