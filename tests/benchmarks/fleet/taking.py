"""Takes one measurement of the benchmark: with its retries, its raw samples and how long it took."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from devices.bench import Bench
from devices.calibration import reference_from
from devices.measuring import measure
from devices.outcome import Measured, Outcome, outcome_from_dict, outcome_to_dict
from devices.plan import MeasurementPlan, SentinelReference
from devices.quiet import quiet_host
from service.leases import RetryAfter, next_step
from tests.benchmarks.fleet.sample_folder import SampleFolder

Graph = Callable[[str], bytes]


@dataclass(frozen=True)
class Taken:
    """One measurement; `refusals` are the outcomes of the attempts before, and `seconds` those of all attempts."""

    outcome: Outcome
    started_at_s: float
    seconds: float
    refusals: tuple[str, ...]

    @property
    def is_measured(self) -> bool:
        """Tell whether there are numbers."""
        return isinstance(self.outcome, Measured)

    @property
    def measured(self) -> Measured:
        """The numbers; a failure is an error of the benchmark's."""
        if not isinstance(self.outcome, Measured):
            raise RuntimeError(f"a candidate wasn't measured: {self.outcome.kind}: {self.outcome.reason}")
        return self.outcome


class Taker:
    """Measures with one run's samples, graphs and benches; what is kept already is not measured again."""

    def __init__(self, samples: SampleFolder, graph: Graph) -> None:
        self.samples = samples
        self.graph = graph

    def take(self, key: str, plan: MeasurementPlan, bench: Bench, has_retries: bool = True) -> Taken:
        """Measure, again after a failure as the service would; or read what was measured under this key."""
        kept = self.samples.once(key, lambda: self._measured(plan, bench, has_retries))
        outcome = outcome_from_dict(kept["outcome"])
        return Taken(outcome, kept["started_at_s"], kept["seconds"], tuple(kept["refusals"]))

    def calibrated(self, key: str, plan: MeasurementPlan, bench: Bench) -> SentinelReference:
        """Measure the sentinel against itself and return its level."""
        return reference_from(self.take(key, plan, bench).measured)

    def _measured(self, plan: MeasurementPlan, bench: Bench, has_retries: bool) -> dict[str, Any]:
        started_at_s, seconds, refusals = time.time(), 0.0, []
        while True:
            with quiet_host():
                began_s = time.monotonic()
                outcome = measure(plan, bench, self.graph)
                seconds += time.monotonic() - began_s
            step = next_step(outcome.kind, len(refusals) + 1)
            if not (has_retries and isinstance(step, RetryAfter)):
                break
            refusals.append(outcome.kind)
            time.sleep(step.delay_s)
        return {
            "outcome": outcome_to_dict(outcome),
            "started_at_s": started_at_s,
            "seconds": seconds,
            "refusals": refusals,
        }
