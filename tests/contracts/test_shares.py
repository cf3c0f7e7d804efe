"""The contract of fair shares: studies that wait for one device get equal minutes of it."""

import time
from collections import Counter

import pytest

from service.store import shares
from service.store.agents import Devices
from service.store.database import Database
from service.store.jobs import Jobs
from service.store.rows import AttemptRow, DeviceShareRow, StudyRow
from service.store.shares import SINGLE, Shares
from tests.contracts.store_builders import (
    SIMULATED,
    a_job,
    a_job_of,
    a_study,
    an_agent_with_device,
    report,
)


def serve_one(database: Database, agent: str, device: str, took_s: float = 10.0) -> str:
    """Lease the next job, let it take so long, and report it; return whose it was."""
    with database.write() as session:
        job = Jobs(session).lease(agent, [device], 30)
        assert job is not None
        sharer, job_id, token = shares.sharer_of(job.study_id), job.id, job.token
    pass_time(database, device, took_s)
    report(database, job_id, token, SIMULATED)
    return sharer


def pass_time(database: Database, device: str, seconds: float) -> None:
    """Let the device's last look have been so long ago."""
    from datetime import timedelta

    with database.write() as session:
        row = Devices(session).locked(device)
        assert row.metered_at is not None
        row.metered_at -= timedelta(seconds=seconds)


def fill(database: Database, device: str, study: str, count: int) -> None:
    for _ in range(count):
        a_job_of(database, device, study)


def test_two_studies_get_equal_minutes_whatever_one_job_takes(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    quick, slow = a_study(database, "quick"), a_study(database, "slow")
    fill(database, device, quick, 40)
    fill(database, device, slow, 40)
    seconds = {quick: 10.0, slow: 30.0}
    took: Counter[str] = Counter()
    for _ in range(24):
        with database.write() as session:
            job = Jobs(session).lease(agent, [device], 30)
            assert job is not None
            sharer, job_id, token = shares.sharer_of(job.study_id), job.id, job.token
        pass_time(database, device, seconds[sharer])
        report(database, job_id, token, SIMULATED)
        took[sharer] += seconds[sharer]
    assert abs(took[quick] - took[slow]) <= 60.0
    with database.read() as session:
        assert Shares(session).used_seconds(quick) == pytest.approx(took[quick], abs=2.0)


def test_a_study_that_comes_later_neither_waits_for_the_first_nor_takes_all_that_it_missed(
    database: Database,
) -> None:
    agent, device = an_agent_with_device(database)
    first = a_study(database, "first")
    fill(database, device, first, 30)
    for _ in range(10):
        serve_one(database, agent, device)
    second = a_study(database, "second")
    fill(database, device, second, 30)
    served = [serve_one(database, agent, device) for _ in range(8)]
    assert Counter(served) == {first: 4, second: 4}


def test_single_measurements_share_as_one_study_does(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    study = a_study(database, "study")
    fill(database, device, study, 10)
    for number in range(10):
        a_job(database, device, f"key {number}")
    served = [serve_one(database, agent, device) for _ in range(8)]
    assert Counter(served) == {study: 4, SINGLE: 4}


def test_free_places_are_shared_too_before_anything_was_counted(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    one, two = a_study(database, "one"), a_study(database, "two")
    fill(database, device, one, 4)
    fill(database, device, two, 4)
    served = []
    for _ in range(4):
        with database.write() as session:
            job = Jobs(session).lease(agent, [device], 30)
            assert job is not None
            served.append(shares.sharer_of(job.study_id))
    assert Counter(served) == {one: 2, two: 2}


def test_a_study_of_higher_priority_goes_first(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    usual, urgent = a_study(database, "usual"), a_study(database, "urgent")
    with database.write() as session:
        session.get_one(StudyRow, urgent).priority = 1
    fill(database, device, usual, 3)
    fill(database, device, urgent, 3)
    served = [serve_one(database, agent, device) for _ in range(6)]
    assert served == [urgent] * 3 + [usual] * 3


def test_jobs_that_take_turns_split_the_time_between_them(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    study = a_study(database, "study")
    fill(database, device, study, 2)
    for _ in range(2):
        with database.write() as session:
            assert Jobs(session).lease(agent, [device], 30) is not None
    pass_time(database, device, 60.0)
    with database.write() as session:
        Shares(session).meter(Shares(session).lock(device))
    with database.read() as session:
        attempts = session.query(AttemptRow).all()
        assert [each.device_seconds for each in attempts] == pytest.approx([30.0, 30.0], abs=1.0)


def test_a_clock_that_is_set_forward_or_back_costs_nobody_hours(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    study = a_study(database, "study")
    fill(database, device, study, 1)
    with database.write() as session:
        assert Jobs(session).lease(agent, [device], 30) is not None
    for seconds in (24 * 3600.0, -24 * 3600.0):
        pass_time(database, device, seconds)
        with database.write() as session:
            Shares(session).meter(Shares(session).lock(device))
    with database.read() as session:
        row = session.get_one(DeviceShareRow, (device, study))
        assert 0.0 <= row.used_seconds <= shares.LONGEST_SPAN_S + 5.0


def test_time_without_a_lease_is_nobodys(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    study = a_study(database, "study")
    fill(database, device, study, 1)
    serve_one(database, agent, device, took_s=5.0)
    time.sleep(0.3)
    with database.write() as session:
        Shares(session).meter(Shares(session).lock(device))
    with database.read() as session:
        assert Shares(session).used_seconds(study) == pytest.approx(5.0, abs=0.3)
