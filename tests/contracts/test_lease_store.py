"""The contract of every database that leases live in; each one that is supported runs this whole file."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from devices.service_link import LEASES_PER_DEVICE
from service.errors import ResultRefused
from service.store.agents import Agents, DeviceRegistration, Devices
from service.store.database import Database
from service.store.jobs import Jobs
from service.store.measurements import Measurements
from service.store.requests import MeasurementRequests
from service.store.rows import JobRow
from service.store.stations import StationGiven, Stations
from service.store.studies import ACTIVE, Studies
from service.store.trials import Candidates
from tests.contracts.store_builders import (
    SIMULATED,
    a_job,
    a_job_of,
    a_study,
    an_agent_with_device,
    cancel,
    join,
    leased,
    report,
    state_of,
)

FAILED = {"kind": "runner_fault", "reason": "simulated fault", "log": "no proof"}


def test_a_device_serves_as_many_leases_at_a_time_as_its_agent_measures_in_turns(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    jobs = [a_job(database, device, str(number)) for number in range(LEASES_PER_DEVICE + 1)]
    assert [leased(database, agent, device) for _ in jobs] == [1] * LEASES_PER_DEVICE + [None]
    report(database, jobs[0], 1, SIMULATED)
    assert leased(database, agent, device) == 1


def test_another_agents_device_is_not_leased(database: Database) -> None:
    _, device = an_agent_with_device(database)
    a_job(database, device)
    with database.write() as session:
        stranger = Agents(session).register("agent-2", "other").id
    assert leased(database, stranger, device) is None


def test_jobs_come_by_priority_then_age(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    for name, priority in (("old", 0), ("new", 0), ("urgent", 5)):
        a_job(database, device, name, priority)
    order = []
    for _ in range(3):
        with database.write() as session:
            job = Jobs(session).lease(agent, [device], 30)
            assert job is not None
            order.append(Jobs(session).get(job.id).cache_key)
            Jobs(session).report(job.id, job.token, SIMULATED)
    assert order == ["urgent", "old", "new"]


def test_a_result_after_expiry_is_stored_when_nobody_else_was_granted_the_job(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    job = a_job(database, device)
    token = leased(database, agent, device, seconds=0.01)
    assert token == 1
    time.sleep(0.05)
    report(database, job, token, SIMULATED)
    with database.read() as session:
        assert Jobs(session).get(job).state == "done"
        assert Measurements(session).with_key("key") is not None


def test_a_result_after_a_newer_grant_is_refused_and_the_newer_one_counts(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    job = a_job(database, device)
    assert leased(database, agent, device, seconds=0.01) == 1
    time.sleep(0.05)
    assert leased(database, agent, device) == 2
    with pytest.raises(ResultRefused) as refusal:
        report(database, job, 1, SIMULATED)
    assert refusal.value.code == "superseded"
    report(database, job, 2, SIMULATED)
    with database.read() as session:
        ended = [attempt.ended_by for attempt in Jobs(session).attempts(job)]
    assert ended == ["expired", "result"]


def test_the_same_result_twice_is_stored_once(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    job = a_job(database, device)
    leased(database, agent, device)
    report(database, job, 1, SIMULATED)
    with pytest.raises(ResultRefused) as refusal:
        report(database, job, 1, SIMULATED)
    assert refusal.value.code == "already-stored"


def test_a_runner_fault_is_retried_later_and_every_attempt_keeps_its_log(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    job = a_job(database, device)
    leased(database, agent, device)
    report(database, job, 1, FAILED)
    assert leased(database, agent, device) is None, "the back-off has not passed"
    with database.read() as session:
        row = Jobs(session).get(job)
        assert (row.state, row.detail) == ("waiting", "simulated fault")
        assert [attempt.log for attempt in Jobs(session).attempts(job)] == ["no proof"]


def test_a_released_job_can_be_leased_at_once_and_the_old_token_is_fenced_off(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    job = a_job(database, device)
    leased(database, agent, device)
    with database.write() as session:
        Jobs(session).release(job, 1, "agent stops")
    assert leased(database, agent, device) == 2
    with pytest.raises(ResultRefused):
        report(database, job, 1, SIMULATED)


def test_a_job_that_two_studies_wait_for_is_cancelled_with_the_second(database: Database) -> None:
    _, device = an_agent_with_device(database)
    first, second = a_study(database, "first"), a_study(database, "second")
    job = a_job_of(database, device, first)
    join(database, second, job)
    cancel(database, first)
    assert state_of(database, job) == "waiting"
    cancel(database, second)
    assert state_of(database, job) == "cancelled"


def test_a_job_that_a_request_joined_outlives_its_study(database: Database) -> None:
    _, device = an_agent_with_device(database)
    study = a_study(database, "study")
    job = a_job_of(database, device, study)
    with database.write() as session:
        Candidates(session).keep("digest", "C", {})
        request = MeasurementRequests(session).create("digest", device, {}, fresh=False)
        request.job_id = job
    cancel(database, study)
    assert state_of(database, job) == "waiting"
    with database.write() as session:
        MeasurementRequests(session).end(request.id, "cancelled")
        Jobs(session).cancel_abandoned()
    assert state_of(database, job) == "cancelled"


def test_a_cancelled_studys_job_does_not_go_back_on_the_list_when_it_is_released(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    study = a_study(database, "study")
    job = a_job_of(database, device, study)
    leased(database, agent, device)
    cancel(database, study)
    assert state_of(database, job) == "leased", "it may still report"
    with database.write() as session:
        Jobs(session).release(job, 1, "agent stops")
    assert state_of(database, job) == "cancelled"
    report(database, job, 1, SIMULATED)
    assert state_of(database, job) == "done", "a finished measurement is never lost"


def test_a_job_that_was_ordered_just_after_its_study_was_cancelled_is_not_granted(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    study = a_study(database, "study")
    cancel(database, study)
    job = a_job_of(database, device, study)
    assert leased(database, agent, device) is None
    assert state_of(database, job) == "cancelled"


def test_a_heartbeat_keeps_a_lease_and_is_refused_once_it_is_over(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    job = a_job(database, device)
    leased(database, agent, device, seconds=0.05)
    with database.write() as session:
        Jobs(session).heartbeat(job, 1, 30)
    time.sleep(0.1)
    assert leased(database, agent, device) is None
    report(database, job, 1, SIMULATED)
    with pytest.raises(ResultRefused), database.write() as session:
        Jobs(session).heartbeat(job, 1, 30)


def test_an_agent_that_registers_again_gets_its_job_back_under_a_new_token(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    a_job(database, device)
    assert leased(database, agent, device) == 1
    with database.write() as session:
        Jobs(session).end_leases_of(agent)
    assert leased(database, agent, device) == 2


def test_a_job_whose_lease_always_expires_is_given_up(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    job = a_job(database, device)
    while leased(database, agent, device, seconds=0.001) is not None:
        time.sleep(0.003)
    with database.read() as session:
        row = Jobs(session).get(job)
        assert (row.state, row.outcome, row.token) == ("done", "device_lost", 10)


def test_a_wrong_output_is_stored_but_never_answers_a_later_question(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    job = a_job(database, device)
    leased(database, agent, device)
    report(database, job, 1, {"kind": "wrong_output", "reason": "simulated", "log": ""})
    with database.read() as session:
        assert Jobs(session).get(job).outcome == "wrong_output"
        assert Measurements(session).with_key("key") is None


FAULT = {"kind": "throttled", "reason": "simulated heat", "log": "hot"}


def set_clock_back(database: Database) -> None:
    """Move every stored time an hour ahead: that is what a clock which was set back by one looks like."""
    an_hour = timedelta(hours=1)
    with database.write() as session:
        for job in session.scalars(select(JobRow)):
            job.not_before += an_hour
            if job.lease_expires_at is not None:
                job.lease_expires_at += an_hour


def make_due(database: Database, job_id: str) -> None:
    with database.write() as session:
        Jobs(session).get(job_id).not_before -= timedelta(minutes=10)


def fail_three_times(database: Database, agent: str, device: str, job: str) -> None:
    for _ in range(3):
        make_due(database, job)
        token = leased(database, agent, device)
        assert token is not None
        report(database, job, token, FAULT)


def test_a_paused_device_gets_no_job_and_what_was_under_way_is_taken_back_without_counting(
    database: Database,
) -> None:
    agent, device = an_agent_with_device(database)
    job = a_job(database, device)
    for token in range(1, 5):  # more often than a job may fail
        assert leased(database, agent, device) == token
        with database.write() as session:
            Devices(session).pause(device, "lunch")
            Jobs(session).take_back(device, "paused", "the device was paused: lunch")
        assert leased(database, agent, device) is None
        with pytest.raises(ResultRefused, match="paused: lunch") as refusal, database.read() as session:
            Jobs(session).lease_without_extension(Jobs(session).standing(job, token), token, 30)
        assert refusal.value.code == "paused"
        with database.write() as session:
            Devices(session).resume(device)
    assert leased(database, agent, device) == 5
    report(database, job, 5, FAULT)
    with database.read() as session:
        assert Jobs(session).get(job).state == "waiting", "the first attempt that counts"


def test_a_result_that_was_finished_when_its_device_was_paused_counts(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    job = a_job(database, device)
    leased(database, agent, device)
    with database.write() as session:
        Jobs(session).take_back(device, "paused", "the device was paused")
    report(database, job, 1, SIMULATED)
    assert state_of(database, job) == "done"


def test_three_faults_in_a_row_quarantine_a_device_and_its_job_waits_for_the_examination(
    database: Database,
) -> None:
    agent, device = an_agent_with_device(database)
    job = a_job(database, device)
    fail_three_times(database, agent, device, job)
    assert state_of(database, job) == "waiting", "so many in a row are not the candidate's doing"
    assert leased(database, agent, device) is None
    with database.write() as session:
        row = Devices(session).get(device)
        assert "3 faults in a row, the last: throttled: simulated heat" in row.quarantine_reason
        assert row.quarantine_job_id == job
        assert not Devices(session).note_examination(row, False, "it is on fire")
    assert leased(database, agent, device) is None
    with database.write() as session:
        assert Devices(session).note_examination(Devices(session).get(device), True, "")
    assert leased(database, agent, device) == 4
    report(database, job, 4, FAULT)
    assert state_of(database, job) == "done", "the device was well, so it is the job"


def test_a_measurement_in_between_breaks_the_row_and_a_wrong_output_does_not(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    wrong = {"kind": "wrong_output", "reason": "simulated", "log": ""}
    for number, outcome in enumerate([FAULT, FAULT, SIMULATED, FAULT, wrong, FAULT, wrong]):
        job = a_job(database, device, f"key-{number}", priority=number)
        token = leased(database, agent, device)
        assert token == 1
        report(database, job, token, dict(outcome))
    with database.read() as session:
        row = Devices(session).get(device)
        assert (row.fault_run, row.quarantined_at) == (2, None)


def test_a_clock_that_is_set_back_keeps_no_job_waiting_and_no_lease_alive(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    a_job(database, device)
    set_clock_back(database)
    assert leased(database, agent, device) == 1
    set_clock_back(database)
    with database.read() as session:
        job = Jobs(session).under_lease([device]).get(device)
        assert job is not None
        assert Jobs(session).lease_without_extension(Jobs(session).standing(job.id, 1), 1, 30) is None, (
            "a heartbeat writes it anew"
        )
    assert leased(database, agent, device) == 2, "nobody who measures asks: its agent was started anew"


def test_two_agents_that_reach_one_device_take_it_in_turns(database: Database) -> None:
    first, device = an_agent_with_device(database)
    a_job(database, device, "one")
    a_job(database, device, "two")
    assert leased(database, first, device) == 1
    with database.write() as session:
        second = Agents(session).register("agent-2", "other").id
        given = DeviceRegistration("device-1", "laptop", "ssh", {}, {})
        assert Devices(session).register(second, given).id == device
    assert leased(database, second, device) is None, "the first is measuring"
    with database.read() as session:
        job = Jobs(session).under_lease([device]).get(device)
    assert job is not None
    report(database, job.id, 1, SIMULATED)
    assert leased(database, first, device) is None, "it is the other's now"
    assert leased(database, second, device) == 1


def test_labels_that_a_user_set_stay_over_those_that_the_agent_gives(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    with database.write() as session:
        Devices(session).change_labels(device, {"room": "lab", "old": None})
        given = DeviceRegistration(
            "device-1", "laptop", "local", {"room": "attic", "old": "yes", "os": "l"}, {}
        )
        Devices(session).register(agent, given)
        assert Devices(session).get(device).labels == {"room": "lab", "os": "l"}


def test_a_target_by_labels_prefers_a_device_that_may_be_measured(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    with database.write() as session:
        other = Devices(session).register(agent, DeviceRegistration("d2", "zeta", "ssh", {}, {})).id
        for each in (device, other):
            Devices(session).change_labels(each, {"room": "lab"})
        assert Devices(session).with_labels({"room": "lab"}).name == "laptop"
        Devices(session).pause(device, "")
        assert Devices(session).with_labels({"room": "lab"}).name == "zeta"
        Devices(session).pause(other, "")
        assert Devices(session).with_labels({"room": "lab"}).name == "laptop"


def test_threads_that_race_for_jobs_never_share_one(database: Database) -> None:
    agent, first = an_agent_with_device(database)
    with database.write() as session:
        devices = [
            Devices(session).register(agent, DeviceRegistration(f"d{i}", f"d{i}", "simulated", {}, {})).id
            for i in range(4)
        ]
    for device in devices:
        for i in range(5):
            a_job(database, device, f"{device}-{i}")
    granted: list[str] = []

    def work(device: str) -> None:
        while True:
            with database.write() as session:
                job = Jobs(session).lease(agent, [device], 30)
                if job is None:
                    return
                granted.append(job.id)
                Jobs(session).report(job.id, job.token, SIMULATED)

    threads = [threading.Thread(target=work, args=(device,)) for device in devices * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == len(set(granted)) == 20
    assert first not in devices


def test_a_lease_that_expired_lives_on_if_its_agent_names_it_when_it_asks_for_more(
    database: Database,
) -> None:
    agent, device = an_agent_with_device(database)
    jobs = [a_job(database, device, str(number)) for number in range(2)]
    assert leased(database, agent, device, seconds=0.01) == 1
    time.sleep(0.05)
    with database.write() as session:
        Jobs(session).keep_alive("another agent", [(jobs[0], 1)], 30)
        Jobs(session).keep_alive(agent, [(jobs[0], 7)], 30)  # of a token that was never granted
        assert Jobs(session).devices_with_work([device], 30) == {device}
        Jobs(session).keep_alive(agent, [(jobs[0], 1)], 30)
        granted = Jobs(session).lease(agent, [device], 30)
        assert granted is not None
        assert granted.id == jobs[1]
    report(database, jobs[0], 1, SIMULATED)


def test_an_agent_that_asks_restarts_and_beats_at_once_never_waits_for_itself_for_ever(
    database: Database,
) -> None:
    agent, device = an_agent_with_device(database)
    jobs = [a_job(database, device, str(number)) for number in range(LEASES_PER_DEVICE)]
    held = [(job, leased(database, agent, device) or 0) for job in jobs]
    troubles: list[Exception] = []

    def beat(session: Session) -> None:
        Jobs(session).heartbeat(*held[-1], 30)

    def ask(session: Session) -> None:
        Jobs(session).keep_alive(agent, held[::-1], 30)

    def restart(session: Session) -> None:
        Jobs(session).end_leases_of(agent)
        Devices(session).register(agent, DeviceRegistration("device-1", "laptop", "local", {}, {}))

    def work(step: Callable[[Session], None]) -> None:
        try:
            for _ in range(25):
                with database.write() as session:
                    step(session)
        except Exception as error:  # a deadlock, which PostgreSQL ends
            troubles.append(error)

    threads = [threading.Thread(target=work, args=(step,)) for step in (beat, ask, restart, beat, ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []


def test_the_jobs_of_a_study_that_is_deleted_are_measured_for_nobody(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    study = a_study(database, "study")
    jobs = [a_job_of(database, device, study) for _ in range(2)]
    assert leased(database, agent, device) == 1
    with database.write() as session:
        assert Studies(session).move(study, ACTIVE, "cancelled")
        Jobs(session).drop(study)
        Studies(session).delete(study)
    report(database, jobs[0], 1, {"kind": "runner_fault", "reason": "stopped", "log": ""})
    with database.write() as session:
        Jobs(session).release(jobs[0], 1, "its agent stops")
    assert {state_of(database, job) for job in jobs} == {"cancelled"}
    assert leased(database, agent, device) is None


def test_a_device_whose_agent_is_gone_is_taken_over_by_one_that_has_it_open(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    a_job(database, device)
    with database.write() as session:
        second = Agents(session).register("agent-2", "other").id
        ready = StationGiven("laptop", "ssh", "device-1", "ready", "")
        Stations(session).replace(second, [ready])
    assert leased(database, second, device) is None, "its own agent is there"
    with database.write() as session:
        Agents(session).get(agent).last_seen_at -= timedelta(minutes=5)
        stranger = Agents(session).register("agent-3", "third").id
    assert leased(database, stranger, device) is None, "it has not opened the device"
    assert leased(database, second, device) == 1


def test_a_fault_that_is_not_the_devices_does_not_count_against_it(database: Database) -> None:
    agent, device = an_agent_with_device(database)
    for number in range(4):
        job = a_job(database, device, str(number))
        leased(database, agent, device)
        report(database, job, 1, {**FAILED, "of_device": False})
    with database.read() as session:
        row = Devices(session).get(device)
        assert (row.fault_run, row.quarantined_at) == (0, None)
