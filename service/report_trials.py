"""The rows of a report that show trials, and the raw samples and passports behind them."""

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any

from devices.outcome import Measured, PhaseSamples
from operators.architecture import Architecture
from operators.cost import parameters
from operators.mixer import Mixer
from reports.rows import BlockRow, BlockSamplesRow, Cell, PhaseSamplesRow, TrialDetail, TrialRow
from search.objective import metric_named, violations
from search.observation import Observation
from search.quality.reduction import reduce_to_four
from service.observations import observations_from_dict
from service.plausibility import flags
from service.report_passport import passport_lines, plain_text
from service.store.rows import TrialRow as StoredTrial
from service.study_file import StudyDefinition
from service.study_rows import StudyFront, StudyRows


def trial_row(
    rows: StudyRows,
    stored: StoredTrial,
    front: StudyFront,
    ceilings: Mapping[str, float],
    log_excerpt: str = "",
) -> TrialRow:
    """Show one trial; `ceilings` are what the memory of each target's device gives, in bytes per second."""
    observed = observations_from_dict(stored.observations)
    return architecture_row(
        rows.architectures[stored.id],
        number=stored.number,
        kind=stored.kind,
        label=stored.label,
        state=stored.state,
        on_front=stored.number in front.numbers,
        closest=stored.number in front.closest,
        knee=stored.number == front.knee,
        cells=cells_of(observed),
        violations=violations_of(rows.definition, stored),
        outcome=stored.outcome,
        detail=stored.detail,
        href=f"/studies/{rows.study.name}/trials/{stored.number}",
        log_excerpt=log_excerpt,
        flags=flags(rows.architectures[stored.id], rows.definition.conditions, observed, ceilings),
        seconds=_seconds(stored),
        finished_at=stored.finished_at.isoformat() if stored.finished_at else None,
    )


def architecture_row(architecture: Architecture, **shown: Any) -> TrialRow:
    """Show an architecture with what is given of it."""
    count = parameters(architecture)
    return TrialRow(
        layout=architecture.layout,
        hidden_size=architecture.hidden_size,
        blocks=tuple(
            BlockRow(block.mixer.code, mixer_text(block.mixer), block.ffn.width)
            for block in architecture.blocks
        ),
        total_parameters=count.total,
        effective_parameters=count.effective,
        embedding_ratio=count.embedding_ratio,
        recall_pattern=reduce_to_four(architecture.layout),
        digest=architecture.digest,
        **shown,
    )


def cells_of(observed: Mapping[str, Observation]) -> dict[str, Cell]:
    """Show observations; a raw reading stands only beside a paired time."""
    return {
        name: _cell(name, each) for name, each in observed.items() if metric_named(name.partition("@")[0])
    }


def detail_of(answers: Mapping[str, Measured]) -> TrialDetail:
    """Show what stands behind a trial's numbers, by target."""
    samples: list[PhaseSamplesRow] = []
    passport: dict[str, str] = {}
    memory: dict[str, str] = {}
    for target, measured in answers.items():
        samples += [_phase("prefill", target, measured.prefill), _phase("decode", target, measured.decode)]
        samples += [
            _phase(f"decode at {each.context_tokens}", target, each.phase) for each in measured.deeper
        ]
        on = f"{target} · " if len(answers) > 1 else ""
        passport |= {f"{on}{name}": text for name, text in passport_lines(measured.passport).items()}
        memory |= {f"{on}{name}": f"{value / 1e6:.1f} MB" for name, value in _memory(measured).items()}
    return TrialDetail(tuple(samples), passport, memory)


def mixer_text(mixer: Mixer) -> str:
    """Name a mixer with its sizes, such as ``short conv: kernel size 3``."""
    shown = [
        f"{each.name.replace('_', ' ')} {plain_text(getattr(mixer, each.name))}"
        for each in fields(mixer)  # type: ignore[arg-type]
        if _is_telling(each, getattr(mixer, each.name))
    ]
    return f"{mixer.name.replace('_', ' ')}: {', '.join(shown)}"


def _is_telling(option: Field[Any], value: object) -> bool:
    """Sizes always; any other option only where it isn't the usual one."""
    return value != option.default or (isinstance(value, int) and not isinstance(value, bool))


def _cell(name: str, observation: Observation) -> Cell:
    is_time = "_ms_" in name
    return Cell(observation.value, observation.low, observation.high, observation.raw if is_time else None)


def violations_of(definition: StudyDefinition, stored: StoredTrial) -> tuple[str, ...]:
    """Say in words which constraints a trial misses."""
    values = {name: each.value for name, each in observations_from_dict(stored.observations).items()}
    known = tuple(each for each in definition.constraints if each.name in values)
    return violations(known, values)


def _seconds(stored: StoredTrial) -> float | None:
    if stored.finished_at is None or stored.launched_at is None:
        return None
    return (stored.finished_at - stored.launched_at).total_seconds()


def _phase(name: str, target: str, phase: PhaseSamples) -> PhaseSamplesRow:
    blocks = [
        BlockSamplesRow(process + 1, number + 1, block.candidate_first, block.candidate_ms, block.sentinel_ms)
        for process, samples in enumerate(phase.processes)
        for number, block in enumerate(samples.blocks)
    ]
    return PhaseSamplesRow(name, target, tuple(blocks))


def _memory(measured: Measured) -> dict[str, int]:
    reading = measured.memory
    return {
        "process before loading": reading.process_bytes,
        "load": reading.load_bytes,
        "prefill": reading.prefill_bytes,
        "decode": reading.decode_bytes,
        "peak RSS": reading.peak_rss_bytes,
        "anonymous": reading.anonymous_bytes,
    }
