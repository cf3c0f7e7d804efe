"""Builders for tests of the store: agents, devices, studies, jobs and leases, written and read directly."""

from service.store.agents import Agents, DeviceRegistration, Devices
from service.store.database import Database
from service.store.jobs import JobDraft, Jobs
from service.store.studies import ACTIVE, Studies, StudyDraft
from service.store.trials import Candidates, TrialDraft, Trials

SIMULATED = {"kind": "measured", "note": "simulated: this store test reads no numbers"}


def an_agent_with_device(database: Database) -> tuple[str, str]:
    with database.write() as session:
        agent = Agents(session).register("agent-1", "host")
        given = DeviceRegistration("device-1", "laptop", "local", {}, {})
        device = Devices(session).register(agent.id, given)
    return agent.id, device.id


def a_job(database: Database, device_id: str, cache_key: str = "key", priority: int = 0) -> str:
    with database.write() as session:
        draft = JobDraft(device_id, None, "single", cache_key, {"name": cache_key}, priority)
        return Jobs(session).create(draft).id


def a_study(database: Database, name: str) -> str:
    with database.write() as session:
        return Studies(session).submit(StudyDraft(name, {}, name, None))[0].id


def a_job_of(database: Database, device_id: str, study_id: str) -> str:
    with database.write() as session:
        return Jobs(session).create(JobDraft(device_id, study_id, "trial", "key", {})).id


def join(database: Database, study_id: str, job_id: str) -> None:
    """Let a trial of a study wait for a job."""
    with database.write() as session:
        Candidates(session).keep("digest", "C", {})
        trial = Trials(session).add(study_id, TrialDraft("trial", "", "digest", {}, "running"))
        Trials(session).attach(trial.id, "laptop", 0, job_id, None)


def cancel(database: Database, study_id: str) -> None:
    with database.write() as session:
        assert Studies(session).move(study_id, ACTIVE, "cancelled")
        Jobs(session).cancel_abandoned()


def state_of(database: Database, job_id: str) -> str:
    with database.read() as session:
        return Jobs(session).get(job_id).state


def leased(database: Database, agent_id: str, device_id: str, seconds: float = 30) -> int | None:
    with database.write() as session:
        job = Jobs(session).lease(agent_id, [device_id], seconds)
        return job.token if job else None


def report(database: Database, job_id: str, token: int, outcome: dict[str, str]) -> None:
    with database.write() as session:
        Jobs(session).report(job_id, token, outcome)
