"""Translate an architecture under given conditions into a measurement plan and its cache key."""

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from devices.plan import (
    MeasurementPlan,
    ModelFiles,
    OutputCheck,
    PoolSection,
    PoolSpec,
    Profile,
    Protocol,
    SentinelReference,
    StateSpec,
    Workload,
)
from operators.architecture import Architecture
from operators.cost import decode_bytes, parameters
from operators.lowering import LoweredGraph, lower
from operators.mixers.sliding_window_attention import CACHE_SLACK_TOKENS, SlidingWindowAttention
from operators.pool import Section
from operators.precision import Precision
from operators.reference_output import expected_logits
from service.sentinel import SENTINEL_PRECISION, SENTINEL_VERSION, sentinel

POOL_SEED = 1
CHECK_PROMPT_TOKENS = 24
CHECK_DECODE_TOKENS = 4
CHECK_LOGITS = 256
MINIMUM_COSINE = 0.95
"""Of two graphs that round activations to int8 in another order; 36 blocks of linear attention reach 0.989."""
KEY_VERSION = "2"
MORE_PROCESSES = 4
"""How many times the usual number of processes a narrower interval than usual may take; then it says so."""

RUNTIME_FACTS = ("runtime", "runner")
"""The device facts that a measurement depends on; another runtime or runner is another measurement."""


@dataclass(frozen=True)
class Measuring:
    """How it is measured; `half_width` is that of the 95 % interval aimed at: 0.04 is ± 4 %."""

    profile: Profile = "as-shipped"
    half_width: float = 0.04


@dataclass(frozen=True)
class Conditions:
    """What a measurement is taken under, apart from the candidate and the device."""

    workload: Workload
    precision: Precision
    measuring: Measuring = Measuring()

    def of_sentinel(self) -> "Conditions":
        """Return the conditions of the calibration that these rest on: the sentinel knows one depth and one aim."""
        workload = replace(self.workload, deeper_contexts=())
        return Conditions(workload, SENTINEL_PRECISION, Measuring(self.measuring.profile))


@dataclass(frozen=True)
class DeviceTarget:
    """A device as far as a measurement depends on it."""

    device_id: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Calibration:
    """A device's quiet sentinel level, pinned by its id."""

    calibration_id: str
    reference: SentinelReference


@dataclass(frozen=True)
class Lowered:
    """A candidate's graph with what the runner must know of it."""

    files: ModelFiles
    graph: LoweredGraph


def lower_model(name: str, architecture: Architecture, precision: Precision, workload: Workload) -> Lowered:
    """Lower an architecture for a workload; the weights stay a seed."""
    graph = lower(architecture, _context_capacity(workload), precision, workload.batch)
    files = ModelFiles(
        name=name,
        graph_sha256=graph.digest,
        graph_bytes=len(graph.onnx_bytes),
        pool=_pool(graph),
        vocab_size=graph.vocab_size,
        uses_sequence_lengths=graph.uses_sequence_lengths,
        states=tuple(
            StateSpec(each.input_name, each.output_name, tuple(each.shape), each.shared_buffer)
            for each in graph.states
        ),
    )
    return Lowered(files, graph)


@lru_cache(maxsize=16)
def lower_sentinel(workload: Workload) -> Lowered:
    """Lower the sentinel for a workload, once; it never decodes at the deeper contexts."""
    return lower_model("sentinel", sentinel(), SENTINEL_PRECISION, replace(workload, deeper_contexts=()))


@lru_cache(maxsize=16)
def _sentinel_check(workload: Workload) -> OutputCheck:
    return output_check(sentinel(), lower_sentinel(workload).graph, SENTINEL_PRECISION)


def calibration_plan(conditions: Conditions) -> MeasurementPlan:
    """Plan the measurement of the sentinel against itself."""
    lowered = lower_sentinel(conditions.workload)
    check = _sentinel_check(conditions.workload)
    protocol = _protocol(sentinel(), conditions, processes=(4, 6))
    return MeasurementPlan(lowered.files, lowered.files, conditions.workload, check, protocol, None)


def candidate_plan(
    architecture: Architecture, lowered: Lowered, conditions: Conditions, calibration: Calibration
) -> MeasurementPlan:
    """Plan the measurement of a candidate; computes what its output must be."""
    return MeasurementPlan(
        candidate=lowered.files,
        sentinel=lower_sentinel(conditions.workload).files,
        workload=conditions.workload,
        check=output_check(architecture, lowered.graph, conditions.precision),
        protocol=_protocol(architecture, conditions, processes=(2, 4)),
        sentinel_reference=calibration.reference,
    )


