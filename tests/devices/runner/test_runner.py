"""The runner itself, started by hand: its pools, its logits, its records and its limits."""

import dataclasses
import fcntl
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.plan import OutputCheck, PoolSection, PoolSpec, Protocol, Workload
from devices.runner.build import BuiltRunner
from devices.runner_plan import (
    PlacedModel,
    Setting,
    check_plan,
    library_plan,
    memory_plan,
    pool_plan,
    time_plan,
)
from devices.runtime_library import installed_runtime
from tests.devices.tiny_models import TinyModel, pool_bytes, tiny_model

NONCE = "00ff"


def run(runner: BuiltRunner, plan: str, folder: Path, **environment: str) -> list[dict[str, Any]]:
    """Start the runner and return its records."""
    path = folder / "plan.txt"
    path.write_text(plan)
    done = subprocess.run(
        [runner.path, path], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def a_setting(**changes: Any) -> Setting:
    protocol = {"blocks": 3, "decode_steps_per_block": 4, "prefills_per_process": 2, "deadline_s": 60.0}
    fixed: dict[str, Any] = {
        "profile": "as-shipped", "minimum_processes": 1, "maximum_processes": 1, "half_width_target": 0.04
    }  # fmt: skip
    limits = {"memory_limit_bytes": None}
    return Setting(
        installed_runtime().path,
        Workload(prompt_tokens=16, context_tokens=32, generate_tokens=8),
        Protocol(**{**fixed, **protocol, **limits, **changes}),
    )


def placed(model: TinyModel, folder: Path) -> PlacedModel:
    return PlacedModel(model.files, str(model.write(folder)), str(folder / "pool.bin"))


sections = st.one_of(
    st.builds(PoolSection, st.sampled_from(["bytes", "nibbles"]), st.integers(1, 20_000)),
    st.builds(
        PoolSection,
        st.just("uniform"),
        st.integers(1, 5_000),
        st.floats(-1e3, 0.0, width=32),
        st.floats(0.0, 1e3, width=32),
    ),
)


@given(
    st.builds(PoolSpec, st.integers(0, 2**64 - 1), st.lists(sections, min_size=1, max_size=5).map(tuple)),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_pool_has_the_very_bytes_that_numpy_computes(
    runner: BuiltRunner, tmp_path: Path, pool: PoolSpec
) -> None:
    path = tmp_path / "pool.bin"
    path.unlink(missing_ok=True)
    records = run(runner, pool_plan(NONCE, pool, str(path), 10.0), tmp_path)
    assert records[-1]["record"] == "done"
    assert path.read_bytes() == pool_bytes(pool)


def test_a_section_longer_than_the_runners_buffer_is_made_whole(runner: BuiltRunner, tmp_path: Path) -> None:
    pool = PoolSpec(3, (PoolSection("bytes", 3_000_001), PoolSection("uniform", 600_001, -1.0, 1.0)))
    path = tmp_path / "pool.bin"
    run(runner, pool_plan(NONCE, pool, str(path), 10.0), tmp_path)
    assert path.read_bytes() == pool_bytes(pool)


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-4096], lambda b: b"\x00" + b[1:], lambda b: b[:40_000] + b"!" + b[40_001:], lambda _: b""],
    ids=["cut short", "first byte", "a middle byte", "empty"],
)
def test_a_damaged_pool_is_made_again_and_a_sound_one_is_kept(
    runner: BuiltRunner, tmp_path: Path, damage: Any
) -> None:
    pool = PoolSpec(5, (PoolSection("bytes", 80_000),))
    path = tmp_path / "pool.bin"
    path.write_bytes(damage(pool_bytes(pool)))
    plan = pool_plan(NONCE, pool, str(path), 10.0)
    assert [run(runner, plan, tmp_path)[1]["kept"] for _ in range(2)] == [False, True]
    assert path.read_bytes() == pool_bytes(pool)
    assert {entry.name for entry in tmp_path.iterdir()} == {"pool.bin", "plan.txt"}


def test_a_damaged_pool_is_never_timed(runner: BuiltRunner, tmp_path: Path) -> None:
    model = placed(tiny_model(), tmp_path)
    Path(model.pool_path).write_bytes(b"\x00" * model.files.pool.size_bytes)
    last = run(runner, time_plan(NONCE, a_setting(), model, model, 2, 3, False), tmp_path)[-1]
    assert (last["record"], last["kind"]) == ("failed", "fault")
    assert "does not match its seed" in last["reason"]


