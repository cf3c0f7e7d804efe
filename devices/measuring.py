"""Measure one candidate on one device by the protocol, with an outcome for every way it can go."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from devices.bench import Bench
from devices.calibration import SLOWED_RATIO, slowdown
from devices.conditions import Conditions, read_conditions, read_conditions_but_load
from devices.connection import Connection
from devices.errors import ConnectionFault, MeasurementStopped, PlanError
from devices.lab_profile import LabSettings, lab_settings
from devices.outcome import (
    BlockSamples,
    DeeperDecode,
    DeviceLost,
    Failure,
    Measured,
    MemoryReading,
    NotReady,
    Outcome,
    OutOfMemory,
    PhaseSamples,
    ProcessSamples,
    RunnerFault,
    Throttled,
    Unsupported,
    WrongOutput,
)
from devices.page_placement import with_placed_pages
from devices.passport import Circumstances, passport_of
from devices.plan import MeasurementPlan, OutputCheck, PoolSpec
from devices.readiness import Readiness, obstacles, wait_until_ready
from devices.runner_plan import PlacedModel, Setting, check_plan, memory_plan, pool_plan, time_plan
from devices.runner_records import ProvenRun, judge_run, shortened
from devices.runner_start import run_plan
from devices.steps import Steps, in_one_go
from devices.strict_reading import read
from devices.summary import disagreement, is_unsettled, process_log_ratio, summarise

GraphSource = Callable[[str], bytes]

_PATIENCE_BETWEEN_SITTINGS = (1 / 6, 1 / 3, 1 / 2)
"""Disturbances that pairing does not cancel last for a minute or two: shares of the device's patience, ever longer."""


def measure(
    plan: MeasurementPlan,
    bench: Bench,
    graph: GraphSource,
    stop: threading.Event | None = None,
    order_in_session: int = 0,
) -> Outcome:
    """Measure in one go; see `measure_in_steps`."""
    stop = stop or threading.Event()
    return in_one_go(measure_in_steps(plan, bench, graph, stop, order_in_session), stop)


def measure_in_steps(
    plan: MeasurementPlan, bench: Bench, graph: GraphSource, stop: threading.Event, order_in_session: int
) -> Steps[Outcome]:
    """Measure: push ▸ wait until ready ▸ memory ▸ output check ▸ time until precise ▸ compare the sentinel.

    `graph` returns the bytes of a graph by its sha256. Whatever goes wrong on the device is returned as
    an outcome; MeasurementStopped is raised if `stop` is set before the end, and nothing is left running.
    """
    measurement = _Measurement(plan, bench, graph, stop, order_in_session)
    try:
        return (yield from measurement.run())
    except _Ended as ended:
        return ended.failure
    except ConnectionFault as fault:
        return DeviceLost(str(fault), shortened("\n".join([*measurement.logs, fault.log]).strip()))
    finally:
        measurement.tidy()


