"""What a report says in words of a study's conditions and where its numbers come from."""

from collections.abc import Sequence

from devices.outcome import Measured
from devices.plan import Workload
from operators.precision import Precision
from search.space import Budget, SearchSpace
from service.sentinel import SENTINEL_VERSION, sentinel
from service.study_rows import StudyRows
from service.version import VERSION


def workload_text(workload: Workload) -> dict[str, str]:
    """Name the workload's numbers."""
    return {
        "prompt tokens": str(workload.prompt_tokens),
        "context tokens": ", ".join(map(str, workload.contexts)),
        "generated tokens": str(workload.generate_tokens),
        "batch": str(workload.batch),
        "threads": str(workload.threads),
    }


def precision_text(precision: Precision) -> str:
    """Name the precision, such as ``int4 (block 32)``."""
    return f"int{precision.bits} (block {precision.block_size})"


def budget_text(budget: Budget) -> str:
    """Name the budget, such as ``60 M parameters ± 1 %``."""
    return f"{budget.parameters / 1e6:g} M parameters ± {budget.tolerance * 100:g} %"


def space_text(space: SearchSpace) -> dict[str, str]:
    """Name what a space allows."""
    words = {
        "vocabulary": str(space.vocabulary),
        "embedding ratio": _range(space.embedding_ratio),
        "depth": _range(space.depth),
        "FFN ratio": _range(space.ffn_ratio),
    }
    for choice in space.mixers:
        options = "; ".join(f"{key.replace('_', ' ')} {_values(values)}" for key, values in choice.options)
        words[f"{choice.code} {choice.name.replace('_', ' ')}"] = options
    return words


def provenance_of(rows: StudyRows, measured: Sequence[Measured]) -> dict[str, str]:
    """Name what made the numbers."""
    return {
        "loopfront": VERSION,
        "study": rows.study.id,
        "study file": f"sha256:{rows.study.document_digest[:16]}",
        "seed": str(rows.definition.seed),
        "sentinel": f"version {SENTINEL_VERSION}, {sentinel().layout}, sha256:{sentinel().digest[:16]}",
        **measuring_provenance(measured),
    }


def measuring_provenance(measured: Sequence[Measured]) -> dict[str, str]:
    """Name the runtimes and runners that the measurements' passports tell."""
    found: dict[str, set[str]] = {"runtime": set(), "runner": set()}
    for each in measured:
        runtime, runner = each.passport.get("runtime", {}), each.passport.get("runner", {})
        if runtime:
            found["runtime"].add(f"ONNX Runtime {runtime.get('version', '?')}")
        if runner:
            found["runner"].add(f"sha256:{str(runner.get('sha256', '?'))[:16]}")
    return {name: ", ".join(sorted(values)) for name, values in found.items() if values}


def _range(pair: tuple[float, float] | tuple[int, int]) -> str:
    return f"{pair[0]:g} to {pair[1]:g}"


def _values(values: Sequence[int]) -> str:
    return " or ".join(str(value) for value in values)
