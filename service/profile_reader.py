"""Read a profile's rows with everything that stands behind them: models, measurements and paired numbers."""

from sqlalchemy.orm import Session

from devices.outcome import BandwidthMeasured, Measured, TeamReading, outcome_from_dict
from operators.architecture import Architecture
from operators.notation import architecture_from_dict
from reports.rows import Cell
from search.observation import Observation
from service.measured_cache import MeasuredCache
from service.measurement_desk import read_calibration
from service.observations import observe
from service.profile_scope import ProfileScope, scope_from_dict
from service.store import profiles
from service.store.measurements import Calibrations, Measurements
from service.store.profiles import Profiles
from service.store.rows import DeviceProfileRow, ProfileEntryRow
from service.store.trials import Candidates

HERE = "here"
"""The target's name within a profile, which has only one."""

Numbers = dict[str, Observation]


class ProfileReader:
    """A profile's rows with everything that stands behind them."""

    def __init__(self, session: Session, cache: MeasuredCache, profile: DeviceProfileRow) -> None:
        self.session, self.cache = session, cache
        self.profile = profile
        self.scope: ProfileScope = scope_from_dict(profile.scope)
        self.entries = Profiles(session).entries(profile.id)

    def architecture(self, entry: ProfileEntryRow) -> Architecture:
        """Give the model that an entry measures."""
        return architecture_from_dict(Candidates(self.session).get(entry.candidate_digest or "").architecture)

    def measured(self, entry: ProfileEntryRow) -> Measured | None:
        """Give what was measured for an entry; None while there is nothing, or it failed."""
        if entry.measurement_id is None or entry.state != profiles.DONE:
            return None
        return self.cache.read(self.session, entry.measurement_id)

    def numbers(self, entry: ProfileEntryRow) -> Numbers | None:
        """Give an entry's paired numbers by metric, as any measurement's."""
        measured = self.measured(entry)
        if measured is None or entry.calibration_id is None:
            return None
        reference = read_calibration(Calibrations(self.session).get(entry.calibration_id)).reference
        return observe(measured, reference, HERE)

    def teams(self) -> tuple[TeamReading, ...]:
        """Give the readings of the memory."""
        entry = next(each for each in self.entries if each.kind == profiles.BANDWIDTH)
        if entry.measurement_id is None or entry.state != profiles.DONE:
            return ()
        outcome = outcome_from_dict(Measurements(self.session).get(entry.measurement_id).outcome)
        return outcome.teams if isinstance(outcome, BandwidthMeasured) else ()


def cell_of(observation: Observation) -> Cell:
    """Show a number with its interval."""
    return Cell(observation.value, observation.low, observation.high, observation.raw)
