"""What became of a measurement: the numbers with their evidence, or a typed failure with its log."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from devices.errors import PlanError
from devices.strict_reading import read, write


@dataclass(frozen=True)
class BlockSamples:
    """Consecutive runs of the candidate and of the sentinel; who went first alternates."""

    candidate_ms: tuple[float, ...]
    sentinel_ms: tuple[float, ...]
    candidate_first: bool

    def __post_init__(self) -> None:
        if not self.candidate_ms or not self.sentinel_ms:
            raise PlanError("block: at least one sample of the candidate and of the sentinel is needed")
        if min(self.candidate_ms) <= 0 or min(self.sentinel_ms) <= 0:
            raise PlanError("block: a duration is not positive")


@dataclass(frozen=True)
class ProcessSamples:
    """The blocks of one fresh process."""

    blocks: tuple[BlockSamples, ...]

    def __post_init__(self) -> None:
        if not self.blocks:
            raise PlanError("process: at least one block is needed")


@dataclass(frozen=True)
class PhaseSamples:
    """All processes of one phase, prefill or decode, in the order they ran."""

    processes: tuple[ProcessSamples, ...]

    def __post_init__(self) -> None:
        if not self.processes:
            raise PlanError("phase: at least one process is needed")


@dataclass(frozen=True)
class DeeperDecode:
    """Decode at one of the workload's deeper contexts; the sentinel stayed at the shallowest."""

    context_tokens: int
    phase: PhaseSamples


@dataclass(frozen=True)
class MemoryReading:
    """Resident memory of a process that holds the candidate alone, in bytes.

    `process_bytes` is the level before the model is loaded; load, prefill and decode are the kernel's
    high-water marks of each phase; `anonymous_bytes` is what was resident and anonymous after decode.
    """

    process_bytes: int
    load_bytes: int
    prefill_bytes: int
    decode_bytes: int
    peak_rss_bytes: int
    anonymous_bytes: int


@dataclass(frozen=True)
class Measured:
    """Every raw sample, and the passport that says under which conditions they were taken.

    `cosine` has one value per row of the plan's output check and is empty if the plan had none.
    """

    kind: ClassVar[str] = "measured"
    prefill: PhaseSamples
    decode: PhaseSamples
    memory: MemoryReading
    cosine: tuple[float, ...]
    passport: Mapping[str, Any]
    seconds: float
    log: str = ""
    deeper: tuple[DeeperDecode, ...] = ()


@dataclass(frozen=True)
class TeamReading:
    """How long `threads` threads took to read `bytes_read` bytes of memory together, every time they did."""

    threads: int
    bytes_read: int
    read_ms: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.threads < 1 or self.bytes_read < 1 or not self.read_ms or min(self.read_ms) <= 0:
            raise PlanError(f"reading by {self.threads} threads: sizes and times must be positive")

    @property
    def bytes_per_second(self) -> tuple[float, ...]:
        """The bandwidth of each reading."""
        return tuple(1e3 * self.bytes_read / each for each in self.read_ms)


@dataclass(frozen=True)
class BandwidthMeasured:
    """The memory's bandwidth: every reading by one thread, and by the number of threads that was asked for."""

    kind: ClassVar[str] = "bandwidth_measured"
    teams: tuple[TeamReading, ...]
    passport: Mapping[str, Any]
    seconds: float
    log: str = ""

    def __post_init__(self) -> None:
        if not self.teams:
            raise PlanError("bandwidth: at least one team's readings are needed")


@dataclass(frozen=True)
class _Failed:
    """Why there are no numbers, in a line, and the end of what ran."""

    reason: str
    log: str


@dataclass(frozen=True)
class OutOfMemory(_Failed):
    """The candidate needs more memory than the device or the plan allows."""

    kind: ClassVar[str] = "out_of_memory"


@dataclass(frozen=True)
class TimedOut(_Failed):
    """The runner passed its deadline."""

    kind: ClassVar[str] = "timed_out"


@dataclass(frozen=True)
class Unsupported(_Failed):
    """The runtime refused the graph."""

    kind: ClassVar[str] = "unsupported"


@dataclass(frozen=True)
class WrongOutput(_Failed):
    """The graph ran and answered something else than the reference: a bug of ours."""

    kind: ClassVar[str] = "wrong_output"


@dataclass(frozen=True)
class NotReady(_Failed):
    """The device stayed too hot, too busy, too full or too empty of charge, or nothing could keep it quiet."""

    kind: ClassVar[str] = "not_ready"


@dataclass(frozen=True)
class Throttled(_Failed):
    """The sentinel was far slower than its calibration, so the device is hot or disturbed."""

    kind: ClassVar[str] = "throttled"


@dataclass(frozen=True)
class RunnerFault(_Failed):
    """The runner ended without its proof of success; `of_device` is False where that was not the device's doing."""

    of_device: bool = True
    kind: ClassVar[str] = "runner_fault"


@dataclass(frozen=True)
class DeviceLost(_Failed):
    """The device went away in the middle."""

    kind: ClassVar[str] = "device_lost"


Failure = OutOfMemory | TimedOut | Unsupported | WrongOutput | NotReady | Throttled | RunnerFault | DeviceLost
Outcome = Measured | BandwidthMeasured | Failure

OUTCOMES: dict[str, type[Outcome]] = {
    "measured": Measured,
    "bandwidth_measured": BandwidthMeasured,
    "out_of_memory": OutOfMemory,
    "timed_out": TimedOut,
    "unsupported": Unsupported,
    "wrong_output": WrongOutput,
    "not_ready": NotReady,
    "throttled": Throttled,
    "runner_fault": RunnerFault,
    "device_lost": DeviceLost,
}

# Beside a healthy sentinel these are the candidate's own doing and teach the sampler; the others are retried.
CANDIDATE_FAULTS: frozenset[str] = frozenset({"out_of_memory", "unsupported", "timed_out"})


def outcome_to_dict(outcome: Outcome) -> dict[str, Any]:
    """Write an outcome as plain JSON values, its kind first."""
    return {"kind": outcome.kind, **write(outcome)}


def outcome_from_dict(mapping: Mapping[str, Any]) -> Outcome:
    """Read an outcome that `outcome_to_dict` wrote; raise PlanError at anything unexpected."""
    kind = mapping.get("kind")
    if kind not in OUTCOMES:
        raise PlanError(f"outcome.kind: expected one of {', '.join(OUTCOMES)}, got {kind!r}")
    fields = {key: value for key, value in mapping.items() if key != "kind"}
    return read(OUTCOMES[kind], fields, "outcome")
