"""Builders of rows for the tests; every number here is invented and none of it was measured."""

import random
from dataclasses import replace

from reports.rows import (
    BlockRow,
    BlockSamplesRow,
    Cell,
    DeviceRow,
    HypervolumePoint,
    MetricColumn,
    PhaseSamplesRow,
    RepeatRow,
    SentinelPoint,
    StudyReport,
    TrialDetail,
    TrialRow,
)

MIXER_TEXT = {
    "C": "short convolution, kernel 3",
    "A": "grouped-query attention, 8 heads of 64, 2 for keys and values",
    "S": "sliding-window attention, window 256, 8 heads of 64",
    "D": "gated delta net, 8 heads of 64",
    "L": "linear attention, gated, 8 heads of 64",
}
DECODE_COST = {"C": 1.0, "A": 3.9, "S": 2.9, "D": 2.5, "L": 2.1}
PREFILL_COST = {"C": 1.0, "A": 1.6, "S": 1.4, "D": 2.9, "L": 1.9}
RECALL = {"C": 0.3, "A": 0.62, "S": 0.45, "D": 0.83, "L": 0.48}

RECALL_SCORE = MetricColumn(
    "recall_score",
    "Recall score",
    "",
    "maximize",
    3,
    True,
    "Quality proxy: accuracy of a four-layer model on five synthetic tasks; checked against 600 steps.",
    True,
    "recall",
)
RELATIVE_LOSS = MetricColumn(
    "estimated_relative_loss",
    "Estimated relative loss",
    "nats",
    "minimize",
    4,
    True,
    "Quality proxy: a published scaling law over embedding and body size; only differences mean anything.",
    True,
    "loss",
    error_is_shared=True,
)
TTFT = MetricColumn(
    "ttft_ms_p50@laptop", "TTFT p50", "ms", "minimize", 1, True, "Prefill of 256 tokens.", short="TTFT"
)
TPOT = MetricColumn(
    "tpot_ms_p50@laptop", "TPOT p50", "ms", "minimize", 2, True, "Decode at context 512.", short="TPOT"
)
MEMORY = MetricColumn(
    "peak_rss_mb@laptop", "Peak RSS", "MB", "minimize", 1, True, "High-water mark.", short="RSS"
)
COLUMNS = (RECALL_SCORE, RELATIVE_LOSS, TTFT, TPOT, MEMORY)


def a_cell(value: float, relative_half_width: float = 0.02, raw: float | None = None) -> Cell:
    return Cell(value, value * (1 - relative_half_width), value * (1 + relative_half_width), raw)


def a_trial(number: int, layout: str = "CCACCACC", **changes: object) -> TrialRow:
    trial = _measured_trial(number, layout, random.Random(f"{number}{layout}"))
    return replace(trial, **changes)  # type: ignore[arg-type]


def a_failed_trial(number: int, layout: str = "AAAAAAAA", **changes: object) -> TrialRow:
    failed = a_trial(
        number,
        layout,
        state="failed",
        cells={},
        outcome="out_of_memory",
        detail="the runner passed its memory limit of 160 MB while loading",
        log_excerpt="load: mapped pool.bin\nload: 171966464 bytes resident, limit 167772160",
    )
    return replace(failed, **changes)  # type: ignore[arg-type]


def a_report(candidates: int = 34, seed: int = 7, **changes: object) -> StudyReport:
    rng = random.Random(seed)
    trials = _with_front([a_trial(number, _a_layout(rng)) for number in range(candidates)])
    failed = [a_failed_trial(candidates), a_failed_trial(candidates + 1, "DDDDAAAA", outcome="timed_out")]
    report = _study([*trials, *failed, *_references(candidates + 2)], rng)
    return replace(report, **changes)  # type: ignore[arg-type]


def an_empty_report(**changes: object) -> StudyReport:
    return a_report(
        candidates=0, trials=(), hypervolume=(), repeatability=(), sentinel=(), details={}, **changes
    )


def _a_layout(rng: random.Random) -> str:
    return "".join(rng.choices("CASDL", weights=[5, 2, 2, 2, 2], k=rng.randint(8, 20)))


