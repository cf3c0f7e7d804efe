"""Lead one study: each step does the next thing that its rows say is to be done."""

import shlex
import threading
import time

from sqlalchemy.orm import Session

from devices.service_link import LEASES_PER_DEVICE
from search.proposer import Proposal, Proposer, Told
from service.device_limits import too_many_threads
from service.known_layouts import NamedArchitecture
from service.leases import LARGEST_RUN_OF_FAULTS, RETRIED_KINDS, device_is_unusable
from service.measurement_desk import MeasurementDesk, Refused, device_target, read_calibration
from service.measurement_plans import Calibration
from service.parts import Parts
from service.quality_scores import QualityScores
from service.store import studies, trials
from service.store.agents import Devices
from service.store.measurements import Calibrations
from service.store.rows import DeviceRow, StudyRow
from service.store.shares import Shares
from service.store.studies import Studies
from service.store.trials import Candidates, TrialDraft, Trials
from service.study_file import StudyDefinition, Target, stored_study
from service.study_history import history_of
from service.study_repeats import StudyRepeats
from service.trial_run import BoundTarget, TrialRun


class StudyLead:
    """Leads one study from its rows alone: a new lead goes on exactly where the last one stopped."""

    def __init__(self, parts: Parts, study_id: str, stop: threading.Event) -> None:
        with parts.database.read() as session:
            row = Studies(session).find(study_id)
        self.parts = parts
        self.study_id = study_id
        self.definition = stored_study(row.document)
        self.desk = MeasurementDesk(parts, stop)
        quality = QualityScores(parts.database, stop)
        self.trial_run = TrialRun(parts, self.definition, self.desk, quality)
        self.repeats = StudyRepeats(parts, study_id)
        self._is_exhausted = False

    def step(self) -> bool:
        """Do the next thing; False when everything waits for devices."""
        with self.parts.database.read() as session:
            state = Studies(session).find(self.study_id).state
        steps = {
            studies.WAITING: self._bind_targets,
            studies.CALIBRATING: self._calibrate,
            studies.RUNNING: self._run,
            studies.REPEATING: self._repeat,
        }
        return steps[state]() if state in steps else False

    def _bind_targets(self) -> bool:
        with self.parts.database.write() as session:
            study = Studies(session)
            found = {target.name: find_device(session, target) for target in self.definition.targets}
            missing = next((name for name, device in found.items() if device is None), None)
            if missing is not None:
                study.note(self.study_id, f"waiting for the device of target {missing} to register")
                return False
            threads = self.definition.workload.threads
            fault = next(filter(None, (too_many_threads(device, threads) for device in found.values())), "")
            if fault:
                study.move(self.study_id, (studies.WAITING,), studies.FAILED, f"workload.threads: {fault}")
                return True
            if study.move(self.study_id, (studies.WAITING,), studies.CALIBRATING):
                for name, device in found.items():
                    study.bind_target(self.study_id, name, device.id if device else "")
        return True

    def _calibrate(self) -> bool:
        with self.parts.database.read() as session:
            since = Studies(session).find(self.study_id).resumed_at
            unpinned = [row for row in Studies(session).targets(self.study_id) if row.calibration_id is None]
            devices = {row.target: Devices(session).get(row.device_id) for row in unpinned}
        for name, device in devices.items():
            found = self.desk.calibrate(
                device_target(device), self.definition.conditions, self.study_id, since
            )
            if isinstance(found, Refused):
                told = f"`loopfront device log {shlex.quote(device.name)}` shows what ran"
                return self._fail(studies.CALIBRATING, f"{device.name}: {found.detail}; {told}")
            if isinstance(found, Calibration):
                self._pin(name, found)
        return self._run_when_calibrated()

    def _pin(self, target: str, calibration: Calibration) -> None:
        with self.parts.database.write() as session:
            Studies(session).pin_calibration(self.study_id, target, calibration.calibration_id)

    def _run_when_calibrated(self) -> bool:
        with self.parts.database.write() as session:
            if any(row.calibration_id is None for row in Studies(session).targets(self.study_id)):
                return False
            if not Studies(session).move(self.study_id, (studies.CALIBRATING,), studies.RUNNING):
                return True
            for reference in self.definition.references:
                add_known(session, self.study_id, trials.REFERENCE, reference)
            for enqueued in self.definition.enqueued:
                add_known(session, self.study_id, trials.ENQUEUED, enqueued)
        return True

    def _run(self) -> bool:
        with self.parts.database.read() as session:
            under_way = Trials(session).with_state(self.study_id, trials.RUNNING)
            waiting = Trials(session).with_state(self.study_id, trials.WAITING)
            ended = Trials(session).newest_ended(self.study_id, LARGEST_RUN_OF_FAULTS)
        if device_is_unusable([row.outcome for row in ended]):
            detail = f"the device can't be used: {ended[0].outcome}: {ended[0].detail}"
            return self._fail(studies.RUNNING, f"{detail}; mend that and resume the study")
        moved = [self._advance(trial.id) for trial in under_way]  # measured in turns, they end close together
        if any(moved):
            return True
        if len(under_way) >= LEASES_PER_DEVICE:
            return False
        if waiting:
            self.trial_run.launch(waiting[0].id, self._targets())
            return True
        return self._propose_or_end(is_last=not under_way)

    def _advance(self, trial_id: str) -> bool:
        targets = self._targets()
        if self.trial_run.is_ordered(trial_id, targets):
            return self.trial_run.close_if_answered(trial_id, targets)
        # The last leader stopped between two steps of this trial.
        self.trial_run.launch(trial_id, targets)
        return True

    def _propose_or_end(self, is_last: bool) -> bool:
        """Propose another candidate; once there are enough, end with the last that is under way."""
        started = time.perf_counter()
        with self.parts.database.read() as session:
            rows = Trials(session).of_study(self.study_id)
            counted = sum(row.kind != trials.REFERENCE for row in rows)
            study = Studies(session).find(self.study_id)
            enough = _enough(session, study, counted)
            waits = not is_last and (enough is not None or self._is_exhausted)
            history = [] if enough is not None or waits else history_of(session, rows)
        if waits:
            return False
        if enough is not None:
            return self._finish_or_repeat(enough)
        proposal = _proposer(self.definition, history).ask()
        if proposal is None:
            self._is_exhausted = True  # asking costs hundreds of draws, beside what is being measured
            return is_last and self._finish_or_repeat(f"the space is exhausted after {counted} trials")
        trial_id = self._add_proposed(proposal, started)
        self.trial_run.launch(trial_id, self._targets())
        return True

    def _add_proposed(self, proposal: Proposal, started: float) -> str:
        architecture = proposal.architecture
        with self.parts.database.write() as session:
            Candidates(session).keep(architecture.digest, architecture.layout, architecture.to_dict())
            draft = TrialDraft(trials.TRIAL, "", architecture.digest, proposal.parameters, trials.WAITING)
            row = Trials(session).add(self.study_id, draft)
            row.work_seconds = time.perf_counter() - started
        return row.id

    def _finish_or_repeat(self, detail: str) -> bool:
        with self.parts.database.write() as session:
            if Trials(session).with_state(self.study_id, trials.WAITING):
                return True  # enqueued since this step looked
            state = studies.REPEATING if self.repeats.are_wanted(session) else studies.FINISHED
            Studies(session).move(self.study_id, (studies.RUNNING,), state, detail)
        return True

    def _repeat(self) -> bool:
        if self.repeats.step():
            return True
        with self.parts.database.write() as session:
            # Not `are_done`: the job under way may have ended since `step` looked, with others still to be ordered.
            if self.repeats.are_wanted(session):
                return False
            Studies(session).move(self.study_id, (studies.REPEATING,), studies.FINISHED)
        return True

    def _fail(self, expected: str, detail: str) -> bool:
        with self.parts.database.write() as session:
            Studies(session).move(self.study_id, (expected,), studies.FAILED, detail)
        return True

    def _targets(self) -> list[BoundTarget]:
        with self.parts.database.read() as session:
            return bound_targets(session, self.study_id)