class _Ended(Exception):
    """The measurement ended with a failure, which is not an error."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


@dataclass(frozen=True)
class _Timing:
    """Both phases of all timed processes so far, and the runs that they came from.

    `set_aside` holds each process's decode ratio, for every sitting in which they disagreed too much.
    """

    prefill_processes: tuple[ProcessSamples, ...] = ()
    decode_processes: tuple[ProcessSamples, ...] = ()
    deeper_processes: tuple[tuple[int, ProcessSamples], ...] = ()
    runs: tuple[ProvenRun, ...] = ()
    set_aside: tuple[tuple[float, ...], ...] = ()

    def plus(self, other: "_Timing") -> "_Timing":
        return _Timing(
            (*self.prefill_processes, *other.prefill_processes),
            (*self.decode_processes, *other.decode_processes),
            (*self.deeper_processes, *other.deeper_processes),
            (*self.runs, *other.runs),
            self.set_aside,
        )

    def without_decode(self) -> "_Timing":
        return replace(self, decode_processes=(), deeper_processes=())

    def or_calmer(self, other: "_Timing") -> "_Timing":
        """Return the one whose processes agree better in decode, with the runs of both and with what was set aside."""
        kept, left = (
            (other, self) if disagreement(other.decode) < disagreement(self.decode) else (self, other)
        )
        ratios = tuple(math.exp(process_log_ratio(process)) for process in left.decode_processes)
        return replace(kept, runs=other.runs, set_aside=(*self.set_aside, ratios))

    @property
    def prefill(self) -> PhaseSamples:
        return PhaseSamples(self.prefill_processes)

    @property
    def decode(self) -> PhaseSamples:
        return PhaseSamples(self.decode_processes)

    @property
    def deeper(self) -> tuple[DeeperDecode, ...]:
        depths = sorted({depth for depth, _ in self.deeper_processes})
        return tuple(
            DeeperDecode(
                depth, PhaseSamples(tuple(each for at, each in self.deeper_processes if at == depth))
            )
            for depth in depths
        )


class _Measurement:
    def __init__(
        self, plan: MeasurementPlan, bench: Bench, graph: GraphSource, stop: threading.Event, order: int
    ) -> None:
        self._plan = plan
        self._bench = bench
        self._graph = graph
        self._stop = stop
        self._order = order
        self._setting = Setting(bench.library.path, plan.workload, plan.protocol)
        self._candidate = bench.folder.place(plan.candidate)
        self._sentinel = bench.folder.place(plan.sentinel)
        self._kills_before: int | None = None
        self._has_run = False
        self._waited_s = 0.0
        self.logs: list[str] = []
        for path in self._needed():
            bench.folder.enter(path)

    def run(self) -> Steps[Measured]:
        if self._plan.protocol.profile == "as-shipped":
            return (yield from self._measure(None))
        connection, facts = self._bench.connection, self._bench.facts
        kept, threads = self._bench.folder.governors_path, self._plan.workload.threads
        with lab_settings(connection, facts, threads, kept) as settings:
            self._setting = replace(self._setting, cpus=settings.cpus)
            return in_one_go(self._measure(settings), self._stop)  # the settings are not the others'

    def _measure(self, lab: LabSettings | None) -> Steps[Measured]:
        started_at, started_s = datetime.now(UTC), time.monotonic()
        self._push()
        readiness = self._wait_until_ready()
        self._limit_memory(readiness.conditions.available_bytes)
        memory_run, memory = self._read_memory()
        cosine = self._check_output(self._plan.check) if self._plan.check else ()
        timing = yield from self._time(tells_heat=readiness.conditions.temperature_c is not None)
        after = read_conditions_but_load(self._bench.connection)
        noted = Circumstances(
            started_at=started_at,
            order_in_session=self._order,
            waited_s=self._waited_s,
            before=readiness.conditions,
            after=after,
            memory_run=memory_run,
            timed_runs=timing.runs,
            deeper=timing.deeper,
            set_aside=timing.set_aside,
            lab=lab,
        )
        return Measured(
            prefill=timing.prefill,
            decode=timing.decode,
            memory=memory,
            cosine=cosine,
            passport=passport_of(self._plan, self._bench, timing.prefill, timing.decode, noted),
            seconds=time.monotonic() - started_s,
            log="".join(run.complaints for run in (memory_run, *timing.runs)),
            deeper=timing.deeper,
        )

    def tidy(self) -> None:
        """Remove the candidate's graph, unless another measurement under way needs it; the pool is kept."""
        left = {path: self._bench.folder.leave(path) for path in self._needed()}
        is_needed = left[self._candidate.graph_path]
        if is_needed or self._candidate.graph_path == self._sentinel.graph_path:
            return
        try:
            self._bench.connection.remove(self._candidate.graph_path)
        except ConnectionFault:
            return  # the outcome is known by now; the graph is small

    def _needed(self) -> list[str]:
        """Name what must stay on the device until the end, whatever others under way there remove."""
        return [self._candidate.graph_path, self._candidate.pool_path, self._sentinel.pool_path]

    # -- the steps --

    def _push(self) -> None:
        models = (self._plan.candidate, self._plan.sentinel)
        self._bench.folder.make_room({model.pool.digest for model in models})
        if not self._bench.folder.holds(self._sentinel.graph_path):
            self._push_graph(self._sentinel)
        if self._candidate.graph_path != self._sentinel.graph_path:
            self._push_graph(self._candidate)  # without a look: it was removed after its last measurement
        for pool in dict.fromkeys(model.pool for model in models):
            self._make_pool(pool)

    def _push_graph(self, placed: PlacedModel) -> None:
        self._bench.connection.push(self._graph(placed.files.graph_sha256), placed.graph_path)

    def _make_pool(self, pool: PoolSpec) -> None:
        path, deadline_s = self._bench.folder.pool_path(pool), self._plan.protocol.deadline_s
        self._run(lambda nonce: pool_plan(nonce, pool, path, deadline_s))

    def _wait_until_ready(self, look: Callable[[Connection], Conditions] = read_conditions) -> Readiness:
        thresholds = self._bench.thresholds
        threads, sentinel_bytes = self._plan.workload.threads, self._plan.sentinel.memory_bytes
        needed_bytes = self._plan.candidate.memory_bytes + sentinel_bytes
        readiness = wait_until_ready(
            look=lambda: look(self._bench.connection),
            judge=lambda now: obstacles(now, thresholds, threads, needed_bytes),
            thresholds=thresholds,
            wait=self._stop.wait,
        )
        self._waited_s += readiness.waited_s
        if self._stop.is_set():
            raise MeasurementStopped("asked to stop while the device was not ready")
        if not readiness.is_ready:
            reason = f"not ready after {readiness.waited_s:.0f} s: {'; '.join(readiness.obstacles)}"
            # A device that the sentinel alone would find ready is well: it is the candidate that does not fit, unless
            # it ran there already.
            is_well = not obstacles(readiness.conditions, thresholds, threads, 2 * sentinel_bytes)
            is_well = is_well and not self._has_run
            raise _Ended((OutOfMemory if is_well else NotReady)(reason, str(readiness.conditions)))
        self._kills_before = readiness.conditions.out_of_memory_kills
        return readiness

    def _limit_memory(self, available_bytes: int | None) -> None:
        """Let the candidate take what is free but the spare: more would make the device kill other programs first."""
        protocol = self._setting.protocol
        if protocol.memory_limit_bytes is None and available_bytes is not None:
            limit = available_bytes - self._bench.thresholds.spare_bytes
            self._setting = replace(
                self._setting, protocol=replace(protocol, memory_limit_bytes=max(limit, 1))
            )

    def _read_memory(self) -> tuple[ProvenRun, MemoryReading]:
        run = self._run(lambda nonce: memory_plan(nonce, self._setting, self._candidate))
        self._has_run = True
        levels = {
            record["phase"]: [int(level) for level in record["rss_peak_anonymous_bytes"]]
            for record in run.named("memory")
        }
        if list(levels) != ["process", "load", "prefill", "decode"]:
            raise _Ended(RunnerFault(f"the runner read memory in phases {list(levels)}", run.log))
        return run, MemoryReading(
            process_bytes=levels["process"][0],
            load_bytes=levels["load"][1],
            prefill_bytes=levels["prefill"][1],
            decode_bytes=levels["decode"][1],
            peak_rss_bytes=max(peak for _, peak, _ in levels.values()),
            anonymous_bytes=levels["decode"][2],
        )

    def _check_output(self, check: OutputCheck) -> tuple[float, ...]:
        run = self._run(lambda nonce: check_plan(nonce, self._setting, self._candidate, check))
        rows = [record["values"] for record in run.named("logits")]
        if [len(row) for row in rows] != [len(row) for row in check.expected]:
            raise _Ended(RunnerFault("the runner printed other logits than it was asked for", run.log))
        similarities = tuple(_cosine(row, wanted) for row, wanted in zip(rows, check.expected, strict=True))
        for number, similarity in enumerate(similarities):
            if not similarity >= check.minimum_cosine:  # also when it is nan
                reason = (
                    f"cosine {similarity:.6f} in row {number}, at least {check.minimum_cosine} is required"
                )
                raise _Ended(WrongOutput(reason, f"got {rows[number]}\nexpected {check.expected[number]}"))
        return similarities

    def _time(self, tells_heat: bool) -> Steps[_Timing]:
        timing = yield from self._time_until_settled(tells_heat)
        if self._slowdown(timing) > SLOWED_RATIO:
            self._wait_until_ready()
            timing = yield from self._time_until_settled(tells_heat)
        slowed = self._slowdown(timing)
        if slowed > SLOWED_RATIO:
            reason = f"twice the sentinel ran {slowed:.1f} times slower than at its calibration"
            raise _Ended(Throttled(reason, "\n".join(run.log for run in timing.runs)))
        return timing

    def _time_until_settled(self, tells_heat: bool) -> Steps[_Timing]:
        """Time; where decode's processes disagree, wait and time decode anew, and keep the calmest sitting."""
        timing = yield from self._time_until_precise(_Timing(), tells_heat)
        for share in _PATIENCE_BETWEEN_SITTINGS:
            pause_s = share * self._bench.thresholds.patience_s
            if not (pause_s and is_unsettled(timing.decode)):
                break
            yield pause_s
            self._waited_s += pause_s
            again = yield from self._time_until_precise(timing.without_decode(), tells_heat)
            timing = timing.or_calmer(again)
        return timing

    def _time_until_precise(self, timing: _Timing, tells_heat: bool) -> Steps[_Timing]:
        while any(share := self._next_process(timing)):
            yield 0.0
            if timing.runs and tells_heat:
                self._wait_until_ready(read_conditions_but_load)  # what the last process heated may cool down
            timing = timing.plus(self._time_once(*share, sentinel_loads_first=len(timing.runs) % 2 == 1))
        return timing

    def _next_process(self, timing: _Timing) -> tuple[int, int]:
        """Say how many prefills and how many blocks of decode the next process times; none of both if it is enough."""
        protocol = self._plan.protocol
        if len(timing.prefill_processes) < protocol.minimum_processes:
            return protocol.prefills_per_process, protocol.blocks
        least_of_decode = max(protocol.minimum_processes, protocol.decode_processes)
        if len(timing.decode_processes) < least_of_decode:
            return 0, protocol.blocks
        most_of_decode = least_of_decode + protocol.maximum_processes - protocol.minimum_processes
        needs_prefill = self._needs_more(timing.prefill, protocol.maximum_processes)
        depths = (timing.decode, *(each.phase for each in timing.deeper))
        needs_decode = any(self._needs_more(phase, most_of_decode) for phase in depths)
        return protocol.prefills_per_process * needs_prefill, protocol.blocks * needs_decode

    def _needs_more(self, phase: PhaseSamples, most: int) -> bool:
        is_imprecise = summarise(phase).ratio_half_width > self._plan.protocol.half_width_target
        return is_imprecise and len(phase.processes) < most

    def _time_once(self, prefills: int, blocks: int, sentinel_loads_first: bool) -> _Timing:
        run = self._run(
            lambda nonce: time_plan(
                nonce, self._setting, self._candidate, self._sentinel, prefills, blocks, sentinel_loads_first
            ),
            with_placed_pages,
        )
        try:
            prefill = _process_samples(run, "prefill", prefills, 1)
            steps = self._plan.protocol.decode_steps_per_block
            context, *deeper = self._plan.workload.contexts
            decode = _process_samples(run, "decode", blocks, steps, context_tokens=context)
            deeper_blocks = self._plan.protocol.deeper_blocks if blocks else 0
            deep = tuple(
                (depth, process)
                for depth in deeper
                for process in _process_samples(run, "decode", deeper_blocks, steps, context_tokens=depth)
            )
        except PlanError as error:
            raise _Ended(RunnerFault(f"unusable samples: {error}", run.log)) from error
        return _Timing(prefill, decode, deep, (run,))

    def _slowdown(self, timing: _Timing) -> float:
        reference = self._plan.sentinel_reference
        return 1.0 if reference is None else slowdown(timing.prefill, timing.decode, reference)

    # -- running the runner --

    def _run(
        self, plan_text: Callable[[str], str], command: Callable[[Sequence[str]], list[str]] = list
    ) -> ProvenRun:
        deadline_s = self._plan.protocol.deadline_s
        result, nonce = run_plan(self._bench, plan_text, deadline_s, self._stop, command)
        was_killed_for_memory = result.status == -9 and self._kernel_killed_for_memory()
        judged = judge_run(result, nonce, was_killed_for_memory)
        if isinstance(judged, Unsupported) and self._has_run and judged.reason.startswith("load "):
            # The candidate was loaded before: what isn't now is a file that was lost or damaged meanwhile.
            self._bench.folder.doubt(self._sentinel.graph_path)
            judged = RunnerFault(f"a file was lost or damaged on the device: {judged.reason}", judged.log)
        if not isinstance(judged, ProvenRun):
            raise _Ended(judged)
        self.logs.append(judged.log)
        return judged

    def _kernel_killed_for_memory(self) -> bool:
        """Tell a kill by the kernel from one by hand: both are signal 9, only the first is counted."""
        now = read_conditions_but_load(self._bench.connection).out_of_memory_kills
        return now is not None and self._kills_before is not None and now > self._kills_before


def _process_samples(
    run: ProvenRun, phase: str, blocks: int, size: int, **fields: int
) -> tuple[ProcessSamples, ...]:
    """Read one phase's blocks, exactly as many and as long as the plan says; none if it was not timed."""
    records = run.named("block", phase=phase, **fields)
    if len(records) != blocks:
        raise PlanError(f"{len(records)} {phase} blocks instead of {blocks}")
    names = ("candidate_ms", "sentinel_ms", "candidate_first")
    samples = [read(BlockSamples, {name: record.get(name) for name in names}, phase) for record in records]
    if any(len(block.candidate_ms) != size or len(block.sentinel_ms) != size for block in samples):
        raise PlanError(f"a {phase} block does not hold {size} samples of each model")
    return (ProcessSamples(tuple(samples)),) if blocks else ()


def _cosine(row: Sequence[float | None], expected: Sequence[float]) -> float:
    """Return the cosine of two rows of logits; nan if any is not a number."""
    if any(value is None for value in row):
        return math.nan
    values = [float(value) for value in row if value is not None]
    norms = math.hypot(*values) * math.hypot(*expected)
    return (
        sum(value * wanted for value, wanted in zip(values, expected, strict=True)) / norms
        if norms
        else math.nan
    )