def test_logits_after_prompt_and_decode_equal_those_of_onnxruntime_in_python(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    model, prompt_ids, decode_ids = tiny_model(), (1, 2, 3, 60), (4, 5, 6)
    expected = model.expected_logits(tmp_path, prompt_ids, decode_ids)
    check = OutputCheck(prompt_ids, decode_ids, tuple(range(64)), tuple(map(tuple, expected)), 0.99)
    records = run(runner, check_plan(NONCE, a_setting(), placed(model, tmp_path), check), tmp_path)
    rows = [record["values"] for record in records if record["record"] == "logits"]
    assert rows == [pytest.approx(row, abs=1e-5) for row in expected]


def test_the_library_can_be_opened_without_any_model(runner: BuiltRunner, tmp_path: Path) -> None:
    records = run(runner, library_plan(NONCE, installed_runtime().path, 10.0), tmp_path)
    assert [record["record"] for record in records] == ["hello", "library", "done"]
    last = run(runner, library_plan(NONCE, str(tmp_path / "none.so"), 10.0), tmp_path)[-1]
    assert "none.so: cannot open shared object file" in last["reason"]


def test_timing_alternates_who_goes_first_and_counts_its_samples(runner: BuiltRunner, tmp_path: Path) -> None:
    model = placed(tiny_model(), tmp_path)
    records = run(runner, time_plan(NONCE, a_setting(), model, model, 2, 3, False), tmp_path)
    names = [record["record"] for record in records if record["record"] != "heartbeat"]
    assert names == [
        *("hello", "library", "loaded", "loaded"),
        *("warm_up", "block", "block"),
        *("warm_up", "block", "block", "block", "done"),
    ]
    decode = [record for record in records if record.get("phase") == "decode" and record["record"] == "block"]
    assert [record["candidate_first"] for record in decode] == [True, False, True]
    assert {len(record[key]) for record in decode for key in ("candidate_ms", "sentinel_ms")} == {4}
    assert records[-1] | {"seconds": 0} == {"record": "done", "nonce": NONCE, "samples": 28, "seconds": 0}


def test_deeper_contexts_are_timed_after_the_first_one(runner: BuiltRunner, tmp_path: Path) -> None:
    model = placed(tiny_model(), tmp_path)
    setting = a_setting(deeper_blocks=2)
    deeper = dataclasses.replace(setting.workload, deeper_contexts=(48, 80))
    setting = dataclasses.replace(setting, workload=deeper)
    records = run(runner, time_plan(NONCE, setting, model, model, 0, 3, False), tmp_path)
    depths = [record["context_tokens"] for record in records if record["record"] == "block"]
    assert depths == [32, 32, 32, 48, 48, 80, 80]
    assert records[-1]["samples"] == 7 * 8


def test_the_runner_keeps_to_the_cores_of_its_plan(runner: BuiltRunner, tmp_path: Path) -> None:
    model = placed(tiny_model(), tmp_path)
    cpu = max(os.sched_getaffinity(0))
    pinned = dataclasses.replace(a_setting(), cpus=(cpu,))
    assert run(runner, memory_plan(NONCE, pinned, model), tmp_path)[0]["affinity"] == [cpu]
    impossible = dataclasses.replace(a_setting(), cpus=(1000,))
    last = run(runner, memory_plan(NONCE, impossible, model), tmp_path)[-1]
    assert (last["kind"], "cpus" in last["reason"]) == ("fault", True)


def test_the_runtime_can_be_loaded_by_itself(runner: BuiltRunner, tmp_path: Path) -> None:
    plan = library_plan(NONCE, installed_runtime().path, 10.0)
    assert [each["record"] for each in run(runner, plan, tmp_path)] == ["hello", "library", "done"]
    last = run(runner, library_plan(NONCE, str(tmp_path / "none.so"), 10.0), tmp_path)[-1]
    assert (last["kind"], "none.so" in last["reason"]) == ("fault", True)


def test_without_prefills_decode_is_timed_alone(runner: BuiltRunner, tmp_path: Path) -> None:
    model = placed(tiny_model(), tmp_path)
    records = run(runner, time_plan(NONCE, a_setting(), model, model, 0, 3, False), tmp_path)
    assert {record["phase"] for record in records if "phase" in record} == {"decode"}
    assert records[-1]["samples"] == 24


def test_without_blocks_of_decode_prefill_is_timed_alone(runner: BuiltRunner, tmp_path: Path) -> None:
    model = placed(tiny_model(), tmp_path)
    records = run(runner, time_plan(NONCE, a_setting(), model, model, 2, 0, False), tmp_path)
    assert {record["phase"] for record in records if "phase" in record} == {"prefill"}
    assert records[-1]["samples"] == 4


def test_the_runner_reports_the_processors_that_the_kernel_allows(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    cpu = min(os.sched_getaffinity(0))
    plan = tmp_path / "plan.txt"
    plan.write_text(
        pool_plan(NONCE, PoolSpec(1, (PoolSection("bytes", 1),)), str(tmp_path / "pool.bin"), 10.0)
    )
    command = ["taskset", "-c", str(cpu), str(runner.path), str(plan)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[0])["affinity"] == [cpu]


def test_memory_grows_from_phase_to_phase(runner: BuiltRunner, tmp_path: Path) -> None:
    model = placed(tiny_model(hidden_size=512, vocab_size=4096), tmp_path)
    records = run(runner, memory_plan(NONCE, a_setting(), model), tmp_path)
    readings = {r["phase"]: r["rss_peak_anonymous_bytes"] for r in records if r["record"] == "memory"}
    assert list(readings) == ["process", "load", "prefill", "decode"]
    assert all(rss <= peak and anonymous < rss for rss, peak, anonymous in readings.values())
    weights = model.files.pool.size_bytes
    assert readings["load"][1] - readings["process"][0] > weights


def test_a_model_above_the_memory_limit_is_stopped_with_a_typed_record(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    model = placed(tiny_model(), tmp_path)
    last = run(runner, memory_plan(NONCE, a_setting(memory_limit_bytes=25_000_000), model), tmp_path)[-1]
    assert (last["record"], last["kind"]) == ("failed", "out_of_memory")
    assert "above the limit of 25.0 MB" in last["reason"]


def test_a_runner_waits_until_another_with_its_plan_file_has_ended_and_not_for_ever(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    path = tmp_path / "plan.txt"
    path.write_text(library_plan(NONCE, installed_runtime().path, 30.0))
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        told = run(runner, path.read_text(), tmp_path)
        assert [(each["record"], each.get("kind")) for each in told] == [("failed", "busy")]
        with subprocess.Popen([runner.path, path], stdout=subprocess.PIPE, text=True) as waiting:
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(0.5)
            fcntl.flock(held, fcntl.LOCK_UN)
            assert waiting.stdout is not None
            records = [json.loads(line)["record"] for line in waiting.stdout]
    assert (records[0], records[-1]) == ("hello", "done")


def test_an_endless_run_beats_and_ends_itself_at_its_deadline(runner: BuiltRunner, tmp_path: Path) -> None:
    model = placed(tiny_model(), tmp_path)
    setting = a_setting(blocks=1, decode_steps_per_block=50_000_000, deadline_s=2.8)
    records = run(runner, time_plan(NONCE, setting, model, model, 2, 3, True), tmp_path)
    assert "heartbeat" in [record["record"] for record in records]
    assert (records[-1]["record"], records[-1]["kind"]) == ("failed", "timed_out")


def test_the_runner_dies_when_its_reader_goes_away(runner: BuiltRunner, tmp_path: Path) -> None:
    model = placed(tiny_model(), tmp_path)
    plan = tmp_path / "plan.txt"
    plan.write_text(time_plan(NONCE, a_setting(), model, model, 2, 10_000_000, False))
    with subprocess.Popen([runner.path, plan], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=10) == -signal.SIGPIPE


def test_nothing_is_written_under_home(runner: BuiltRunner, tmp_path: Path) -> None:
    """ONNX Runtime's wheels write a device id there unless telemetry is off before they load."""
    home = tmp_path / "home"
    home.mkdir()
    model = placed(tiny_model(), tmp_path)
    clean = dict.fromkeys(("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), "")
    records = run(runner, memory_plan(NONCE, a_setting(), model), tmp_path, HOME=str(home), **clean)
    time.sleep(0.2)
    assert records[-1]["record"] == "done"
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("colour red", "unknown key 'colour'"),
        ("threads many", "bad number 'many'"),
        ("vocab 5", "a property before any model"),
        ("section bytes 5", "a section before any pool"),
        ("task dance", "unknown task 'dance'"),
    ],
)
def test_a_plan_with_a_mistake_is_refused(
    runner: BuiltRunner, tmp_path: Path, line: str, complaint: str
) -> None:
    last = run(runner, f"loopfront-plan 1\n{line}\nend\n", tmp_path)[-1]
    assert last["kind"] == "fault"
    assert complaint in last["reason"]


def test_a_plan_that_is_cut_short_or_of_another_version_is_refused(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    for plan, complaint in (
        ("loopfront-plan 1\ntask pool\n", "no end"),
        ("loopfront-plan 9\nend\n", "version 1"),
    ):
        assert complaint in run(runner, plan, tmp_path)[-1]["reason"]


def test_every_line_on_stdout_is_json_even_when_the_message_is_not_plain(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    name = 'naïve "quote" \\ back'
    setting = a_setting()
    model = PlacedModel(tiny_model().files, str(tmp_path / name), str(tmp_path / "pool.bin"))
    (tmp_path / "pool.bin").write_bytes(pool_bytes(model.files.pool))
    last = run(runner, memory_plan(NONCE, setting, model), tmp_path)[-1]
    assert last["kind"] == "refused"
    assert name in last["reason"]
