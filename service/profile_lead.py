"""Lead one device's profile: order its measurements one after the other, and close it."""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from devices.bandwidth_plan import BandwidthPlan, job_plan_to_dict
from operators.architecture import Architecture
from service.leases import CANCELLED, DONE, LARGEST_RUN_OF_FAULTS, RETRIED_KINDS
from service.measured_cache import MeasuredCache
from service.measurement_desk import read_calibration
from service.measurement_plans import RUNTIME_FACTS
from service.observations import observations_to_dict, observe
from service.parts import Parts
from service.profile_scope import HERE, ProfileScope, entries_of
from service.store import profiles, requests
from service.store.agents import Devices
from service.store.jobs import JobDraft, Jobs
from service.store.measurements import Calibrations, Measurements
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
    with parts.database.read() as session:
        entries = Profiles(session).entries(profile_id)
    if _device_is_unusable(entries):
        newest = _ended(entries)[0]
        detail = f"the device can't be used: {newest.outcome}: {newest.detail}; mend that and run it again"
        return _end(parts, profile_id, profiles.FAILED, detail)
    entry = next((each for each in entries if each.finished_at is None), None)
    if entry is None:
        return _end(parts, profile_id, profiles.DONE, "")
    moved = _begin(parts, profile_id, entry) if entry.state == profiles.WAITING else _close(parts, entry)
    if moved:
        parts.bell.ring()
    return moved and not stop.is_set()


def _end(parts: Parts, profile_id: str, state: str, detail: str) -> bool:
    with parts.database.write() as session:
        Profiles(session).end(profile_id, state, detail)
    return True


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


def _begin(parts: Parts, profile_id: str, entry: ProfileEntryRow) -> bool:
    with parts.database.write() as session:
        profile = Profiles(session).get(profile_id)
        if profile.state not in profiles.OPEN:
            return False  # cancelled since this step looked
        if Profiles(session).entry(entry.id).state != profiles.WAITING:
            return True  # ended since this step looked
        if entry.kind == profiles.BANDWIDTH:
            _begin_bandwidth(session, profile, entry)
        else:
            assert entry.candidate_digest is not None
            wish = (entry.candidate_digest, profile.device_id, entry.conditions, profile.fresh)
            request = MeasurementRequests(session).create(*wish)
            Profiles(session).start_entry(entry.id, request.id, None)
    return True


def _begin_bandwidth(session: Session, profile: DeviceProfileRow, entry: ProfileEntryRow) -> None:
    plan = BandwidthPlan(**entry.conditions)
    key = bandwidth_key(plan, Devices(session).get(profile.device_id))
    known = None if profile.fresh else Measurements(session).with_key(key)
    if known is not None:
        Profiles(session).start_entry(entry.id, None, None)
        Profiles(session).entry(entry.id).reused = True
        Profiles(session).end_entry(entry.id, known.kind, "", known.id)
        return
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


def bandwidth_key(plan: BandwidthPlan, device: DeviceRow) -> str:
    """Name a bandwidth measurement by everything that it depends on."""
    named = {
        "version": BANDWIDTH_KEY_VERSION,
        "plan": job_plan_to_dict(plan),
        "device": device.id,
        "runner": device.facts.get("runner"),
    }
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def _close(parts: Parts, entry: ProfileEntryRow) -> bool:
    if entry.request_id is not None:
        return _close_candidate(parts, entry, entry.request_id)
    with parts.database.write() as session:
        job = Jobs(session).get(entry.job_id or "")
        if job.state == CANCELLED:
            # Another profile's job that ended as this one joined it.
            Profiles(session).entry(entry.id).state = profiles.WAITING
            return True
        if job.state == DONE:
            Profiles(session).end_entry(entry.id, job.outcome, job.detail, job.measurement_id)
        return job.state == DONE


def _close_candidate(parts: Parts, entry: ProfileEntryRow, request_id: str) -> bool:
    with parts.database.read() as session:
        request = MeasurementRequests(session).get(request_id)
        if request.state in requests.OPEN:
            return False
        outcome, detail = _outcome_of(session, request)
        # The raw samples are read here, once: a page that looks again and again gets by with the numbers.
        observations = _observations(session, parts.measured, request)
    with parts.database.write() as session:
        row = Profiles(session).entry(entry.id)
        row.calibration_id = request.calibration_id
        row.reused = request.job_id is None and request.measurement_id is not None
        Profiles(session).end_entry(entry.id, outcome, detail, request.measurement_id, observations)
    return True


def _observations(session: Session, cache: MeasuredCache, request: MeasurementRequestRow) -> dict[str, Any]:
    """Return the paired numbers of a request's measurement by metric, as JSON values; none where it failed."""
    if request.measurement_id is None or request.calibration_id is None:
        return {}
    measured = cache.read(session, request.measurement_id)
    if measured is None:
        return {}
    reference = read_calibration(Calibrations(session).get(request.calibration_id)).reference
    return dict(observations_to_dict(observe(measured, reference, HERE)))


def _outcome_of(session: Session, request: MeasurementRequestRow) -> tuple[str, str]:
    """Say what became of a request, and why in a line."""
    if request.measurement_id is not None:
        found = Measurements(session).get(request.measurement_id)
        return found.kind, str((found.outcome or {}).get("reason", ""))
    if request.job_id is not None and (job := Jobs(session).get(request.job_id)).state == DONE:
        return job.outcome, job.detail
    if request.state == requests.FAILED and request.calibration_id is None:
        return NOT_CALIBRATED, request.detail
    return request.state, request.detail
