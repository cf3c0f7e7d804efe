"""Write the plan text that the runner reads; its format is described at the top of runner.c."""

from collections.abc import Iterable
from dataclasses import dataclass

from devices.bandwidth_plan import BandwidthPlan
from devices.plan import ModelFiles, OutputCheck, PoolSpec, Protocol, Workload


@dataclass(frozen=True)
class PlacedModel:
    """A model and where its graph and its pool lie on the device, side by side."""

    files: ModelFiles
    graph_path: str
    pool_path: str


@dataclass(frozen=True)
class Setting:
    """What every task of one measurement has in common; no `cpus` are all that the kernel allows."""

    library_path: str
    workload: Workload
    protocol: Protocol
    cpus: tuple[int, ...] = ()


def library_plan(nonce: str, library_path: str, deadline_s: float) -> str:
    """Return the plan that loads the runtime and does nothing with it."""
    return _plan("library", nonce, deadline_s, [f"library {library_path}"])


def pool_plan(nonce: str, pool: PoolSpec, path: str, deadline_s: float) -> str:
    """Return the plan that makes a weight pool, unless a sound one is there."""
    return _plan("pool", nonce, deadline_s, _pool_lines(pool, path))


def check_plan(nonce: str, setting: Setting, candidate: PlacedModel, check: OutputCheck) -> str:
    """Return the plan that prints the candidate's logits for known tokens."""
    lines = [
        f"prompt_ids {_joined(check.prompt_ids)}",
        f"decode_ids {_joined(check.decode_ids)}",
        f"logit_indices {_joined(check.logit_indices)}",
        *_model_lines([candidate]),
    ]
    return _plan("check", nonce, setting.protocol.deadline_s, [*_setting_lines(setting), *lines])


def memory_plan(nonce: str, setting: Setting, candidate: PlacedModel) -> str:
    """Return the plan that reads the memory of a process with the candidate alone."""
    lines = [
        f"memory_limit_bytes {setting.protocol.memory_limit_bytes or 0}",
        f"steps {setting.protocol.decode_steps_per_block}",
        *_model_lines([candidate]),
    ]
    return _plan("memory", nonce, setting.protocol.deadline_s, [*_setting_lines(setting), *lines])


def time_plan(
    nonce: str,
    setting: Setting,
    candidate: PlacedModel,
    sentinel: PlacedModel,
    prefills: int,
    blocks: int,
    sentinel_loads_first: bool,
) -> str:
    """Return the plan that times candidate and sentinel in turn; a phase of which none are asked is left out."""
    protocol = setting.protocol
    lines = [
        f"prefills {prefills}",
        f"blocks {blocks}",
        f"steps {protocol.decode_steps_per_block}",
        f"deeper_blocks {protocol.deeper_blocks}",
        f"sentinel_loads_first {int(sentinel_loads_first)}",
        *_model_lines([candidate, sentinel]),
    ]
    return _plan("time", nonce, protocol.deadline_s, [*_setting_lines(setting), *lines])


def bandwidth_plan(nonce: str, plan: BandwidthPlan) -> str:
    """Return the plan that reads memory, and nothing else."""
    names = ("threads", "buffer_bytes", "repetitions")
    return _plan("bandwidth", nonce, plan.deadline_s, [f"{name} {getattr(plan, name)}" for name in names])


def _plan(task: str, nonce: str, deadline_s: float, lines: Iterable[str]) -> str:
    head = ["loopfront-plan 1", f"task {task}", f"nonce {nonce}", f"deadline_s {deadline_s!r}"]
    return "\n".join([*head, *lines, "end", ""])


def _setting_lines(setting: Setting) -> list[str]:
    names = ("prompt_tokens", "context_tokens", "generate_tokens", "batch", "threads")
    lists = {"cpus": setting.cpus, "deeper_contexts": setting.workload.deeper_contexts}
    return [
        f"library {setting.library_path}",
        *(f"{name} {getattr(setting.workload, name)}" for name in names),
        *(f"{name} {_joined(numbers)}" for name, numbers in lists.items() if numbers),
    ]


def _model_lines(models: Iterable[PlacedModel]) -> list[str]:
    lines = []
    for model in models:
        lines += _pool_lines(model.files.pool, model.pool_path)
        lines += [
            f"model {model.graph_path}",
            f"vocab {model.files.vocab_size}",
            f"sequence_lengths {int(model.files.uses_sequence_lengths)}",
        ]
        for state in model.files.states:
            kind = "shared" if state.shared_buffer else "swapped"
            lines.append(f"state {state.input_name} {state.output_name} {kind} {_joined(state.shape)}")
    return lines


def _pool_lines(pool: PoolSpec, path: str) -> list[str]:
    return [f"pool {pool.seed} {path}", *(f"section {section.text}" for section in pool.sections)]


def _joined(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))