def bound_targets(session: Session, study_id: str) -> list[BoundTarget]:
    """Read a study's targets with their devices and pinned calibrations."""
    found = []
    for row in Studies(session).targets(study_id):
        if row.calibration_id is not None:
            calibration = read_calibration(Calibrations(session).get(row.calibration_id))
            device = device_target(Devices(session).get(row.device_id))
            found.append(BoundTarget(row.target, device, calibration))
    return found


def find_device(session: Session, target: Target) -> DeviceRow | None:
    """Find the device that a target means."""
    if target.device is not None:
        return Devices(session).by_name(target.device)
    return Devices(session).with_labels(dict(target.labels))


def add_known(session: Session, study_id: str, kind: str, known: NamedArchitecture) -> int:
    """Add a reference or a known layout to a study as a waiting trial; return its number."""
    architecture = known.architecture
    rows = Trials(session).of_study(study_id)
    is_reference = kind == trials.REFERENCE
    same = [
        row
        for row in rows
        if row.candidate_digest == architecture.digest and (row.kind == trials.REFERENCE) == is_reference
    ]
    if same:
        return same[0].number
    Candidates(session).keep(architecture.digest, architecture.layout, architecture.to_dict())
    draft = TrialDraft(kind, known.label, architecture.digest, {}, trials.WAITING)
    row = Trials(session).add(study_id, draft)
    row.detail = "; ".join(known.adaptations)
    return row.number


def resume(session: Session, study_id: str) -> None:
    """Let a study that was stopped go on; trials that failed by their device's doing are run again."""
    if not Studies(session).resume(study_id):
        return
    Trials(session).drop_cancelled(study_id)
    for row in Trials(session).with_state(study_id, trials.FAILED):
        if row.outcome in RETRIED_KINDS:
            Trials(session).put_back(row.id)
    for row in Trials(session).with_state(study_id, trials.RUNNING):
        Trials(session).put_back(row.id)


def _enough(session: Session, study: StudyRow, counted: int) -> str | None:
    """Say that a study has proposed all that it may, "" for its trials and in words for its minutes; None if not."""
    if counted >= study.trials_wanted:
        return ""
    minutes = study.device_minutes_wanted
    if minutes is not None and Shares(session).used_seconds(study.id) >= 60 * minutes:
        return f"its {minutes:g} device-minutes are used up after {counted} trials"
    return None


def _proposer(definition: StudyDefinition, history: list[Told]) -> Proposer:
    return Proposer(
        definition.space,
        definition.budget,
        definition.objectives,
        definition.constraints,
        definition.seed,
        history,
    )
