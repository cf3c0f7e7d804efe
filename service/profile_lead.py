"""Lead one device's profile: order its measurements one after the other, and close it."""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from devices.bandwidth_plan import BandwidthPlan, job_plan_to_dict
from operators.architecture import Architecture
from service.leases import LARGEST_RUN_OF_FAULTS, RETRIED_KINDS
from service.measurement_plans import RUNTIME_FACTS
from service.parts import Parts
from service.profile_scope import ProfileScope, entries_of
from service.store import profiles, requests
from service.store.agents import Devices
from service.store.jobs import CANCELLED, DONE, JobDraft, Jobs
from service.store.measurements import Measurements
from service.store.profiles import Profiles
from service.store.requests import MeasurementRequests
from service.store.rows import DeviceProfileRow, DeviceRow, MeasurementRequestRow, ProfileEntryRow
from service.store.trials import Candidates

NOT_CALIBRATED = "not_calibrated"
"""The outcome of an entry whose sentinel couldn't be measured."""
BANDWIDTH_KEY_VERSION = "1"


def begin_profile(
    session: Session,
    device: DeviceRow,
    scope: ProfileScope,
    again: bool,
    shapes: Mapping[str, Architecture] | None = None,
) -> DeviceProfileRow:
    """Join the profile of this scope that is under way, give the one that is complete, or begin one.

    What was measured for an earlier one, whatever ended it, is not measured again unless `again` is asked for.
    `shapes` are whole models by name, by default the published ones that the scope names.
    """
    question = {**scope.to_dict(), "runtime": {name: device.facts.get(name) for name in RUNTIME_FACTS}}
    newest = next((row for row in Profiles(session).of_device(device.id) if row.scope == question), None)
    if newest is not None and newest.state in profiles.OPEN and (newest.fresh or not again):
        return newest
    if newest is not None and not again and newest.state == profiles.DONE and _is_complete(session, newest):
        return newest
    planned = entries_of(scope, device.facts, shapes)
    for _, architecture in planned:
        if architecture is not None:
            Candidates(session).keep(architecture.digest, architecture.layout, architecture.to_dict())
    return Profiles(session).create(device.id, question, again, [draft for draft, _ in planned])


def cancel_profile(session: Session, profile_id: str) -> None:
    """Stop a profile; what was measured stays, and what is being measured may still report."""
    Profiles(session).end(profile_id, profiles.CANCELLED, "cancelled by a user")
    for entry in Profiles(session).entries(profile_id):
        if entry.state == profiles.RUNNING and entry.request_id is not None:
            MeasurementRequests(session).end(
                entry.request_id, requests.CANCELLED, "its profile was cancelled"
            )
    Jobs(session).cancel_abandoned()


def step_profile(parts: Parts, profile_id: str, stop: threading.Event) -> bool:
    """Do the next thing for a profile; False when it waits for its device."""
    with parts.database.write() as session:
        entries = Profiles(session).entries(profile_id)
        if _device_is_unusable(entries):
            newest = _ended(entries)[0]
            detail = (
                f"the device can't be used: {newest.outcome}: {newest.detail}; mend that and run it again"
            )
            Profiles(session).end(profile_id, profiles.FAILED, detail)
            return True
        entry = next((each for each in entries if each.finished_at is None), None)
        if entry is None:
            Profiles(session).end(profile_id, profiles.DONE)
            return True
        profile = Profiles(session).get(profile_id)
        moved = _begin(session, profile, entry) if entry.state == profiles.WAITING else _close(session, entry)
    if moved:
        parts.bell.ring()
    return moved and not stop.is_set()


def _is_complete(session: Session, profile: DeviceProfileRow) -> bool:
    """Tell whether asking again would give nothing new: no measurement was lost by the device's doing."""
    outcomes = {entry.outcome for entry in Profiles(session).entries(profile.id)}
    return not outcomes & (RETRIED_KINDS | {NOT_CALIBRATED, requests.CANCELLED, requests.FAILED})


