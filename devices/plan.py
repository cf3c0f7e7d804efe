"""The measurement plan: everything an agent must know to measure one candidate on one device."""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from devices.errors import PlanError
from devices.strict_reading import read, write

POOL_ALIGNMENT_BYTES = 4096
LARGEST_GRAPH_BYTES = 4_000_000
"""Graphs of 2 B parameters have 0.1 MB: their weights are made on the device."""

Profile = Literal["as-shipped", "lab"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise PlanError(message)


def _require_sha256(value: str, name: str) -> None:
    _require(
        re.fullmatch(r"[0-9a-f]{64}", value) is not None, f"{name}: expected 64 hex digits, got {value!r}"
    )


@dataclass(frozen=True)
class PoolSection:
    """One stretch of the weight pool: `count` random bytes or nibbles, or `count` float32 uniform in [low, high).

    Nibbles are bytes whose halves are 1 to 15, 8 twice as often: int4 codes centred on their zero point.
    """

    kind: Literal["bytes", "nibbles", "uniform"]
    count: int
    low: float = 0.0
    high: float = 0.0

    def __post_init__(self) -> None:
        _require(self.count > 0, f"pool section: count must be positive, got {self.count}")
        _require(self.low <= self.high, f"pool section: low {self.low} is above high {self.high}")

    @property
    def size_bytes(self) -> int:
        """The section's length, without the padding that follows it."""
        return 4 * self.count if self.kind == "uniform" else self.count

    @property
    def text(self) -> str:
        """The section as the runner's plan and the pool's digest write it; floats keep every bit."""
        if self.kind == "uniform":
            return f"uniform {self.low!r} {self.high!r} {self.count}"
        return f"{self.kind} {self.count}"


@dataclass(frozen=True)
class PoolSpec:
    """A weight pool, made on the device from a seed, so that no weights travel."""

    seed: int
    sections: tuple[PoolSection, ...]

    def __post_init__(self) -> None:
        _require(0 <= self.seed < 2**64, f"pool seed: expected an unsigned 64-bit number, got {self.seed}")
        _require(len(self.sections) > 0, "pool: at least one section is needed")

    @property
    def digest(self) -> str:
        """The sha256 of the canonical text: equal digests are equal files."""
        lines = [f"loopfront-pool 1 seed {self.seed}", *(section.text for section in self.sections)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def offsets(self) -> tuple[int, ...]:
        """The byte offset at which each section starts."""
        offsets, end = [], 0
        for section in self.sections:
            offsets.append(end)
            end = _aligned(end + section.size_bytes)
        return tuple(offsets)

    @property
    def size_bytes(self) -> int:
        """The length of the whole file."""
        return _aligned(self.offsets[-1] + self.sections[-1].size_bytes)


@dataclass(frozen=True)
class StateSpec:
    """A float32 state that a step reads and writes.

    `shared_buffer` means that input and output are one buffer (a KV cache); otherwise two buffers
    are swapped after each step (a recurrent or conv state).
    """

    input_name: str
    output_name: str
    shape: tuple[int, ...]
    shared_buffer: bool

    def __post_init__(self) -> None:
        for name in (self.input_name, self.output_name):
            _require(re.fullmatch(r"[\x21-\x7e]{1,200}", name) is not None, f"state name: unusable {name!r}")
        _require(
            0 < len(self.shape) <= 8 and all(size > 0 for size in self.shape),
            f"state {self.input_name}: expected 1 to 8 positive sizes, got {self.shape}",
        )


@dataclass(frozen=True)
class ModelFiles:
    """A graph and the pool that its weights lie in, with what the runner must feed it.

    The graph takes `input_ids` int64 [batch, tokens]; with `uses_sequence_lengths` also `seqlens_k`
    int32 [batch] and `total_sequence_length` int32 []; then the states. Its first output is `logits`
    float32 [batch, 1, vocab_size] of the last position.
    """

    name: str
    graph_sha256: str
    graph_bytes: int
    pool: PoolSpec
    vocab_size: int
    uses_sequence_lengths: bool
    states: tuple[StateSpec, ...]

    def __post_init__(self) -> None:
        _require_sha256(self.graph_sha256, "graph_sha256")
        _require(
            0 < self.graph_bytes <= LARGEST_GRAPH_BYTES,
            f"graph_bytes: expected 1 to {LARGEST_GRAPH_BYTES}, got {self.graph_bytes}",
        )
        _require(self.vocab_size > 0, f"vocab_size: must be positive, got {self.vocab_size}")

    @property
    def memory_bytes(self) -> int:
        """Roughly what a loaded model takes: its weights twice, as the runtime packs them anew, and its states."""
        buffers = sum((1 if each.shared_buffer else 2) * math.prod(each.shape) for each in self.states)
        return 2 * self.pool.size_bytes + 4 * buffers


@dataclass(frozen=True)
class Workload:
    """How a model is used; a decode step happens `context_tokens` deep, and at each of `deeper_contexts` as well."""

    prompt_tokens: int
    context_tokens: int
    generate_tokens: int
    batch: int = 1
    threads: int = 1
    deeper_contexts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("prompt_tokens", "generate_tokens", "batch", "threads"):
            _require(getattr(self, name) > 0, f"workload.{name}: must be positive, got {getattr(self, name)}")
        _require(self.context_tokens >= 0, f"workload.context_tokens: is negative: {self.context_tokens}")
        depths = (self.context_tokens, *self.deeper_contexts)
        _require(
            list(depths) == sorted(set(depths)),
            f"workload.deeper_contexts: {list(self.deeper_contexts)} must rise from {self.context_tokens} on",
        )

    @property
    def contexts(self) -> tuple[int, ...]:
        """Every depth of a decode step, the shallowest first."""
        return (self.context_tokens, *self.deeper_contexts)

    @property
    def longest_context(self) -> int:
        """Tokens that the states must hold: the deepest decode step's, or the prompt's and one step's behind it."""
        return max(self.contexts[-1] + self.generate_tokens, self.prompt_tokens + 1)


@dataclass(frozen=True)
class OutputCheck:
    """What the graph must answer: row 0 after the prompt, row i after `decode_ids[i - 1]`.

    Each row of `expected` holds the logits at `logit_indices`; `minimum_cosine` is the least
    similarity that each row must reach.
    """

    prompt_ids: tuple[int, ...]
    decode_ids: tuple[int, ...]
    logit_indices: tuple[int, ...]
    expected: tuple[tuple[float, ...], ...]
    minimum_cosine: float

    def __post_init__(self) -> None:
        _require(len(self.prompt_ids) > 0, "check.prompt_ids: at least one token is needed")
        _require(len(self.logit_indices) > 1, "check.logit_indices: at least two are needed for a cosine")
        rows = len(self.decode_ids) + 1
        _require(
            len(self.expected) == rows, f"check.expected: expected {rows} rows, got {len(self.expected)}"
        )
        for row in self.expected:
            _require(
                len(row) == len(self.logit_indices), "check.expected: a row is not as long as logit_indices"
            )


@dataclass(frozen=True)
class Protocol:
    """How much evidence is gathered, and what it may cost.

    Fresh processes are added from `minimum_processes` until the relative half-width of the 95 %
    interval of both paired medians is at most `half_width_target`, or `maximum_processes` is reached; those
    that are added time only the phase that needs it. Decode differs more between processes and costs less than
    prefill: processes that time decode alone make up the number to `decode_processes`, before any are added.
    `deadline_s` bounds each process by itself. Of the two profiles `lab` keeps the runner to the fastest cores and asks
    for their highest clock. At each of the workload's deeper contexts `deeper_blocks` blocks are timed.
    """

    profile: Profile
    minimum_processes: int
    maximum_processes: int
    blocks: int
    decode_steps_per_block: int
    prefills_per_process: int
    half_width_target: float
    deadline_s: float
    memory_limit_bytes: int | None
    decode_processes: int = 0
    deeper_blocks: int = 8

    def __post_init__(self) -> None:
        for name in (
            "minimum_processes",
            "blocks",
            "decode_steps_per_block",
            "prefills_per_process",
            "deeper_blocks",
        ):
            _require(getattr(self, name) > 0, f"protocol.{name}: must be positive, got {getattr(self, name)}")
        _require(
            self.maximum_processes >= self.minimum_processes,
            f"protocol.maximum_processes: {self.maximum_processes} is below minimum_processes",
        )
        _require(self.half_width_target > 0, f"protocol.half_width_target: got {self.half_width_target}")
        _require(self.deadline_s > 0, f"protocol.deadline_s: must be positive, got {self.deadline_s}")


@dataclass(frozen=True)
class SentinelReference:
    """A device's quiet calibration: what the sentinel takes there, and how much that varied.

    The log spreads are the standard deviation of the natural logarithm of the sentinel's median per process.
    """

    prefill_ms: float
    decode_ms: float
    prefill_log_spread: float = 0.0
    decode_log_spread: float = 0.0

    def __post_init__(self) -> None:
        _require(self.prefill_ms > 0 and self.decode_ms > 0, "sentinel_reference: times must be positive")


@dataclass(frozen=True)
class MeasurementPlan:
    """One measurement; while a device is being calibrated there is no `sentinel_reference` yet."""

    candidate: ModelFiles
    sentinel: ModelFiles
    workload: Workload
    check: OutputCheck | None
    protocol: Protocol
    sentinel_reference: SentinelReference | None


def to_dict(plan: MeasurementPlan) -> dict[str, Any]:
    """Write a plan as plain JSON values."""
    return dict(write(plan))


def from_dict(mapping: Mapping[str, object]) -> MeasurementPlan:
    """Read a plan that `to_dict` wrote; raise PlanError naming the place of anything unexpected."""
    return read(MeasurementPlan, mapping, "plan")


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // POOL_ALIGNMENT_BYTES) * POOL_ALIGNMENT_BYTES
