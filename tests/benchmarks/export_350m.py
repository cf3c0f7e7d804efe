"""Exports LFM2-350M nine times and reads, in the runner, whether its memory is that of unique weights."""

import secrets
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from devices.bench import Bench, local_bench
from devices.connection import Limits
from devices.plan import Protocol, Workload
from devices.runner_plan import Setting, memory_plan, pool_plan
from devices.runner_records import ProvenRun, judge_run
from operators.cost import parameters
from operators.precision import Precision
from operators.references import reference
from service.measurement_plans import Lowered, lower_model

REPEATS = 9
DEADLINE_S = 300.0
WORKLOAD = Workload(prompt_tokens=256, context_tokens=512, generate_tokens=64)
UNIQUE_BYTES_PER_WEIGHT = 0.75
"""ONNX Runtime packs an int4 weight of a block of 32 with its scale into 6 bits."""


@dataclass(frozen=True)
class ExportFigures:
    """What exporting a 350 M-parameter candidate costs, and the anonymous memory of its loaded weights."""

    export_s: float
    graph_bytes: int
    anonymous_bytes_per_weight: float

    def lines(self) -> list[str]:
        """Return the figures as text, each beside its bound."""
        return [
            f"export of LFM2-350M   {self.export_s * 1e3:8.1f} ms   median of {REPEATS}, bound 100 ms",
            f"graph                 {self.graph_bytes / 1e3:8.1f} kB   bound 1000 kB",
            f"anonymous memory      {self.anonymous_bytes_per_weight:8.3f} B per weight after load, "
            f"unique weights take {UNIQUE_BYTES_PER_WEIGHT}",
        ]


def measure_export() -> ExportFigures:
    """Time the export, then load the graph in the runner on this machine."""
    architecture = reference("lfm2-350m")
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        lowered = lower_model("lfm2-350m", architecture, Precision(), WORKLOAD)
        seconds.append(time.perf_counter() - started)
    with tempfile.TemporaryDirectory() as folder:
        anonymous = _loaded_anonymous_bytes(lowered, local_bench(Path(folder)))
    return ExportFigures(
        statistics.median(seconds), lowered.files.graph_bytes, anonymous / parameters(architecture).total
    )


def _loaded_anonymous_bytes(lowered: Lowered, bench: Bench) -> int:
    placed = bench.folder.place(lowered.files)
    bench.connection.push(lowered.graph.onnx_bytes, placed.graph_path)
    _proven(bench, pool_plan(_NONCE, lowered.files.pool, placed.pool_path, DEADLINE_S))
    setting = Setting(bench.library.path, WORKLOAD, _PROTOCOL)
    run = _proven(bench, memory_plan(_NONCE, setting, placed))
    levels = {record["phase"]: record["rss_peak_anonymous_bytes"][2] for record in run.named("memory")}
    return int(levels["load"] - levels["process"])


def _proven(bench: Bench, plan: str) -> ProvenRun:
    bench.connection.push(plan.encode(), bench.folder.plan_path)
    command = [str(bench.runner.path), bench.folder.plan_path]
    result = bench.connection.run(command, Limits(DEADLINE_S, DEADLINE_S), threading.Event())
    judged = judge_run(result, _NONCE, False)
    if not isinstance(judged, ProvenRun):
        raise RuntimeError(judged.reason)
    return judged


_NONCE = secrets.token_hex(8)
_PROTOCOL = Protocol(
    profile="as-shipped", minimum_processes=1, maximum_processes=1, blocks=1, decode_steps_per_block=4,
    prefills_per_process=1, half_width_target=1.0, deadline_s=DEADLINE_S, memory_limit_bytes=None,
)  # fmt: skip
