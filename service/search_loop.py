"""The thread that moves studies, profiles and measurement requests on, one step at a time, as their leader."""

import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog
from sqlalchemy.exc import SQLAlchemyError

from devices.errors import DeviceError
from operators.errors import OperatorError
from search.errors import SearchError
from service.errors import LeadLost, ServiceError, StorageTrouble
from service.leadership import Leadership
from service.parts import Parts
from service.profile_lead import step_profile
from service.request_lead import step_request
from service.store import profiles, requests, studies
from service.store.events import Events
from service.store.garbage import remove_garbage
from service.store.leads import SINGLES, LedDatabase
from service.store.profiles import Profiles
from service.store.requests import MeasurementRequests
from service.store.studies import Studies
from service.store.trials import Trials
from service.study_lead import StudyLead

LOOK_AGAIN_S = 1.0
PAUSE_AFTER_STORAGE_TROUBLE_S = 5.0
TIDY_AFTER_S, TIDY_EVERY_S = 300.0, 3600.0
TIDYING = "tidying"

log = structlog.get_logger()


class SearchLoop:
    """Leads what has work and no other leader. Its only memory is a cache: the rows say what is next."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._stop = threading.Event()
        self._leadership = Leadership(parts.database, parts.settings.lead_seconds)
        self._claimed: dict[str, LedDatabase] = {}
        self._leads: dict[str, StudyLead] = {}
        self._singles: Parts | None = None
        self._tidy_at_s = time.monotonic() + TIDY_AFTER_S
        self._thread = threading.Thread(target=self._run, name="search-loop", daemon=True)

    @property
    def is_alive(self) -> bool:
        """False when the thread ended."""
        return self._thread.is_alive()

    @property
    def leader(self) -> str:
        """The name under which this process leads."""
        return self._leadership.leader

    def start(self) -> None:
        """Start leading."""
        self._leadership.start()
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End after the step under way; whatever it leaves undone, the next leader does."""
        self._stop.set()
        self.parts.bell.ring_here()
        self._thread.join(timeout_s)
        self._leadership.stop()

    def _run(self) -> None:
        while not self._stop.is_set():
            seen = self.parts.bell.rings
            if not self._round_with_patience():
                self.parts.bell.wait_beyond(seen, LOOK_AGAIN_S)

    def _round_with_patience(self) -> bool:
        try:
            return self._round()
        except _OWN_TROUBLE as error:
            log.error("storage trouble, trying again", error=str(error).splitlines()[0])
            self._stop.wait(PAUSE_AFTER_STORAGE_TROUBLE_S)
            return False

    def _round(self) -> bool:
        with self.parts.database.read() as session:
            request_ids = [row.id for row in MeasurementRequests(session).open()]
            profile_ids = [row.id for row in Profiles(session).open()]
            study_ids = [row.id for row in Studies(session).active()]
        moved = [self._step_request(each) for each in request_ids]
        moved += [self._step_profile(each) for each in profile_ids]
        self._forget_all_but(study_ids)
        moved += [self._step_study(each) for each in self._led(study_ids)]
        self._tidy_when_due()
        return any(moved) and not self._stop.is_set()

    def _tidy_when_due(self) -> None:
        """Remove what nothing refers to any more and what is too old; of several processes one at a time does."""
        if time.monotonic() < self._tidy_at_s:
            return
        self._tidy_at_s = time.monotonic() + TIDY_EVERY_S
        if self._leadership.claim(TIDYING) is None:
            return
        try:
            removed = remove_garbage(self.parts.database, self.parts.blobs)
            with self.parts.database.write() as session:
                Events(session).forget_old()
            log.info("blobs that nothing refers to were removed", count=removed)
        finally:
            self._leadership.give_back(TIDYING)

    def _led(self, study_ids: Sequence[str]) -> Iterator[str]:
        """Give the studies that this process leads; of those without a leader it takes one a round, to share them."""
        has_claimed = False
        for study_id in study_ids:
            if not self._leadership.holds(study_id):
                if has_claimed or not self._claim(study_id):
                    continue
                has_claimed = True
            yield study_id

    def _claim(self, study_id: str) -> bool:
        self._forget(study_id)
        database = self._leadership.claim(study_id)
        if database is None:
            return False
        self._claimed[study_id] = database
        return True

    def _forget_all_but(self, study_ids: Sequence[str]) -> None:
        for study_id in self._claimed.keys() - set(study_ids):
            self._forget(study_id)
            self._leadership.give_back(study_id)

    def _forget(self, study_id: str) -> None:
        self._claimed.pop(study_id, None)
        self._leads.pop(study_id, None)

    def _step_study(self, study_id: str) -> bool:
        try:
            return self._lead_of(study_id).step()
        except _OWN_TROUBLE:
            raise
        except LeadLost:
            self._leadership.give_back(study_id)  # the next round claims it anew, once it is free
            return False
        except Exception as error:  # one study's trouble must not end the others
            if self._stop.is_set():
                return False
            self._tell("study", study_id, error)
            with self.parts.database.write() as session:
                Studies(session).move(study_id, studies.ACTIVE, studies.FAILED, _in_a_line(error))
            return True

    def _lead_of(self, study_id: str) -> StudyLead:
        if study_id not in self._leads:
            database = self._claimed[study_id]
            with database.write() as session:
                Trials(session).restart_clocks(study_id)
            self._leads[study_id] = StudyLead(replace(self.parts, database=database), study_id, self._stop)
        return self._leads[study_id]

    def _parts_of_singles(self) -> Parts | None:
        """Give the parts through which single measurements are led; None while another process leads them."""
        if self._singles is None or not self._leadership.holds(SINGLES):
            database = self._leadership.claim(SINGLES)
            self._singles = replace(self.parts, database=database) if database is not None else None
        return self._singles

    def _step_request(self, request_id: str) -> bool:
        parts = self._parts_of_singles()
        if parts is None:
            return False
        try:
            return step_request(parts, request_id, self._stop)
        except _OWN_TROUBLE:
            raise
        except LeadLost:
            return False
        except Exception as error:  # as above
            if self._stop.is_set():
                return False
            self._tell("request", request_id, error)
            with suppress(LeadLost), parts.database.write() as session:
                MeasurementRequests(session).end(request_id, requests.FAILED, _in_a_line(error))
            return True

    def _step_profile(self, profile_id: str) -> bool:
        parts = self._parts_of_singles()
        if parts is None:
            return False
        try:
            return step_profile(parts, profile_id, self._stop)
        except _OWN_TROUBLE:
            raise
        except LeadLost:
            return False
        except Exception as error:  # as above
            if self._stop.is_set():
                return False
            self._tell("profile", profile_id, error)
            with suppress(LeadLost), parts.database.write() as session:
                Profiles(session).end(profile_id, profiles.FAILED, _in_a_line(error))
            return True

    def _tell(self, what: str, identifier: str, error: Exception) -> None:
        expected = isinstance(error, ServiceError | DeviceError | OperatorError | SearchError)
        trace = "" if expected else traceback.format_exc()
        log.error(f"{what} failed", id=identifier, error=_in_a_line(error), trace=trace)


_OWN_TROUBLE = (SQLAlchemyError, StorageTrouble, OSError)


def _in_a_line(error: Exception) -> str:
    text = str(error) or type(error).__name__
    known = isinstance(error, ServiceError | DeviceError | OperatorError | SearchError)
    return text if known else f"an error of Loopfront's own: {type(error).__name__}: {text}"
