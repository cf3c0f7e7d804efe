"""Takes one measurement of the benchmark: with its retries, its raw samples and how long it took."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devices.bench import Bench
from devices.calibration import reference_from
from devices.measuring import measure, measure_in_steps
from devices.outcome import Measured, Outcome, outcome_from_dict, outcome_to_dict
from devices.plan import MeasurementPlan, SentinelReference
from devices.quiet import quiet_host
from devices.service_link import LEASES_PER_DEVICE
from devices.steps import Steps
from service.leases import RetryAfter, next_step
from tests.benchmarks.fleet.sample_folder import SampleFolder

Graph = Callable[[str], bytes]


@dataclass(frozen=True)
class Taken:
    """One measurement; `refusals` are the outcomes of attempts before, and `seconds` the device's of all of them."""

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

    def take_in_turns(
        self, wanted: Mapping[str, MeasurementPlan], bench: Bench, has_retries: bool = True
    ) -> dict[str, Taken]:
        """Measure as an agent does, a few at a time with their processes in turns; what failed is taken again."""
        left = deque(key for key in wanted if self.samples.get(key) is None)
        under_way: deque[_InTurns] = deque()
        while left or under_way:
            while left and len(under_way) < LEASES_PER_DEVICE:
                key = left.popleft()
                stop = threading.Event()
                steps = measure_in_steps(wanted[key], bench, self.graph, stop, 0)
                under_way.append(_InTurns(key, steps, time.time()))
            now_s = time.monotonic()
            one = min(under_way, key=lambda each: max(each.due_s, now_s))  # the first that is due
            under_way.remove(one)
            with quiet_host():
                outcome = one.step()
            if outcome is None:
                under_way.append(one)
            elif isinstance(outcome, Measured) or not has_retries:
                self.samples.put(one.key, _kept(outcome, one.started_at_s, one.seconds, one.refusals))
            else:
                self.samples.put(one.key, self._measured(wanted[one.key], bench, True, (outcome.kind,)))
        return {key: self.take(key, plan, bench) for key, plan in wanted.items()}

    def calibrated(self, key: str, plan: MeasurementPlan, bench: Bench) -> SentinelReference:
        """Measure the sentinel against itself and return its level."""
        return reference_from(self.take(key, plan, bench).measured)

    def _measured(
        self, plan: MeasurementPlan, bench: Bench, has_retries: bool, refused: Sequence[str] = ()
    ) -> dict[str, Any]:
        started_at_s, seconds, refusals = time.time(), 0.0, list(refused)
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
        return _kept(outcome, started_at_s, seconds, refusals)


@dataclass
class _InTurns:
    key: str
    steps: Steps[Outcome]
    started_at_s: float
    seconds: float = 0.0
    refusals: tuple[str, ...] = ()
    due_s: float = 0.0

    def step(self) -> Outcome | None:
        """Do the next step, once it is due."""
        time.sleep(max(0.0, self.due_s - time.monotonic()))
        began_s = time.monotonic()
        try:
            self.due_s = time.monotonic() + next(self.steps)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        finally:
            self.seconds += time.monotonic() - began_s
        return None


def _kept(outcome: Outcome, started_at_s: float, seconds: float, refusals: Sequence[str]) -> dict[str, Any]:
    return {
        "outcome": outcome_to_dict(outcome),
        "started_at_s": started_at_s,
        "seconds": seconds,
        "refusals": list(refusals),
    }
