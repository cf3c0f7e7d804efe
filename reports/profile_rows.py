"""The plain rows of a device's profile: its bandwidth, what each mixer costs on it, how fast known shapes are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reports.rows import Cell


@dataclass(frozen=True)
class BandwidthRow:
    """The memory's bandwidth for a number of threads, in bytes per second: the fastest reading and the median."""

    threads: int
    best: float
    median: float
    readings: int
    bytes_read: int


@dataclass(frozen=True)
class CostRow:
    """What one further mixer costs at one place, a prefill or a decode step at a depth.

    `milliseconds` is its time, `ratio` how many short convs that is, `bandwidth_share` how near a decode step's bytes
    come to the memory's bandwidth. Where a number is missing, `outcome` and `detail` say why.
    """

    place: str
    tokens: int
    milliseconds: Cell | None = None
    ratio: Cell | None = None
    bandwidth_share: Cell | None = None
    outcome: str = ""
    detail: str = ""


@dataclass(frozen=True)
class MixerCostRow:
    """One mixer at the width that all have in common, timed by the difference between few and many copies."""

    code: str
    name: str
    sizes: str
    parameters: int
    few_copies: int
    many_copies: int
    costs: tuple[CostRow, ...]


@dataclass(frozen=True)
class ShapeRow:
    """A published model's shape: its speeds and memory, or what became of the attempt."""

    name: str
    layout: str
    total_parameters: int
    bytes_per_token: int
    state: str
    prefill_per_second: Cell | None = None
    decode_per_second: Cell | None = None
    peak_rss_mb: Cell | None = None
    bandwidth_share: Cell | None = None
    outcome: str = ""
    detail: str = ""


@dataclass(frozen=True)
class EntryRow:
    """One measurement of the profile: what it is, how it went, how long it took; `reused` was known before."""

    label: str
    state: str
    outcome: str = ""
    detail: str = ""
    seconds: float | None = None
    reused: bool = False


@dataclass(frozen=True)
class ProfileReport:
    """Everything that a profile shows; while it is measured what is not known yet is missing."""

    device: str
    state: str
    detail: str
    created_at: str
    finished_at: str | None
    width: int
    prompt_tokens: int
    contexts: tuple[int, ...]
    threads: int
    precision: str
    bandwidth: tuple[BandwidthRow, ...]
    mixers: tuple[MixerCostRow, ...]
    shapes: tuple[ShapeRow, ...]
    entries: tuple[EntryRow, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    step: str = ""
    seconds_left: float | None = None

    @property
    def is_running(self) -> bool:
        """Tell whether more is to come."""
        return self.state == "running"

    @property
    def entries_done(self) -> int:
        """Count the measurements that have ended, however."""
        return sum(entry.state in {"done", "failed"} for entry in self.entries)

    @property
    def impossible(self) -> tuple[str, ...]:
        """Name what seems faster than the memory allows: there the caches answered, or something is wrong."""
        shapes = [row.name for row in self.shapes if _is_impossible(row.bandwidth_share)]
        mixers = [
            f"{row.name}, {cost.place}"
            for row in self.mixers
            for cost in row.costs
            if _is_impossible(cost.bandwidth_share)
        ]
        return (*shapes, *mixers)


def _is_impossible(share: Cell | None) -> bool:
    return share is not None and share.value > 1
