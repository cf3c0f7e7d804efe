"""What a device's profile consists of: its bandwidth, two stacks of each mixer, and the known shapes."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from operators.architecture import Architecture
from operators.cost import decode_bytes, prefill_flops, state_bytes, weight_bytes
from operators.mixer import Mixer
from operators.mixer_stacks import WIDTH_STEP, mixers_of_width, stack_of
from operators.precision import Precision
from operators.references import reference
from service.store.profiles import BANDWIDTH, MIXER, SHAPE, EntryDraft
from service.workloads import workload_of

DEFAULT_MIXERS = tuple(mixer.name for mixer in mixers_of_width(WIDTH_STEP))
DEFAULT_SHAPES = ("lfm2-350m", "gemma-3-270m", "qwen3-0.6b", "qwen3.5-0.8b")
DEFAULT_CONTEXTS = (512, 4096, 32768)
HERE = "here"
"""The target's name within a profile, which has only one."""
GENERATE_TOKENS = 64
PRECISION = Precision()
COPIES = ((2, 6), (1, 3), (1, 2))
"""Few and many copies of a mixer, the first that fits. What lies between them is the mixer's cost four times over."""
SHARE_OF_MEMORY = 0.2
"""How much of a device's memory a stack may take: the sentinel, the runtime and other programs need theirs."""
UNKNOWN_MEMORY_BYTES = 2_000_000_000


@dataclass(frozen=True)
class ProfileScope:
    """The question that a profile answers; equal scopes on equal runtimes have the same answer."""

    width: int = 1024
    prompt_tokens: int = 512
    contexts: tuple[int, ...] = DEFAULT_CONTEXTS
    mixers: tuple[str, ...] = DEFAULT_MIXERS
    shapes: tuple[str, ...] = DEFAULT_SHAPES
    threads: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }


def scope_from_dict(mapping: Mapping[str, Any]) -> ProfileScope:
    """Read what `to_dict` wrote; what else stands beside it is left aside."""
    return ProfileScope(
        width=mapping["width"],
        prompt_tokens=mapping["prompt_tokens"],
        contexts=tuple(mapping["contexts"]),
        mixers=tuple(mapping["mixers"]),
        shapes=tuple(mapping["shapes"]),
        threads=mapping["threads"],
    )


def entries_of(
    scope: ProfileScope, facts: Mapping[str, Any], shapes: Mapping[str, Architecture] | None = None
) -> list[tuple[EntryDraft, Architecture | None]]:
    """List what is measured, in its order; the largest models, which may not fit the device, come last."""
    known = shapes or {name: reference(name) for name in scope.shapes}
    by_size = sorted(known.items(), key=lambda pair: weight_bytes(pair[1], PRECISION))
    return [
        (_bandwidth(scope, facts), None),
        *_mixer_entries(scope, facts),
        *(
            (_candidate(SHAPE, name, 1, shape, _workload(scope, scope.contexts[:1])), shape)
            for name, shape in by_size
        ),
    ]


def copies_for(mixer: Mixer, scope: ProfileScope, facts: Mapping[str, Any]) -> tuple[int, int]:
    """Choose how many copies are compared, by what the device's memory holds at the deepest context.

    Where nothing fits the fewest are tried all the same: the device says what becomes of it.
    """
    room = SHARE_OF_MEMORY * memory_bytes(facts)
    return next((pair for pair in COPIES if stack_bytes(mixer, pair[1], scope) <= room), COPIES[-1])


def stack_bytes(mixer: Mixer, copies: int, scope: ProfileScope) -> int:
    """Estimate the memory of a stack: its weights twice, as the runtime packs them anew, and its state."""
    stack = stack_of(mixer, copies, scope.width)
    return 2 * weight_bytes(stack, PRECISION) + state_bytes(stack, scope.contexts[-1] + GENERATE_TOKENS)


def memory_bytes(facts: Mapping[str, Any]) -> int:
    """Return the memory that a device says it has, or may use."""
    told = [facts.get(name) for name in ("memory_bytes", "memory_limit_bytes")]
    return min((each for each in told if isinstance(each, int) and each > 0), default=UNKNOWN_MEMORY_BYTES)


def _mixer_entries(
    scope: ProfileScope, facts: Mapping[str, Any]
) -> Iterator[tuple[EntryDraft, Architecture]]:
    for mixer in mixers_of_width(scope.width):
        if mixer.name not in scope.mixers:
            continue
        for copies in copies_for(mixer, scope, facts):  # side by side, as they are compared
            stack = stack_of(mixer, copies, scope.width)
            yield _candidate(MIXER, mixer.name, copies, stack, _workload(scope, scope.contexts)), stack


def _workload(scope: ProfileScope, contexts: tuple[int, ...]) -> dict[str, Any]:
    return {
        "prompt_tokens": scope.prompt_tokens,
        "context_tokens": list(contexts) if len(contexts) > 1 else contexts[0],
        "generate_tokens": GENERATE_TOKENS,
        "batch": 1,
        "threads": scope.threads,
    }


def _candidate(
    kind: str, name: str, copies: int, architecture: Architecture, workload: dict[str, Any]
) -> EntryDraft:
    conditions = {"workload": workload, "precision": asdict(PRECISION), "label": name}
    effort = _effort(architecture, workload)
    return EntryDraft(kind, name, copies, architecture.digest, conditions, effort)


def _effort(architecture: Architecture, workload: dict[str, Any]) -> float:
    """Guess the seconds that a measurement takes on a usual laptop: 13 prefills, 450 decode steps, what else it needs.

    Only its ratio to the others matters: it says how much of the way is behind.
    """
    at_contexts = workload_of(workload).contexts
    prefills = 13 * prefill_flops(architecture, workload["prompt_tokens"]) / 60e9
    moved = sum(decode_bytes(architecture, PRECISION, context_tokens) for context_tokens in at_contexts)
    return 12.0 + prefills + 300 * moved / 10e9


def _bandwidth(scope: ProfileScope, facts: Mapping[str, Any]) -> EntryDraft:
    """Read a buffer far larger than any cache, but a small part of the memory."""
    cores = facts.get("cores")
    all_cores = min(cores, 256) if isinstance(cores, int) and cores > 0 else 1
    plan = {
        "buffer_bytes": min(512 << 20, max(64 << 20, memory_bytes(facts) // 16 >> 20 << 20)),
        "threads": scope.threads if scope.threads > 1 else all_cores,
        "repetitions": 7,
        "processes": 3,
        "deadline_s": 120.0,
    }
    return EntryDraft(BANDWIDTH, "memory", 1, None, plan, 10.0)
