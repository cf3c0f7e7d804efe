"""One agent with several devices: real sshds in namespaces, a real service, and a runner that is simulated."""

import json
import subprocess
from pathlib import Path

import pytest

from devices.connection import CommandResult, Ending
from devices.plan import Protocol
from devices.runner_plan import PlacedModel, Setting, time_plan
from devices.runner_records import ProvenRun, judge_run
from tests.benchmarks.fleet.many import (
    WORKLOAD,
    Fleet,
    Served,
    at_a_time,
    covered_s,
    most_at_once,
    overlapping,
    run_fleet,
)
from tests.benchmarks.fleet.processes import Usage
from tests.benchmarks.fleet.simulated_agent import RUNNER
from tests.devices.namespaces import require_namespaces
from tests.devices.tiny_models import tiny_model

BRIEF = Protocol("as-shipped", 1, 1, 3, 4, 1, 0.04, 60.0, None, 1)


def test_devices_are_served_side_by_side_each_in_its_order_and_two_that_are_one_machine_take_turns(
    tmp_path: Path,
) -> None:
    require_namespaces()
    fleet = run_fleet(tmp_path, ("desk", "shelf", "shelf"), jobs=3, protocol=BRIEF)
    assert fleet.troubles() == []
    assert [len(jobs) for jobs in fleet.served.values()] == [3, 3, 3]
    _, *shelf = ([(run.started_s, run.ended_s) for run in runs] for runs in fleet.runs.values())
    assert overlapping([*shelf[0], *shelf[1]]) == 0
    assert at_a_time(fleet) > 0  # the desk's and the shelf's
    assert 0 < fleet.usage.processor_s < fleet.usage.wall_s


def a_fleet(*jobs: Served) -> Fleet:
    return Fleet({"one": jobs}, {"one": []}, Usage())


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ([Served("a", "device_lost", ((0, 1),))], "one: a ended as 'device_lost'"),
        ([Served("a", "measured", ((0, 1), (2, 3)))], "one: a was leased 2 times"),
        ([Served("a", "measured", ((5, 6),)), Served("b", "measured", ((0, 1),))], "another order"),
        ([Served(name, "measured", ((0, 2),)) for name in "abcde"], "one: 5 leases at a time"),
    ],
)
def test_what_went_wrong_is_told(jobs: list[Served], words: str) -> None:
    assert words in "; ".join(a_fleet(*jobs).troubles())
    assert a_fleet(Served("a", "measured", ((0, 1),)), Served("b", "measured", ((1, 3),))).troubles() == []


def test_time_that_several_spans_share_counts_once() -> None:
    assert covered_s([(0.0, 2.0), (1.0, 3.0), (1.5, 2.5), (5.0, 6.0)]) == 4.0
    assert most_at_once([(0.0, 2.0), (1.0, 3.0), (1.5, 2.5), (2.5, 6.0)]) == 3


def simulated(plan: Path) -> CommandResult:
    done = subprocess.run([RUNNER, plan], capture_output=True, text=True, check=False)
    return CommandResult(Ending.EXITED, done.returncode, tuple(done.stdout.splitlines()), done.stderr)


def test_the_simulated_runner_reads_real_plans_proves_its_end_and_says_what_it_is(tmp_path: Path) -> None:
    models = [PlacedModel(tiny_model(seed=seed).files, f"/{seed:064}.onnx", "/pool.bin") for seed in (1, 2)]
    text = time_plan("abcd", Setting("/simulated.so", WORKLOAD, BRIEF), models[0], models[1], 1, 3, False)
    (tmp_path / "plan.txt").write_text(text)
    judged = judge_run(simulated(tmp_path / "plan.txt"), "abcd", was_killed_for_memory=False)
    assert isinstance(judged, ProvenRun), judged
    assert judged.records[0]["simulated"] is True
    assert [len(block["candidate_ms"]) for block in judged.named("block", context_tokens=512)] == [4, 4, 4]
    assert len(judged.named("block", phase="prefill")) == 1
    (note,) = map(json.loads, (tmp_path / "simulated-runs.jsonl").read_text().splitlines())
    assert note["started_s"] < note["ended_s"]


def test_the_simulated_runner_does_not_take_a_plan_that_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "plan.txt").write_text("loopfront-plan 1\ntask time\nnonce abcd\n")
    judged = judge_run(simulated(tmp_path / "plan.txt"), "abcd", was_killed_for_memory=False)
    assert not isinstance(judged, ProvenRun)
