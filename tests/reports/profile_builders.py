"""A profile of an invented phone, with numbers like those of real devices."""

from dataclasses import replace
from typing import Any

from reports.profile_rows import BandwidthRow, CostRow, EntryRow, MixerCostRow, ProfileReport, ShapeRow
from reports.rows import Cell

PLACES = (
    ("prefill of 512", 512),
    ("decode at 512", 512),
    ("decode at 4096", 4096),
    ("decode at 32768", 32768),
)
MIXERS = {
    "C": ("short conv", "kernel 3", 4_200_000, (54.8, 0.27, 0.28, 0.27)),
    "A": ("grouped query attention", "heads 16, kv heads 8, head size 64", 3_150_000, (49.4, 0.56, 2.95, 23.4)),
    "S": ("sliding window attention", "heads 16, kv heads 8, head size 64, window 256", 3_150_000,
          (56.4, 0.39, 0.36, 0.38)),
    "D": ("gated delta net", "heads 8, head size 128", 5_270_000, (93.4, 0.61, 0.59, 0.60)),
    "L": ("linear attention", "heads 8, head size 128", 5_280_000, (86.2, 0.47, 0.49, 0.48)),
}  # fmt: skip
SHAPES = {
    "gemma-3-270m": ("SSSSSASSSSSASSSSSA", 268_098_176, 171_000_000, 412.0, 58.1, 402.0, 0.81),
    "lfm2-350m": ("CCACCACCACACACAC", 354_483_968, 223_000_000, 171.0, 42.7, 381.0, 0.78),
    "qwen3-0.6b": ("A" * 28, 596_049_920, 412_000_000, 96.0, 21.9, 744.0, 0.74),
    "qwen3.5-0.8b": ("DDDA" * 6, 752_393_024, 495_000_000, 88.0, 17.2, 829.0, 0.70),
}


def within(value: float, share: float = 0.03) -> Cell:
    return Cell(value, value * (1 - share), value * (1 + share), value * 1.01)


def a_cost(code: str, index: int, **changes: Any) -> CostRow:
    place, tokens = PLACES[index]
    milliseconds, base = MIXERS[code][3][index], MIXERS["C"][3][index]
    ratio = Cell(1.0, 1.0, 1.0) if code == "C" else within(milliseconds / base, 0.05)
    share = within(0.6) if index else None
    return replace(CostRow(place, tokens, within(milliseconds), ratio, share), **changes)


def a_mixer_row(code: str, **changes: Any) -> MixerCostRow:
    name, sizes, parameters, _ = MIXERS[code]
    costs = tuple(a_cost(code, index) for index in range(len(PLACES)))
    return replace(MixerCostRow(code, name, sizes, parameters, 2, 6, costs), **changes)


def a_shape_row(name: str, **changes: Any) -> ShapeRow:
    layout, total, moved, prefill, decode, peak, share = SHAPES[name]
    numbers = {
        "prefill_per_second": within(prefill),
        "decode_per_second": within(decode),
        "peak_rss_mb": within(peak, 0.003),
        "bandwidth_share": within(share),
    }
    row = ShapeRow(name, layout, total, moved, "done", outcome="measured", **numbers)
    return replace(row, **changes)


def a_failed_shape(name: str, outcome: str = "out_of_memory", detail: str = "the device is full") -> ShapeRow:
    layout, total, moved, *_ = SHAPES[name]
    return ShapeRow(name, layout, total, moved, "failed", outcome=outcome, detail=detail)


def a_profile(**changes: Any) -> ProfileReport:
    entries = [EntryRow("memory bandwidth", "done", "bandwidth_measured", seconds=8.0)]
    for code, (name, *_) in MIXERS.items():
        entries += [
            EntryRow(f"{name} × {copies}", "done", "measured", seconds=31.0, reused=code == "C")
            for copies in (2, 6)
        ]
    entries += [EntryRow(name, "done", "measured", seconds=120.0) for name in SHAPES]
    report = ProfileReport(
        device="invented-phone",
        state="done",
        detail="",
        created_at="2026-11-26T17:00:00+00:00",
        finished_at="2026-11-26T17:14:00+00:00",
        width=1024,
        prompt_tokens=512,
        contexts=(512, 4096, 32768),
        threads=1,
        precision="int4 (block 32)",
        bandwidth=(
            BandwidthRow(1, 12.4e9, 11.8e9, 21, 512 << 20),
            BandwidthRow(8, 29.7e9, 28.2e9, 21, 512 << 20),
        ),
        mixers=tuple(a_mixer_row(code) for code in MIXERS),
        shapes=tuple(a_shape_row(name) for name in SHAPES),
        entries=tuple(entries),
        facts={"processor": "an invented SoC", "cores": "8", "memory": "8.0 GB"},
        provenance={"runtime": "ONNX Runtime 1.32.0", "runner": "sha256:0123456789abcdef"},
    )
    return replace(report, **changes)


def a_running_profile() -> ProfileReport:
    """Half of it is measured: three mixers at few copies and many, no shape."""
    done = a_profile()
    entries = tuple(
        each if index < 7 else replace(each, state="running" if index == 7 else "waiting", outcome="", seconds=None)
        for index, each in enumerate(done.entries)
    )  # fmt: skip
    to_come = [
        replace(row, costs=tuple(CostRow(place, tokens) for place, tokens in PLACES))
        for row in done.mixers[3:]
    ]
    shapes = tuple(
        ShapeRow(name, SHAPES[name][0], SHAPES[name][1], SHAPES[name][2], "waiting") for name in SHAPES
    )
    return replace(
        done,
        state="running",
        finished_at=None,
        mixers=(*done.mixers[:3], *to_come),
        shapes=shapes,
        entries=entries,
        step="gated delta net × 2",
        seconds_left=431.0,
    )
