"""Read a profile's rows with what stands behind them: models, paired numbers and the memory's readings."""

from sqlalchemy.orm import Session

from devices.outcome import BandwidthMeasured, TeamReading
from operators.architecture import Architecture
from operators.notation import architecture_from_dict
from reports.rows import Cell
from search.observation import Observation
from service.measured_cache import read_outcome
from service.observations import observations_from_dict
from service.profile_scope import ProfileScope, scope_from_dict
from service.store import profiles
from service.store.profiles import Profiles
from service.store.rows import DeviceProfileRow, ProfileEntryRow
from service.store.trials import Candidates

Numbers = dict[str, Observation]


class ProfileReader:
    """A profile's rows with everything that stands behind them."""

    def __init__(self, session: Session, profile: DeviceProfileRow) -> None:
        self.session = session
        self.scope: ProfileScope = scope_from_dict(profile.scope)
        self.entries = Profiles(session).entries(profile.id)

    def architecture(self, entry: ProfileEntryRow) -> Architecture:
        """Give the model that an entry measures."""
        return architecture_from_dict(Candidates(self.session).get(entry.candidate_digest or "").architecture)

    def numbers(self, entry: ProfileEntryRow) -> Numbers | None:
        """Give an entry's paired numbers by metric, as any measurement's; None where there are none."""
        return observations_from_dict(entry.observations) or None

    def teams(self) -> tuple[TeamReading, ...]:
        """Give the readings of the memory."""
        entry = next(each for each in self.entries if each.kind == profiles.BANDWIDTH)
        if entry.measurement_id is None or entry.state != profiles.DONE:
            return ()
        outcome = read_outcome(self.session, entry.measurement_id)
        return outcome.teams if isinstance(outcome, BandwidthMeasured) else ()


def cell_of(observation: Observation) -> Cell:
    """Show a number with its interval."""
    return Cell(observation.value, observation.low, observation.high, observation.raw)