def _ended(entries: Sequence[ProfileEntryRow]) -> list[ProfileEntryRow]:
    ended = [entry for entry in entries if entry.finished_at is not None]
    return sorted(ended, key=lambda entry: (entry.finished_at, entry.position), reverse=True)


def _device_is_unusable(entries: Sequence[ProfileEntryRow]) -> bool:
    """One entry may be too large for the device's memory; so many in a row that failed by its doing are not."""
    newest = [entry.outcome for entry in _ended(entries)[:LARGEST_RUN_OF_FAULTS]]
    return len(newest) == LARGEST_RUN_OF_FAULTS and all(kind in RETRIED_KINDS for kind in newest)


def _begin(session: Session, profile: DeviceProfileRow, entry: ProfileEntryRow) -> bool:
    if entry.kind == profiles.BANDWIDTH:
        return _begin_bandwidth(session, profile, entry)
    assert entry.candidate_digest is not None
    request = MeasurementRequests(session).create(
        entry.candidate_digest, profile.device_id, entry.conditions, profile.fresh
    )
    Profiles(session).start_entry(entry.id, request.id, None)
    return True


def _begin_bandwidth(session: Session, profile: DeviceProfileRow, entry: ProfileEntryRow) -> bool:
    plan = BandwidthPlan(**entry.conditions)
    key = bandwidth_key(plan, Devices(session).get(profile.device_id))
    known = None if profile.fresh else Measurements(session).with_key(key)
    if known is not None:
        Profiles(session).start_entry(entry.id, None, None)
        entry.reused = True
        Profiles(session).end_entry(entry.id, known.kind, "", known.id)
        return True
    under_way = None if profile.fresh else Jobs(session).open_with_key(key)
    draft = JobDraft(
        device_id=profile.device_id,
        study_id=None,
        purpose="bandwidth",
        cache_key=key,
        plan=job_plan_to_dict(plan),
        bypasses_cache=profile.fresh,
    )
    job = under_way or Jobs(session).create(draft)
    Profiles(session).start_entry(entry.id, None, job.id)
    return True


def bandwidth_key(plan: BandwidthPlan, device: DeviceRow) -> str:
    """Name a bandwidth measurement by everything that it depends on."""
    named = {
        "version": BANDWIDTH_KEY_VERSION,
        "plan": job_plan_to_dict(plan),
        "device": device.id,
        "runner": device.facts.get("runner"),
    }
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def _close(session: Session, entry: ProfileEntryRow) -> bool:
    if entry.request_id is not None:
        return _close_candidate(session, entry, MeasurementRequests(session).get(entry.request_id))
    assert entry.job_id is not None
    job = Jobs(session).get(entry.job_id)
    if job.state == CANCELLED:
        entry.state = profiles.WAITING  # another profile's job that ended as this one joined it
        return True
    if job.state == DONE:
        Profiles(session).end_entry(entry.id, job.outcome, job.detail, job.measurement_id)
    return job.state == DONE


def _close_candidate(session: Session, entry: ProfileEntryRow, request: MeasurementRequestRow) -> bool:
    if request.state in requests.OPEN:
        return False
    entry.calibration_id = request.calibration_id
    entry.reused = request.job_id is None and request.measurement_id is not None
    outcome, detail = _outcome_of(session, request)
    Profiles(session).end_entry(entry.id, outcome, detail, request.measurement_id)
    return True


def _outcome_of(session: Session, request: MeasurementRequestRow) -> tuple[str, str]:
    """Say what became of a request, and why in a line."""
    if request.measurement_id is not None:
        found = Measurements(session).get(request.measurement_id)
        return found.kind, str(found.outcome.get("reason", ""))
    if request.job_id is not None and (job := Jobs(session).get(request.job_id)).state == DONE:
        return job.outcome, job.detail
    if request.state == requests.FAILED and request.calibration_id is None:
        return NOT_CALIBRATED, request.detail
    return request.state, request.detail
