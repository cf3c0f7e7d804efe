"""Draws candidates of one size as a search does, and plans them as the service does."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from devices.plan import MeasurementPlan, SentinelReference, from_dict, to_dict
from operators.architecture import Architecture
from operators.cost import parameters
from operators.lowering import LoweredGraph
from search.parametrisation import Parametrisation
from search.sampling import random_parameters
from service.demo_run import packaged_study
from service.measurement_plans import (
    Calibration,
    Conditions,
    calibration_plan,
    candidate_plan,
    lower_model,
    lower_sentinel,
)
from service.study_file import StudyDefinition, read_study
from tests.benchmarks.fleet.sample_folder import SampleFolder

SEED = 4
_NO_CALIBRATION = Calibration("not yet", SentinelReference(1.0, 1.0))


@dataclass(frozen=True)
class Candidate:
    """A candidate with the plan that users' candidates get, still without the sentinel's level on this machine."""

    name: str
    layout: str
    parameters: int
    plan: MeasurementPlan

    def calibrated(self, reference: SentinelReference) -> MeasurementPlan:
        """Return the plan to measure by."""
        return replace(self.plan, sentinel_reference=reference)


class Candidates:
    """The candidates of one run, their graphs and the sentinel's; made once and kept beside the samples."""

    def __init__(self, samples: SampleFolder, count: int) -> None:
        self._samples = samples
        self._graphs = samples.folder / "graphs"
        self._graphs.mkdir(exist_ok=True)
        self._study = read_study(packaged_study())
        self._conditions = Conditions(self._study.workload, self._study.precision)
        self.sentinel_plan = from_dict(samples.once("plans/sentinel", self._planned_sentinel))
        drawn = architectures(self._study, count)
        self.all = tuple(self._candidate(f"{number:02}", each) for number, each in enumerate(drawn))

    def graph(self, sha256: str) -> bytes:
        """Return a graph by its digest."""
        return (self._graphs / f"{sha256}.onnx").read_bytes()

    def words(self) -> str:
        """Say what was drawn: sizes and how many candidates use each mixer."""
        sizes = [each.parameters / 1e6 for each in self.all]
        uses = Counter(code for each in self.all for code in set(each.layout))
        mixers = ", ".join(f"{code} in {count}" for code, count in sorted(uses.items()))
        return f"{len(self.all)} candidates of {min(sizes):.2f} to {max(sizes):.2f} M parameters, mixers {mixers}"

    def _candidate(self, name: str, architecture: Architecture) -> Candidate:
        kept = self._samples.once(f"plans/{name}", lambda: self._planned(architecture))
        return Candidate(name, kept["layout"], kept["parameters"], from_dict(kept["plan"]))

    def _planned_sentinel(self) -> dict[str, object]:
        self._keep_graph(lower_sentinel(self._study.workload).graph)
        return to_dict(calibration_plan(self._conditions))

    def _planned(self, architecture: Architecture) -> dict[str, object]:
        lowered = lower_model("candidate", architecture, self._study.precision, self._study.workload)
        self._keep_graph(lowered.graph)
        plan = candidate_plan(architecture, lowered, self._conditions, _NO_CALIBRATION)
        total = parameters(architecture).total
        return {"layout": architecture.layout, "parameters": total, "plan": to_dict(plan)}

    def _keep_graph(self, graph: LoweredGraph) -> None:
        (self._graphs / f"{graph.digest}.onnx").write_bytes(graph.onnx_bytes)


def architectures(study: StudyDefinition, count: int) -> list[Architecture]:
    """Draw candidates of a study's space at random, each once."""
    found: dict[str, Architecture] = {}
    for architecture in _drawn(study):
        found.setdefault(architecture.digest, architecture)
        if len(found) == count:
            break
    return list(found.values())


def _drawn(study: StudyDefinition) -> Iterator[Architecture]:
    space, random = Parametrisation.of(study.space, study.budget), np.random.default_rng(SEED)
    while True:
        yield space.decode(random_parameters(space.dimensions, random))
