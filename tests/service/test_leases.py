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
    assert steps == [leases.RetryAfter(5.0), leases.RetryAfter(30.0), leases.Final()]


def test_every_outcome_that_devices_can_report_has_a_rule() -> None:
    assert set(OUTCOMES) == leases.FINAL_KINDS | leases.RETRIED_KINDS
    assert not leases.FINAL_KINDS & leases.RETRIED_KINDS
    assert leases.CANDIDATE_FAULTS == CANDIDATE_FAULTS


def test_a_lease_can_be_granted_again_from_its_expiry_on() -> None:
    ends = leases.expiry(NOW, 30)
    assert ends == NOW + timedelta(seconds=30)
    assert not leases.is_grantable(ends, NOW + timedelta(seconds=29))
    assert leases.is_grantable(ends, ends)


def test_a_study_stops_when_its_device_cannot_be_used_but_not_for_one_fault() -> None:
    assert leases.device_is_unusable(["not_ready", "measured"])
    assert leases.device_is_unusable(["runner_fault"] * 3)
    assert not leases.device_is_unusable(["runner_fault", "runner_fault", "measured"])
    assert not leases.device_is_unusable(["out_of_memory"] * 3)
    assert not leases.device_is_unusable([])
