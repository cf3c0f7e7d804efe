"""Times one candidate in one fresh process, where a benchmark and not the protocol decides when."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from devices.bench import Bench
from devices.outcome import BlockSamples, ProcessSamples
from devices.page_placement import with_placed_pages
from devices.plan import MeasurementPlan
from devices.quiet import quiet_host
from devices.runner_plan import Setting, pool_plan, time_plan
from devices.runner_records import ProvenRun, judge_run
from devices.runner_start import run_plan
from devices.strict_reading import read, write


@dataclass(frozen=True)
class TimedProcess:
    """What one process timed."""

    prefill: ProcessSamples
    decode: ProcessSamples


class ProcessTimer:
    """Times processes of several candidates in any order; all their weight pools lie on the device at once."""

    def __init__(self, bench: Bench, graph: Callable[[str], bytes]) -> None:
        self._bench = bench
        self._graph = graph

    def place(self, plan: MeasurementPlan) -> None:
        """Put a candidate's and the sentinel's graphs and pools onto the device."""
        folder = self._bench.folder
        for model in (plan.candidate, plan.sentinel):
            placed = folder.place(model)
            if not folder.holds(placed.graph_path):
                self._bench.connection.push(self._graph(model.graph_sha256), placed.graph_path)
            pool, path = model.pool, placed.pool_path
            self._run(plan, partial(pool_plan, pool=pool, path=path, deadline_s=plan.protocol.deadline_s))

    def time(self, plan: MeasurementPlan, sentinel_loads_first: bool) -> dict[str, Any]:
        """Return the samples of one process as plain values."""
        folder, protocol = self._bench.folder, plan.protocol
        text = partial(
            time_plan,
            setting=Setting(self._bench.library.path, plan.workload, protocol),
            candidate=folder.place(plan.candidate),
            sentinel=folder.place(plan.sentinel),
            prefills=protocol.prefills_per_process,
            blocks=protocol.blocks,
            sentinel_loads_first=sentinel_loads_first,
        )
        run = self._run(plan, text)
        return dict(write(TimedProcess(_samples(run, "prefill"), _samples(run, "decode"))))

    def _run(self, plan: MeasurementPlan, text: Callable[[str], str]) -> ProvenRun:
        deadline_s = plan.protocol.deadline_s
        with quiet_host():
            result, nonce = run_plan(self._bench, text, deadline_s, threading.Event(), with_placed_pages)
        judged = judge_run(result, nonce, False)
        if not isinstance(judged, ProvenRun):
            raise RuntimeError(f"a process wasn't timed: {judged.kind}: {judged.reason}")
        return judged


def read_process(kept: dict[str, Any]) -> TimedProcess:
    """Read what `ProcessTimer.time` returned."""
    return read(TimedProcess, kept, "process")


def _samples(run: ProvenRun, phase: str) -> ProcessSamples:
    names = ("candidate_ms", "sentinel_ms", "candidate_first")
    records = run.named("block", phase=phase)
    return ProcessSamples(
        tuple(read(BlockSamples, {name: record[name] for name in names}, phase) for record in records)
    )
