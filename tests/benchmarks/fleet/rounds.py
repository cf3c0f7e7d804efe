"""What rounds of measurements hold, and how one number is read of each."""

from collections.abc import Callable
from dataclasses import dataclass

from devices.outcome import Measured, PhaseSamples
from devices.plan import SentinelReference
from devices.summary import summarise
from tests.benchmarks.fleet.agreement import Reading
from tests.benchmarks.fleet.taking import Taken


@dataclass(frozen=True)
class Rounds:
    """Every candidate's measurement in every round, candidates in their own order, and the sentinel's level."""

    reference: SentinelReference
    rounds: tuple[tuple[Taken, ...], ...]

    @property
    def span_s(self) -> float:
        """Seconds from the start of the first measurement to the start of the last."""
        starts = [taken.started_at_s for each in self.rounds for taken in each]
        return max(starts) - min(starts)

    @property
    def measured(self) -> list[list[Measured]]:
        """The measurements, round by round, of the candidates that were measured in every round."""
        whole = [one for one in zip(*self.rounds, strict=True) if all(taken.is_measured for taken in one)]
        return [[taken.measured for taken in each] for each in zip(*whole, strict=True)]

    def only(self, is_kept: Callable[[Measured], bool]) -> "Rounds":
        """Return the candidates of which every measurement is kept."""
        whole = [
            one
            for one in zip(*self.rounds, strict=True)
            if all(taken.is_measured and is_kept(taken.measured) for taken in one)
        ]
        return Rounds(self.reference, tuple(zip(*whole, strict=True)))

    def readings(self, read: Callable[[Measured], Reading]) -> list[list[Reading]]:
        """Read one number of every measurement."""
        return [[read(each) for each in one] for one in self.measured]


def raw(phase: Callable[[Measured], PhaseSamples]) -> Callable[[Measured], Reading]:
    """Return how the median time of a phase is read, as the device took it; it carries no interval."""
    return lambda measured: Reading(summarise(phase(measured)).raw_p50_ms)


def paired(phase: Callable[[Measured], PhaseSamples], reference_ms: float) -> Callable[[Measured], Reading]:
    """Return how the paired time of a phase is read, with its interval."""

    def read(measured: Measured) -> Reading:
        summary = summarise(phase(measured))
        return Reading(summary.ratio_median * reference_ms, summary.ratio_half_width)

    return read


def peak_rss(measured: Measured) -> Reading:
    """Read the peak memory in bytes."""
    return Reading(float(measured.memory.peak_rss_bytes))


def prefill(measured: Measured) -> PhaseSamples:
    """Return the samples that TTFT is made of."""
    return measured.prefill


def decode(measured: Measured) -> PhaseSamples:
    """Return the samples that TPOT is made of."""
    return measured.decode
