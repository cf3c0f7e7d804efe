"""Times what one candidate costs outside its measurement and its scoring: propose, build, lower, expected output."""

import statistics
import time
from dataclasses import dataclass

from devices.plan import SentinelReference, to_dict
from search.proposer import Proposer, Scored, Told
from service.demo_run import packaged_study
from service.measurement_plans import (
    Calibration,
    Conditions,
    calibration_plan,
    candidate_plan,
    lower_model,
)
from service.study_file import StudyDefinition, read_study

CANDIDATES = 20
STEPS = ("propose", "lower", "plan")


@dataclass(frozen=True)
class OverheadFigures:
    """Seconds per candidate and step."""

    seconds: dict[str, list[float]]

    def lines(self) -> list[str]:
        """Return medians and maxima as text."""
        rows = [
            f"{step:8} {statistics.median(values):7.3f} s median {max(values):7.3f} s largest"
            for step, values in self.seconds.items()
        ]
        totals = [sum(parts) for parts in zip(*self.seconds.values(), strict=True)]
        total = f"together {statistics.median(totals):7.3f} s median {max(totals):7.3f} s largest, bound 1 s"
        return [*rows, f"{total}, {len(totals)} candidates"]


def measure_overhead() -> OverheadFigures:
    """Propose, lower and plan candidates of the pocket study; made-up objective values move the sampler on."""
    study = read_study(packaged_study())
    proposer = Proposer(study.space, study.budget, study.objectives, study.constraints, study.seed)
    calibration_plan(Conditions(study.workload, study.precision))  # as in a study, before its first candidate
    seconds: dict[str, list[float]] = {step: [] for step in STEPS}
    for number in range(CANDIDATES):
        for step, spent in _one_candidate(study, proposer, number).items():
            seconds[step].append(spent)
    return OverheadFigures(seconds)


def _one_candidate(study: StudyDefinition, proposer: Proposer, number: int) -> dict[str, float]:
    conditions = Conditions(study.workload, study.precision)
    calibration = Calibration("benchmark", SentinelReference(prefill_ms=220.0, decode_ms=4.0))
    marks = [time.perf_counter()]
    proposal = proposer.ask()
    assert proposal is not None
    marks.append(time.perf_counter())
    lowered = lower_model("candidate", proposal.architecture, study.precision, study.workload)
    marks.append(time.perf_counter())
    to_dict(candidate_plan(proposal.architecture, lowered, conditions, calibration))
    marks.append(time.perf_counter())
    values = {objective.name: float(1 + number) for objective in study.objectives}
    proposer.tell(Told(proposal.architecture, Scored(values), proposal.parameters))
    return {step: after - before for step, before, after in zip(STEPS, marks, marks[1:], strict=False)}
