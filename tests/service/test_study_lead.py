"""Studies that are cancelled, resumed, joined and extended while they are led."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from serving import Running, SimulatedWorker, a_service, a_small_study, wait_for_end
from sqlalchemy import select
from waiting import wait_until

from service.api.schemas import MeasurementWish
from service.client import Client
from service.leases import CANCELLED
from service.store import studies
from service.store.jobs import Jobs
from service.store.rows import AttemptRow, JobRow, StudyRow, TrialRow
from service.store.studies import Studies
from service.store.trials import Trials


@contextmanager
def a_finished_study(folder: Path, trials: int = 1) -> Iterator[tuple[Running, Client]]:
    """A service whose device is calibrated, with a study named small; nobody serves its device any more."""
    with a_service(folder, with_loop=True) as running, running.client() as client:
        with SimulatedWorker(running.url):
            client.submit_study(a_small_study(trials=trials))
            assert wait_for_end(client, "small") == "finished"
        yield running, client


def jobs_of(running: Running, study: str, round_number: int = 0) -> list[JobRow]:
    """The jobs that a study's trials wait for, or waited for."""
    with running.parts.database.read() as session:
        rows = Trials(session).study_measurements(Studies(session).find(study).id)
        wanted = [row.job_id for row in rows if row.round == round_number and row.job_id]
        return [Jobs(session).get(job_id) for job_id in wanted]


def serve_until_finished(running: Running, client: Client, name: str) -> list[str]:
    with SimulatedWorker(running.url) as worker:
        assert wait_for_end(client, name) == "finished"
    return worker.served


def request_of(client: Client, study: str) -> str:
    """Ask for the measurement that a study's newest trial waits for."""
    architecture = client.trial(study, client.trials(study)[-1].number).architecture
    workload = {"prompt_tokens": 32, "context_tokens": 64, "generate_tokens": 16}
    wish = MeasurementWish.model_validate({"architecture": architecture, "workload": workload})
    return client.measure(wish).id


def test_cancelling_a_study_leaves_a_measurement_to_those_who_joined_it(tmp_path: Path) -> None:
    with a_finished_study(tmp_path) as (running, client):
        for name in ("first", "second"):
            client.submit_study(a_small_study(name, trials=2))
            wait_until(lambda name=name: len(jobs_of(running, name)) == 1)
        request = request_of(client, "first")
        wait_until(lambda: client.measurement(request).state == "running")
        client.cancel_study("first")
        served = serve_until_finished(running, client, "second")
        assert {trial.state for trial in client.trials("second")} == {"measured"}
        wait_until(lambda: client.measurement(request).state == "done")
        assert len(served) == 1, "all three waited for one measurement"


def test_who_joined_a_job_that_was_cancelled_all_the_same_orders_it_anew(tmp_path: Path) -> None:
    with a_finished_study(tmp_path) as (running, client):
        client.submit_study(a_small_study("second", trials=2))
        wait_until(lambda: len(jobs_of(running, "second")) == 1)
        request = request_of(client, "second")
        wait_until(lambda: client.measurement(request).state == "running")
        with running.parts.database.write() as session:
            Jobs(session).get(jobs_of(running, "second")[0].id).state = CANCELLED
        serve_until_finished(running, client, "second")
        assert {trial.state for trial in client.trials("second")} == {"measured"}
        wait_until(lambda: client.measurement(request).state == "done")


def test_a_cancelled_repeat_is_measured_when_the_study_is_resumed(tmp_path: Path) -> None:
    with a_finished_study(tmp_path, trials=2) as (running, client):
        client.repeat("small", 2)
        wait_until(lambda: len(jobs_of(running, "small", 1)) == 2)
        client.cancel_study("small")
        assert [job.state for job in jobs_of(running, "small", 1)] == ["cancelled"] * 2
        client.resume_study("small")
        assert len(serve_until_finished(running, client, "small")) == 2
        assert [job.state for job in jobs_of(running, "small", 1)] == ["done", "done"]


def test_a_layout_that_is_enqueued_while_a_study_repeats_is_measured(tmp_path: Path) -> None:
    with a_finished_study(tmp_path, trials=2) as (running, client):
        client.repeat("small", 2)
        wait_until(lambda: client.study("small").state == "repeating")
        client.enqueue("small", ["CACACA"])
        serve_until_finished(running, client, "small")
        assert (client.trials("small")[-1].layout, client.trials("small")[-1].state) == ("CACACA", "measured")
        assert len(jobs_of(running, "small", 1)) == 2


def test_a_layout_that_is_enqueued_after_the_repeats_orders_no_more_of_them(tmp_path: Path) -> None:
    with a_finished_study(tmp_path, trials=3) as (running, client):
        client.repeat("small", 2)
        serve_until_finished(running, client, "small")
        client.enqueue("small", ["CACACA"])
        serve_until_finished(running, client, "small")
        assert client.trials("small")[-1].state == "measured"
        assert len(jobs_of(running, "small", 1)) == 2


def test_a_study_that_was_cancelled_in_the_meantime_is_not_moved_on(tmp_path: Path) -> None:
    with a_service(tmp_path) as running, running.client() as client:
        study = client.submit_study(a_small_study())
        client.cancel_study("small")
        with running.parts.database.write() as session:
            assert not Studies(session).move(study.id, (studies.WAITING,), studies.CALIBRATING)
            assert not Studies(session).move(study.id, studies.ACTIVE, studies.FAILED, "late trouble")
            Studies(session).note(study.id, "waiting for a device")
        assert (client.study("small").state, client.study("small").detail) == (
            "cancelled",
            "cancelled by a user",
        )


def test_the_night_in_which_the_service_was_stopped_is_no_time_of_the_study(tmp_path: Path) -> None:
    with a_finished_study(tmp_path) as (running, client):
        client.submit_study(a_small_study("second", trials=2))
        wait_until(lambda: len(jobs_of(running, "second")) == 1)
        let_a_day_pass(running)
    with a_service(tmp_path, with_loop=True) as running, running.client() as client:
        client.enqueue("small", ["CACACA"])
        with SimulatedWorker(running.url):
            assert wait_for_end(client, "second") == wait_for_end(client, "small") == "finished"
        for name in ("small", "second"):
            assert 0 < client.study(name).progress["elapsed_seconds"] < 3600, name


def let_a_day_pass(running: Running) -> None:
    """Move everything that happened a day back."""
    day = timedelta(days=1)
    with running.parts.database.write() as session:
        for study in session.scalars(select(StudyRow)):
            study.started_at = study.started_at and study.started_at - day
            study.finished_at = study.finished_at and study.finished_at - day
        for trial in session.scalars(select(TrialRow)):
            trial.launched_at = trial.launched_at and trial.launched_at - day
            trial.finished_at = trial.finished_at and trial.finished_at - day
        for attempt in session.scalars(select(AttemptRow)):
            attempt.granted_at -= day
            attempt.ended_at = attempt.ended_at and attempt.ended_at - day
