#!/usr/bin/env -S python3 -S -E
"""Stands in for the runner on simulated devices: it reads a real plan, sleeps, and prints samples that nothing took.

It speaks the records of runner.c, says "simulated" in each run's first, and notes in `simulated-runs.jsonl`, in the
device's folder, when it ran. It needs nothing but Python's own library, and starts in a few hundredths of a second.
"""

import json
import os
import random
import sys
import time
from pathlib import Path

HEARTBEAT_S = 2.0
SENTINEL_MS = {"prefill": 80.0, "decode": 5.0}
NOISE = 0.01
SPEED = float(os.environ.get("LOOPFRONT_SIMULATED_SPEED", "1"))
"""How many times faster it ends than its samples say."""
RATIOS = (0.5, 2.0)
MEGABYTE = 1_000_000


class Plan:
    """The plan's values by key; a file without its end is refused, as it may have arrived cut off."""

    def __init__(self, path):
        lines = Path(path).read_text().splitlines()
        if not lines or lines[0] != "loopfront-plan 1" or lines[-1] != "end":
            raise ValueError("the plan is cut off")
        words = [line.partition(" ") for line in lines[1:-1]]
        self.values = {key: value for key, _, value in words}
        self.models = [value for key, _, value in words if key == "model"]

    def number(self, key):
        return int(self.values.get(key, 0))

    def numbers(self, key):
        return [int(word) for word in self.values.get(key, "").split()]


class Records:
    """Prints records and counts the samples in them."""

    def __init__(self):
        self.samples, self.beat_s = 0, time.monotonic()

    def send(self, name, **fields):
        self.samples += sum(len(value) for value in fields.values() if isinstance(value, list))
        sys.stdout.write(json.dumps({"record": name, **fields}) + "\n")
        sys.stdout.flush()

    def beat(self):
        if time.monotonic() - self.beat_s >= HEARTBEAT_S:
            self.beat_s = time.monotonic()
            self.send("heartbeat", runs=0)


def ratio_of(graph_path):
    """Return how slow a candidate is: drawn from its graph's digest, so the same each time."""
    low, high = RATIOS
    return low + (high - low) * int(Path(graph_path).stem[:8], 16) / 16**8


def run_pool(_plan, records):
    records.send("pool", kept=True, seconds=0.0, bytes=[0.0])


def run_memory(plan, records):
    size = 60 * MEGABYTE * (0.5 + ratio_of(plan.models[0]))
    for phase, share in (("process", 0.1), ("load", 0.9), ("prefill", 1.0), ("decode", 0.95)):
        level = size * share
        records.send(
            "memory", phase=phase, peak_since="phase", rss_peak_anonymous_bytes=[level, level, level / 2]
        )


def run_time(plan, records):
    for path in plan.models:
        records.send("loaded", graph=path, milliseconds=1.0)
    time_blocks(plan, records, "prefill", plan.number("prefills"), 1)
    if not plan.number("blocks"):
        return
    depths = [plan.number("context_tokens"), *plan.numbers("deeper_contexts")]
    for depth in depths:
        blocks = plan.number("blocks" if depth == depths[0] else "deeper_blocks")
        time_blocks(plan, records, "decode", blocks, plan.number("steps"), context_tokens=depth)


def time_blocks(plan, records, phase, blocks, steps, **place):
    if blocks:
        records.send("warm_up", phase=phase, **place, runs=1, stable=True)
    for block in range(blocks):
        time_block(plan, records, {"phase": phase, **place}, block, steps)


def time_block(plan, records, place, block, steps):
    """Sleep as long as the samples say that the block took."""
    sentinel_ms = SENTINEL_MS[place["phase"]]
    candidate_ms = sentinel_ms * ratio_of(plan.models[0])
    own, other = (
        [mean_ms * random.lognormvariate(0, NOISE) for _ in range(steps)]
        for mean_ms in (candidate_ms, sentinel_ms)
    )
    time.sleep(sum(own + other) / 1e3 / SPEED)
    records.send("block", **place, candidate_first=block % 2 == 0, candidate_ms=own, sentinel_ms=other)
    records.beat()


def note_run(plan_path, task, started_s):
    """Append when this run began and ended, as the host's monotonic clock tells."""
    with (Path(plan_path).parent / "simulated-runs.jsonl").open("a") as file:
        file.write(json.dumps({"task": task, "started_s": started_s, "ended_s": time.monotonic()}) + "\n")


TASKS = {"pool": run_pool, "memory": run_memory, "time": run_time}


def main():
    started_s, records, plan_path = time.monotonic(), Records(), sys.argv[1]
    plan = Plan(plan_path)
    task, nonce = plan.values["task"], plan.values["nonce"]
    records.send("hello", nonce=nonce, task=task, simulated=True, affinity=None)
    TASKS[task](plan, records)
    note_run(plan_path, task, started_s)
    records.send("done", nonce=nonce, samples=records.samples, seconds=time.monotonic() - started_s)


if __name__ == "__main__":
    main()
