"""The readiness gate: what stands in the way, and how long it is waited for."""

import dataclasses
from typing import Any

import pytest

from devices.conditions import Conditions
from devices.readiness import Thresholds, obstacles, wait_until_ready

CALM = Conditions(40.0, 4, 0.5, 0.5, 4_000_000_000, 80, False, (2000,), 0)
LIMITS = Thresholds(temperature_c=70.0, idle_cores=0.5, battery_percent=25, spare_bytes=100, patience_s=10.0)


def conditions(**changes: Any) -> Conditions:
    return dataclasses.replace(CALM, **changes)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"temperature_c": 71.0}, "it is 71 °C, above 70 °C"),
        ({"busy_cores": 3.8}, "other programs keep 3.8 of 4 cores busy"),
        ({"battery_percent": 24, "is_discharging": True}, "the battery is at 24 %, below 25 %"),
        ({"thermal_status": 1}, "the phone throttles: its thermal status is light"),
        ({"available_bytes": 1_000_000}, "1 MB of memory are free, 2 MB are needed"),
    ],
)
def test_each_obstacle_is_put_into_words(change: dict[str, Any], reason: str) -> None:
    assert obstacles(CALM, LIMITS, 1, 2_000_000) == ()
    assert obstacles(conditions(**change), LIMITS, 1, 2_000_000) == (reason,)


def test_more_threads_need_more_idle_cores() -> None:
    busy = conditions(busy_cores=2.5)
    assert obstacles(busy, LIMITS, 2, 0) == ()
    assert obstacles(busy, LIMITS, 4, 0) != ()


def test_a_low_battery_that_is_charging_is_no_obstacle() -> None:
    assert obstacles(conditions(battery_percent=3), LIMITS, 1, 0) == ()


def test_what_a_device_does_not_tell_is_no_obstacle() -> None:
    unknown = Conditions(None, None, None, None, None, None, None, (), None)
    assert obstacles(unknown, LIMITS, 1, 10**15) == ()


class Time:
    """A clock that moves only when someone waits."""

    def __init__(self, stop_after_s: float = float("inf")) -> None:
        self.now_s = 0.0
        self._stop_after_s = stop_after_s

    def wait(self, seconds: float) -> bool:
        self.now_s += seconds
        return self.now_s >= self._stop_after_s


def test_a_hot_device_is_waited_for_until_it_has_cooled() -> None:
    time = Time()
    readiness = wait_until_ready(
        look=lambda: conditions(temperature_c=75.0 - time.now_s),
        judge=lambda now: obstacles(now, LIMITS, 1, 0),
        thresholds=LIMITS,
        wait=time.wait,
        clock=lambda: time.now_s,
    )
    assert readiness.is_ready
    assert (readiness.waited_s, readiness.conditions.temperature_c) == (5.0, 70.0)


@pytest.mark.parametrize(("stop_after_s", "waited_s"), [(float("inf"), 10.0), (3.0, 2.0)])
def test_waiting_ends_with_patience_or_when_asked(stop_after_s: float, waited_s: float) -> None:
    time = Time(stop_after_s)
    readiness = wait_until_ready(lambda: CALM, lambda _: ("never",), LIMITS, time.wait, lambda: time.now_s)
    assert readiness.obstacles == ("never",)
    assert readiness.waited_s == waited_s
