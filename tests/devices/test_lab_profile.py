"""Which cores the lab profile takes, and that it leaves nothing behind."""

from pathlib import Path
from typing import Any

from devices.device_facts import DeviceFacts
from devices.lab_profile import fastest_cpus, put_governors_back
from devices.local import LocalConnection


def facts(**values: Any) -> DeviceFacts:
    return DeviceFacts(values, {})


def test_the_cores_of_most_capacity_are_taken_then_those_of_the_highest_clock() -> None:
    big_little = facts(cores=8, core_capacities=[250] * 4 + [800] * 3 + [1024])
    assert fastest_cpus(big_little, 1) == (7,)
    assert fastest_cpus(big_little, 3) == (5, 6, 7)
    clocks = facts(cores=4, core_capacities=None, frequency_max_mhz=[3000, 3600, 3000, 3000])
    assert fastest_cpus(clocks, 2) == (1, 3)


def test_of_equal_cores_the_last_are_taken() -> None:
    assert fastest_cpus(facts(cores=4), 2) == (2, 3)


def test_a_device_that_does_not_tell_its_cores_is_not_pinned() -> None:
    assert fastest_cpus(facts(cores=None), 1) == ()


def test_what_a_broken_line_left_is_put_back_once(tmp_path: Path) -> None:
    kept = tmp_path / "governors"
    put_governors_back(LocalConnection(), str(kept))  # nothing to do
    kept.write_text("999 schedutil\n")  # of a core that this machine hasn't: only the note itself can be seen
    put_governors_back(LocalConnection(), str(kept))
    assert not kept.exists()