def output_check(architecture: Architecture, graph: LoweredGraph, precision: Precision) -> OutputCheck:
    """Compute the logits that the graph must answer on tokens drawn from the architecture's digest."""
    draw = random.Random(architecture.digest)
    vocabulary = architecture.vocab_size
    prompt = tuple(draw.randrange(vocabulary) for _ in range(_check_prompt_tokens(architecture, graph)))
    decode = tuple(draw.randrange(vocabulary) for _ in range(CHECK_DECODE_TOKENS))
    indices = tuple(sorted(draw.sample(range(vocabulary), min(CHECK_LOGITS, vocabulary))))
    rows = expected_logits(architecture, graph, precision, POOL_SEED, prompt, decode, indices)
    expected = tuple(tuple(float(value) for value in row) for row in rows)
    return OutputCheck(prompt, decode, indices, expected, MINIMUM_COSINE)


def _check_prompt_tokens(architecture: Architecture, graph: LoweredGraph) -> int:
    """Choose a prompt that fills every sliding window and its slack, so that the decode steps roll the cache."""
    mixers = [block.mixer for block in architecture.blocks]
    windows = [each.window for each in mixers if isinstance(each, SlidingWindowAttention)]
    rolling = max(windows, default=0) + CACHE_SLACK_TOKENS - CHECK_DECODE_TOKENS // 2
    room = graph.context_capacity - CHECK_DECODE_TOKENS
    return max(CHECK_PROMPT_TOKENS, min(rolling, room)) if windows else CHECK_PROMPT_TOKENS


def cache_key(
    files: ModelFiles, conditions: Conditions, target: DeviceTarget, calibration_id: str | None
) -> str:
    """Name a measurement by everything that it depends on; None means the calibration itself."""
    parts: dict[str, Any] = {
        "version": KEY_VERSION,
        "graph": files.graph_sha256,
        "pool": files.pool.digest,
        "workload": workload_to_dict(conditions.workload),
        "precision": conditions.precision.label if calibration_id else SENTINEL_PRECISION.label,
        "sentinel": SENTINEL_VERSION,
        "device": target.device_id,
        "runtime": {name: target.facts.get(name) for name in RUNTIME_FACTS},
        "profile": conditions.measuring.profile,
        "calibration": calibration_id,
    }
    if conditions.measuring.half_width != Measuring.half_width:
        parts["half_width"] = conditions.measuring.half_width
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def workload_to_dict(workload: Workload) -> dict[str, int | list[int]]:
    """Write a workload as plain JSON values."""
    deeper: dict[str, int | list[int]] = {"deeper_contexts": list(workload.deeper_contexts)}
    return {
        "prompt_tokens": workload.prompt_tokens,
        "context_tokens": workload.context_tokens,
        "generate_tokens": workload.generate_tokens,
        "batch": workload.batch,
        "threads": workload.threads,
        **(deeper if workload.deeper_contexts else {}),
    }


def _context_capacity(workload: Workload) -> int:
    return max(workload.longest_context, CHECK_PROMPT_TOKENS + CHECK_DECODE_TOKENS)


def _pool(graph: LoweredGraph) -> PoolSpec:
    return PoolSpec(POOL_SEED, tuple(_section(each) for each in graph.sections))


def _section(section: Section) -> PoolSection:
    source = section.source
    return PoolSection(source.kind, section.count, source.low, source.high)  # type: ignore[arg-type]


def _protocol(architecture: Architecture, conditions: Conditions, processes: tuple[int, int]) -> Protocol:
    millions, workload = parameters(architecture).total / 1e6, conditions.workload
    least, most = processes
    half_width = conditions.measuring.half_width
    if half_width < Measuring.half_width:
        most *= MORE_PROCESSES
    # A 60 M candidate's process takes 4 s; this leaves a machine that is ten times slower its time.
    deadline_s = 60.0 + millions * workload.prompt_tokens / 256
    # About 40 steps at each deeper context, where the cache outweighs the parameters, at 0.5 GB/s.
    deeper_bytes = sum(
        decode_bytes(architecture, conditions.precision, each) for each in workload.deeper_contexts
    )
    deadline_s += 40 * deeper_bytes / 0.5e9
    return Protocol(
        profile=conditions.measuring.profile,
        minimum_processes=least,
        maximum_processes=most,
        blocks=12,
        decode_steps_per_block=4,
        prefills_per_process=4,
        half_width_target=half_width,
        deadline_s=deadline_s,
        memory_limit_bytes=None,
        decode_processes=6,
    )