def _measured_trial(number: int, layout: str, rng: random.Random) -> TrialRow:
    ratio = rng.uniform(0.14, 0.46)
    total = round(60e6 * rng.uniform(0.99, 1.01))
    body, width = round(total * (1 - ratio)), round(total * ratio / 32768 / 64) * 64
    ffn = max(256, round(body / len(layout) / width / 3.4 / 32) * 32)
    return TrialRow(
        number=number,
        kind="trial",
        label="",
        state="measured",
        on_front=False,
        knee=False,
        layout=layout,
        hidden_size=width,
        blocks=tuple(BlockRow(code, MIXER_TEXT[code], ffn) for code in layout),
        total_parameters=total,
        effective_parameters=body,
        embedding_ratio=ratio,
        recall_pattern=layout[:: max(1, len(layout) // 4)][:4],
        cells=_cells(layout, body, total - body, width, rng),
        outcome="measured",
        digest=f"{rng.getrandbits(256):064x}",
        seconds=rng.uniform(8, 14),
        finished_at="2026-11-23T18:09:01+00:00",
        href=f"/studies/pocket/trials/{number}",
    )


def _cells(layout: str, body: int, embedding: int, width: int, rng: random.Random) -> dict[str, Cell]:
    decode = 5.2 + 0.16 * sum(DECODE_COST[c] for c in layout) + body / 1.6e7 + 0.002 * width
    prefill = 180 + 9 * sum(PREFILL_COST[c] for c in layout) + body / 2.4e5
    tasks = sorted({RECALL[c] for c in layout})
    recall = min(0.86, tasks[-1] + 0.11 * (len(tasks) > 1) + rng.gauss(0, 0.01))
    loss = 1.8314 * (body / 1e6) ** -0.4466 + 0.19584 * (embedding / 1e6) ** -0.6707
    return {
        RECALL_SCORE.name: Cell(recall, recall - 0.03, recall + 0.03, None, "3 seeds, table"),
        RELATIVE_LOSS.name: Cell(loss, loss * 0.97, loss * 1.03),
        TTFT.name: a_cell(prefill, rng.uniform(0.01, 0.03), prefill * rng.uniform(0.95, 1.25)),
        TPOT.name: a_cell(decode, rng.uniform(0.01, 0.035), decode * rng.uniform(0.9, 1.4)),
        MEMORY.name: a_cell(98 + len(layout) * 1.1 + embedding / 1.2e6, 0.003),
    }


def _with_front(trials: list[TrialRow]) -> list[TrialRow]:
    front = [t for t in trials if not any(_beats(other, t) for other in trials)][:11]
    numbers = {trial.number for trial in front}
    knee = front[len(front) // 2].number if front else -1
    return [replace(t, on_front=t.number in numbers, knee=t.number == knee) for t in trials]


def _beats(one: TrialRow, other: TrialRow) -> bool:
    names = (RECALL_SCORE.name, TPOT.name, RELATIVE_LOSS.name)
    signs = (-1, 1, 1)
    gaps = [s * (one.cells[n].value - other.cells[n].value) for n, s in zip(names, signs, strict=True)]
    return all(gap <= 0 for gap in gaps) and any(gap < 0 for gap in gaps)


def _references(first: int) -> list[TrialRow]:
    return [
        a_trial(first, "CCACCACCACACACAC", kind="reference", label="lfm2-350m, scaled"),
        a_trial(first + 1, "SSSSSASSSSSASSSSSA", kind="reference", label="gemma-3-270m, scaled"),
    ]


def _study(trials: list[TrialRow], rng: random.Random) -> StudyReport:
    measured = [trial for trial in trials if trial.state == "measured"]
    return StudyReport(
        name="pocket",
        state="finished",
        created_at="2026-11-23T18:00:00+00:00",
        finished_at="2026-11-23T18:08:41+00:00",
        seconds=521.0,
        requested_trials=36,
        workload={"prompt tokens": "256", "context tokens": "512", "generated tokens": "64", "threads": "1"},
        precision="int4 (block 32)",
        budget="60 M parameters ± 1 %",
        space={
            "vocabulary": "32768",
            "embedding ratio": "0.14 to 0.46",
            "depth": "8 to 20",
            "mixers": "C A S D L",
        },
        columns=COLUMNS,
        trials=tuple(trials),
        devices=(a_device(),),
        hypervolume=_hypervolume(measured, rng),
        reference_point={RECALL_SCORE.name: 0.29, TPOT.name: 19.5},
        repeatability=_repeatability(measured[:12], rng),
        sentinel=_sentinel(measured, rng),
        provenance={"loopfront": "0.1.0", "onnxruntime": "1.32.0", "runner": "sha256:5d1c", "seed": "7"},
        caveats=(
            "Recall score R and estimated relative loss L are quality proxies, unchecked on trained models.",
            "One machine, one session; times on another machine rank differently.",
        ),
        constraints=("peak_rss_mb@laptop <= 160",),
        details={trial.number: a_detail(rng) for trial in measured},
    )


def a_device(**changes: object) -> DeviceRow:
    device = DeviceRow(
        "builder-laptop",
        "laptop",
        {
            "cpu": "an invented CPU",
            "cores": "2",
            "memory": "8.0 GiB",
            "os": "Debian 12",
            "battery": "not readable",
        },
        {"prefill": "286.1 ms", "decode": "8.42 ms", "self-check ratio": "1.00", "version": "1"},
        286.1,
        8.42,
    )
    return replace(device, **changes)  # type: ignore[arg-type]


def a_detail(rng: random.Random) -> TrialDetail:
    return TrialDetail(
        (
            PhaseSamplesRow("prefill", "laptop", _blocks(rng, 310.0, 286.0, 1)),
            PhaseSamplesRow("decode", "laptop", _blocks(rng, 10.4, 8.4, 4)),
        ),
        {"governor": "performance", "load before": "0.12", "affinity": "0-1", "temperature": "not readable"},
        {"before load": "49.0 MB", "load": "112.4 MB", "prefill": "131.0 MB", "decode": "128.2 MB"},
    )


def _blocks(
    rng: random.Random, candidate: float, sentinel: float, samples: int
) -> tuple[BlockSamplesRow, ...]:
    blocks = []
    for index in range(24):
        noise = 1 + 0.25 * abs(rng.gauss(0, 0.4))
        taken = [
            [base * noise * rng.uniform(0.99, 1.01) for _ in range(samples)] for base in (candidate, sentinel)
        ]
        blocks.append(
            BlockSamplesRow(index // 8, index % 8, index % 2 == 0, tuple(taken[0]), tuple(taken[1]))
        )
    return tuple(blocks)


def _hypervolume(measured: list[TrialRow], rng: random.Random) -> tuple[HypervolumePoint, ...]:
    points, value = [], 0.0
    for trial in measured:
        value += max(0.0, rng.gauss(0.2, 0.6)) * 40 / (5 + len(points))
        points.append(HypervolumePoint(trial.number, value))
    return tuple(points)


def _repeatability(trials: list[TrialRow], rng: random.Random) -> tuple[RepeatRow, ...]:
    rows = []
    for column, raw_rank, paired_rank in ((TTFT, 0.84, 0.98), (TPOT, 0.44, 0.96), (MEMORY, 0.99, 0.99)):
        for kind, rank, noise in (("raw", raw_rank, 0.13), ("paired", paired_rank, 0.012)):
            values = [trial.cells[column.name].value for trial in trials]
            pairs = tuple((v * (1 + rng.gauss(0, noise)), v * (1 + rng.gauss(0, noise))) for v in values)
            rows.append(
                RepeatRow(column.name, column.label, kind, rank, noise, len(pairs), pairs)  # type: ignore[arg-type]
            )
    return tuple(rows)


def _sentinel(measured: list[TrialRow], rng: random.Random) -> tuple[SentinelPoint, ...]:
    return tuple(
        SentinelPoint(
            order,
            f"#{trial.number}",
            286 * (1 + abs(rng.gauss(0, 0.05))),
            8.4 * (1 + abs(rng.gauss(0.05, 0.12))),
            None,
            "laptop",
        )
        for order, trial in enumerate(measured)
    )
