"""The thread that moves every study, profile and measurement request on, one step at a time."""

import threading
import traceback

import structlog
from sqlalchemy.exc import SQLAlchemyError

from devices.errors import DeviceError
from operators.errors import OperatorError
from search.errors import SearchError
from service.errors import ServiceError, StorageFull
from service.parts import Parts
from service.profile_lead import step_profile
from service.request_lead import step_request
from service.store import profiles, requests, studies
from service.store.profiles import Profiles
from service.store.requests import MeasurementRequests
from service.store.studies import Studies
from service.store.trials import Trials
from service.study_lead import StudyLead

LOOK_AGAIN_S = 1.0
PAUSE_AFTER_STORAGE_TROUBLE_S = 5.0

log = structlog.get_logger()


class SearchLoop:
    """Leads everything that has work. Its only memory is a cache: the rows say what is next."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._stop = threading.Event()
        self._leads: dict[str, StudyLead] = {}
        self._thread = threading.Thread(target=self._run, name="search-loop", daemon=True)

    @property
    def is_alive(self) -> bool:
        """False when the thread ended."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start leading."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End after the step under way; whatever it leaves undone, the next start does."""
        self._stop.set()
        self.parts.bell.ring()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            seen = self.parts.bell.rings
            if not self._round_with_patience():
                self.parts.bell.wait_beyond(seen, LOOK_AGAIN_S)

    def _round_with_patience(self) -> bool:
        try:
            return self._round()
        except (SQLAlchemyError, StorageFull, OSError) as error:
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
        moved += [self._step_study(each) for each in study_ids]
        return any(moved) and not self._stop.is_set()

    def _step_study(self, study_id: str) -> bool:
        try:
            return self._lead_of(study_id).step()
        except _OWN_TROUBLE:
            raise
        except Exception as error:  # one study's trouble must not end the others
            if self._stop.is_set():
                return False
            self._tell("study", study_id, error)
            with self.parts.database.write() as session:
                Studies(session).move(study_id, studies.ACTIVE, studies.FAILED, _in_a_line(error))
            return True

    def _lead_of(self, study_id: str) -> StudyLead:
        if study_id not in self._leads:
            with self.parts.database.write() as session:
                Trials(session).restart_clocks(study_id)
            self._leads[study_id] = StudyLead(self.parts, study_id, self._stop)
        return self._leads[study_id]

    def _step_request(self, request_id: str) -> bool:
        try:
            return step_request(self.parts, request_id, self._stop)
        except _OWN_TROUBLE:
            raise
        except Exception as error:  # as above
            if self._stop.is_set():
                return False
            self._tell("request", request_id, error)
            with self.parts.database.write() as session:
                MeasurementRequests(session).end(request_id, requests.FAILED, _in_a_line(error))
            return True

    def _step_profile(self, profile_id: str) -> bool:
        try:
            return step_profile(self.parts, profile_id, self._stop)
        except _OWN_TROUBLE:
            raise
        except Exception as error:  # as above
            if self._stop.is_set():
                return False
            self._tell("profile", profile_id, error)
            with self.parts.database.write() as session:
                Profiles(session).end(profile_id, profiles.FAILED, _in_a_line(error))
            return True

    def _tell(self, what: str, identifier: str, error: Exception) -> None:
        expected = isinstance(error, ServiceError | DeviceError | OperatorError | SearchError)
        trace = "" if expected else traceback.format_exc()
        log.error(f"{what} failed", id=identifier, error=_in_a_line(error), trace=trace)


_OWN_TROUBLE = (SQLAlchemyError, StorageFull, OSError)


def _in_a_line(error: Exception) -> str:
    text = str(error) or type(error).__name__
    known = isinstance(error, ServiceError | DeviceError | OperatorError | SearchError)
    return text if known else f"an error of Loopfront's own: {type(error).__name__}: {text}"
