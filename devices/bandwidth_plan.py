"""The plan of a bandwidth measurement, and how it is told from that of a candidate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from devices.errors import PlanError
from devices.plan import MeasurementPlan, from_dict, to_dict
from devices.strict_reading import read, write

LEAST_BUFFER_BYTES = 1 << 20
LARGEST_TEAM = 256


@dataclass(frozen=True)
class BandwidthPlan:
    """Read a buffer that is larger than the caches with one thread, and with `threads` threads, in turn.

    Each of `processes` fresh processes reads it `repetitions` times with either, after once that does not count;
    `deadline_s` bounds each process by itself.
    """

    kind: ClassVar[str] = "bandwidth"
    buffer_bytes: int
    threads: int
    repetitions: int
    processes: int
    deadline_s: float

    def __post_init__(self) -> None:
        bounds = {
            "buffer_bytes": (LEAST_BUFFER_BYTES, 1 << 40),
            "threads": (1, LARGEST_TEAM),
            "repetitions": (1, 1000),
            "processes": (1, 100),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise PlanError(f"bandwidth plan: {name}: expected {least} to {most}, got {value}")
        if self.deadline_s <= 0:
            raise PlanError(f"bandwidth plan: deadline_s: must be positive, got {self.deadline_s}")

    @property
    def teams(self) -> tuple[int, ...]:
        """The numbers of threads that read."""
        return (1, self.threads) if self.threads > 1 else (1,)


JobPlan = MeasurementPlan | BandwidthPlan


def job_plan_to_dict(plan: JobPlan) -> dict[str, Any]:
    """Write the plan of a job as plain JSON values; a bandwidth plan says its kind."""
    return {"kind": plan.kind, **write(plan)} if isinstance(plan, BandwidthPlan) else to_dict(plan)


def job_plan_from_dict(mapping: Mapping[str, object]) -> JobPlan:
    """Read a plan that `job_plan_to_dict` wrote; raise PlanError naming the place of anything unexpected."""
    if mapping.get("kind") != BandwidthPlan.kind:
        return from_dict(mapping)
    return read(
        BandwidthPlan, {key: value for key, value in mapping.items() if key != "kind"}, "bandwidth plan"
    )
