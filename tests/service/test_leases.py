"""The lease rules as plain functions."""

from datetime import UTC, datetime, timedelta

import pytest

from devices.outcome import CANDIDATE_FAULTS, OUTCOMES
from service import leases

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def test_the_newest_token_may_report() -> None:
    assert leases.judge_result(token=2, newest_token=2, token_has_result=False, job_is_done=False) == "store"


def test_an_older_token_is_superseded() -> None:
    assert leases.judge_result(1, newest_token=2, token_has_result=False, job_is_done=False) == "superseded"


def test_a_finished_job_takes_no_second_result() -> None:
    assert leases.judge_result(2, newest_token=2, token_has_result=True, job_is_done=True) == "already-stored"


def test_a_token_that_reported_a_retried_failure_cannot_report_again() -> None:
    assert (
        leases.judge_result(1, newest_token=1, token_has_result=True, job_is_done=False) == "already-stored"
    )


@pytest.mark.parametrize("token", [0, -1, 3])
def test_a_token_that_was_never_granted_counts_for_nothing(token: int) -> None:
    assert (
        leases.judge_result(token, newest_token=2, token_has_result=False, job_is_done=False)
        == "never-granted"
    )


@pytest.mark.parametrize("kind", sorted(leases.CANDIDATE_FAULTS | {"measured", "wrong_output"}))
def test_what_the_candidate_or_we_did_is_final_at_once(kind: str) -> None:
    assert leases.next_step(kind, attempts_reported=1) == leases.Final()


@pytest.mark.parametrize("kind", sorted(leases.RETRIED_KINDS))
def test_what_the_device_did_is_retried_with_growing_delays_three_times_in_all(kind: str) -> None:
    steps = [leases.next_step(kind, attempts) for attempts in (1, 2, 3)]
    assert steps == [leases.RetryAfter(5.0), leases.RetryAfter(10.0), leases.Final()]


@pytest.mark.parametrize("kind", sorted(leases.RETRIED_KINDS))
def test_a_job_whose_fault_quarantined_the_device_waits_for_it_however_often_it_was_tried(kind: str) -> None:
    assert leases.next_step(kind, 3, is_quarantined=True) == leases.RetryAfter(0.0)
    assert leases.next_step(kind, 4) == leases.Final()


def test_faults_in_a_row_are_those_of_the_device_alone() -> None:
    run = 0
    for kind, expected in [
        ("throttled", 1),
        ("not_ready", 2),
        ("wrong_output", 2),
        ("device_lost", 3),
        ("out_of_memory", 0),
        ("runner_fault", 1),
        ("measured", 0),
    ]:
        run = leases.faults_in_a_row(kind, run)
        assert run == expected, kind


def test_every_outcome_that_devices_can_report_has_a_rule() -> None:
    assert set(OUTCOMES) == leases.FINAL_KINDS | leases.RETRIED_KINDS
    assert not leases.FINAL_KINDS & leases.RETRIED_KINDS
    assert leases.CANDIDATE_FAULTS == CANDIDATE_FAULTS


def test_a_lease_can_be_granted_again_from_its_expiry_on() -> None:
    ends = leases.expiry(NOW, 30)
    assert ends == NOW + timedelta(seconds=30)
    assert not leases.is_grantable(ends, NOW, 30)
    assert not leases.is_grantable(ends, NOW + timedelta(seconds=29), 30)
    assert leases.is_grantable(ends, ends, 30)


def test_a_clock_that_jumps_neither_keeps_a_lease_for_ever_nor_writes_none_down() -> None:
    ends = leases.expiry(NOW, 30)
    an_hour = timedelta(hours=1)
    assert leases.is_grantable(ends, NOW - an_hour, 30), "it would live for an hour"
    assert leases.is_grantable(ends, NOW + an_hour, 30)
    assert leases.needs_extension(ends, NOW - an_hour, 30), "the next heartbeat mends it"
    assert leases.needs_extension(ends, NOW + an_hour, 30)
    assert not leases.needs_extension(ends, NOW + timedelta(seconds=5), 30)
    assert leases.needs_extension(ends, NOW + timedelta(seconds=11), 30)


def test_a_study_stops_when_its_device_cannot_be_used_but_not_for_one_fault() -> None:
    assert leases.device_is_unusable(["not_ready", "measured"])
    assert leases.device_is_unusable(["runner_fault"] * 3)
    assert not leases.device_is_unusable(["runner_fault", "runner_fault", "measured"])
    assert not leases.device_is_unusable(["out_of_memory"] * 3)
    assert not leases.device_is_unusable([])
