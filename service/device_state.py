"""Whether a device may be measured now, why not, and what to type: one answer for list, page and studies."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from service.leases import is_gone
from service.store.agents import Agents
from service.store.database import database_now
from service.store.jobs import Jobs
from service.store.rows import AgentRow, DeviceRow, JobRow, StationRow
from service.store.stations import KEY_CHANGED, READY, RESTING, UNOPENED, Stations
from service.store.studies import Studies

IDLE, MEASURING = "idle", "measuring"
DOCTOR = "on the lab host: loopfront agent doctor"


@dataclass(frozen=True)
class DeviceState:
    """One word, why, and the way out; both empty where nothing is to be mended."""

    state: str
    reason: str = ""
    hint: str = ""

    @property
    def is_waited_for(self) -> bool:
        """Tell whether whoever wants a measurement has to wait for someone or something."""
        return self.state not in {IDLE, MEASURING}

    def waiting_words(self, name: str) -> str:
        """Say in a line what a study that needs this device waits for."""
        what = "can't be opened" if self.state == UNOPENED else f"is {self.state}"
        return f"waiting: {name} {what}" + "".join(
            f"{mark}{text}" for mark, text in ((": ", self.reason), ("; ", self.hint)) if text
        )


def is_online(agent: AgentRow, now: datetime) -> bool:
    """Say whether an agent was heard of lately."""
    return not is_gone(agent.last_seen_at, now)


def judge_device(  # noqa: PLR0911 - a ladder, the strongest reason first
    device: DeviceRow, agent: AgentRow, station: StationRow | None, job_words: str | None, now: datetime
) -> DeviceState:
    """Decide from the rows; `job_words` say what is being measured, None where nothing is."""
    if device.quarantined_at is not None:
        return DeviceState("quarantined", device.quarantine_reason, DOCTOR)
    if device.paused_at is not None:
        return DeviceState(
            "paused", device.pause_reason, f"loopfront device resume {shlex.quote(device.name)}"
        )
    if not is_online(agent, now):
        silence = f"nothing was heard of its agent {agent.name} lately"
        return DeviceState("away", silence, f"on {agent.name}: loopfront agent --server ...")
    if station is not None and station.state in {UNOPENED, KEY_CHANGED}:
        return DeviceState(UNOPENED, station.words, DOCTOR)
    if job_words is not None:
        return DeviceState(MEASURING, job_words)
    if station is not None and station.state == RESTING:
        return DeviceState(RESTING, station.words)
    return DeviceState(IDLE)


def states_of_devices(session: Session, devices: Sequence[DeviceRow]) -> dict[str, DeviceState]:
    """Read what is known of devices and decide, by their ids; however many they are, with a few queries."""
    now, agents = database_now(session), {row.id: row for row in Agents(session).all()}
    stations = Stations(session).of_devices(devices)
    jobs = Jobs(session).under_lease([device.id for device in devices])
    studies = Studies(session).names({job.study_id for job in jobs.values() if job.study_id})
    states = {}
    for device in devices:
        job = jobs.get(device.id)
        words = _job_words(job, studies) if job is not None else None
        agent, station = agents[device.agent_id], stations.get((device.agent_id, device.identity))
        states[device.id] = judge_device(device, agent, station, words, now)
    return states


def state_of_device(session: Session, device: DeviceRow) -> DeviceState:
    """Read what is known of a device and decide."""
    return states_of_devices(session, [device])[device.id]


def waiting_words(session: Session, device: DeviceRow) -> str:
    """Say in a line what keeps a device from being measured; "" where it can be."""
    state = state_of_device(session, device)
    return state.waiting_words(device.name) if state.is_waited_for else ""


def state_of_station(station: StationRow, agent: AgentRow, now: datetime) -> DeviceState:
    """Decide for a device that never was registered; READY ones are about to be."""
    if not is_online(agent, now):
        return DeviceState("away", f"nothing was heard of its agent {agent.name}; it said: {station.words}")
    if station.state in {READY, RESTING}:
        return DeviceState(station.state, station.words)
    return DeviceState(UNOPENED, station.words, DOCTOR)


def _job_words(job: JobRow, studies: Mapping[str, str]) -> str:
    study = studies.get(job.study_id or "")
    purpose = "single measurement" if job.purpose == "single" else job.purpose
    return f"{purpose} of study {study}" if study is not None else purpose
