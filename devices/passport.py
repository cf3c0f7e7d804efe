"""The passport of a measurement: under which conditions, and with what, its numbers were taken."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from devices.bench import Bench
from devices.calibration import slowdown
from devices.conditions import Conditions
from devices.lab_profile import LabSettings
from devices.outcome import DeeperDecode, PhaseSamples
from devices.page_placement import malloc_tunables
from devices.plan import MeasurementPlan
from devices.runner_records import ProvenRun
from devices.strict_reading import write
from devices.summary import sentinel_levels_ms, summarise


@dataclass(frozen=True)
class Circumstances:
    """What was noted while measuring."""

    started_at: datetime
    order_in_session: int
    waited_s: float
    before: Conditions
    after: Conditions
    memory_run: ProvenRun
    timed_runs: Sequence[ProvenRun]
    deeper: Sequence[DeeperDecode] = ()
    set_aside: Sequence[Sequence[float]] = ()
    lab: LabSettings | None = None


def passport_of(
    plan: MeasurementPlan, bench: Bench, prefill: PhaseSamples, decode: PhaseSamples, noted: Circumstances
) -> dict[str, Any]:
    """Gather the passport as plain JSON values."""
    return {
        "device": bench.facts.to_dict(),
        "runtime": {key: value for key, value in asdict(bench.library).items() if key != "path"},
        "pushed_glibc": bench.glibc and {"version": bench.glibc.version, "sha256": bench.glibc.sha256},
        "runner": {"sha256": bench.runner.sha256, "compiler": bench.runner.compiler},
        "candidate": {"graph_sha256": plan.candidate.graph_sha256, "pool": plan.candidate.pool.digest},
        "sentinel": {"graph_sha256": plan.sentinel.graph_sha256, "pool": plan.sentinel.pool.digest},
        "workload": write(plan.workload),
        "protocol": write(plan.protocol),
        **({"lab": noted.lab.to_dict()} if noted.lab else {}),
        "malloc_of_timed_processes": malloc_tunables(),
        "started_at": noted.started_at.isoformat(timespec="seconds"),
        "order_in_session": noted.order_in_session,
        "waited_until_ready_s": round(noted.waited_s, 3),
        "conditions": {"before": write(noted.before), "after": write(noted.after)},
        "sentinel_level": _sentinel_level(plan, prefill, decode),
        "precision": _precision(plan.protocol.half_width_target, _phases(prefill, decode, noted.deeper)),
        "decode_ratios_set_aside": [list(ratios) for ratios in noted.set_aside],
        "memory_peaks": _memory_peaks(noted.memory_run),
        "memory_phases": _memory_phases(noted.memory_run),
        "processes": [_process(run) for run in noted.timed_runs],
    }


def _phases(
    prefill: PhaseSamples, decode: PhaseSamples, deeper: Sequence[DeeperDecode]
) -> dict[str, PhaseSamples]:
    further = {f"decode at {each.context_tokens}": each.phase for each in deeper}
    return {"prefill": prefill, "decode": decode, **further}


def _sentinel_level(plan: MeasurementPlan, prefill: PhaseSamples, decode: PhaseSamples) -> dict[str, Any]:
    reference = plan.sentinel_reference
    return {
        "prefill_ms": sentinel_levels_ms(prefill),
        "decode_ms": sentinel_levels_ms(decode),
        "reference": write(reference),
        "slowdown": None if reference is None else slowdown(prefill, decode, reference),
    }


def _precision(target: float, phases: Mapping[str, PhaseSamples]) -> dict[str, Any]:
    widths = {name: summarise(phase).ratio_half_width for name, phase in phases.items()}
    return {"half_width_target": target, "half_widths": widths, "reached": max(widths.values()) <= target}


def _memory_peaks(run: ProvenRun) -> str:
    """Say whether the kernel let us reset its high-water mark between phases."""
    since = {record["peak_since"] for record in run.named("memory")}
    return "since the start of the process" if "start" in since else "per phase"


def _memory_phases(run: ProvenRun) -> dict[str, dict[str, int]]:
    names = ("rss_bytes", "peak_rss_bytes", "anonymous_bytes")
    return {
        record["phase"]: dict(zip(names, map(int, record["rss_peak_anonymous_bytes"]), strict=True))
        for record in run.named("memory")
    }


def _process(run: ProvenRun) -> dict[str, Any]:
    hello, done = run.records[0], run.records[-1]
    return {
        "affinity": hello["affinity"],
        "load_ms": [record["milliseconds"] for record in run.named("loaded")],
        "warm_up": {
            record["phase"]: {"runs": record["runs"], "stable": record["stable"]}
            for record in run.named("warm_up")
        },
        "seconds": done["seconds"],
    }
