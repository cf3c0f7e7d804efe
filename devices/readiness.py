"""The readiness gate: wait until a device is cool, idle, charged and roomy enough to be believed."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from devices.conditions import Conditions

THERMAL_STATUSES = {1: "light", 2: "moderate", 3: "severe", 4: "critical", 5: "emergency", 6: "shutdown"}
"""As Android names them."""


@dataclass(frozen=True)
class Thresholds:
    """What a device must meet before it is timed.

    `idle_cores` must be left by all other programs, for each thread that is timed: pairing with the
    sentinel forgives disturbances, not a runner that must share its only core all the time. 0 ignores load.
    """

    temperature_c: float = 70.0
    idle_cores: float = 0.25
    battery_percent: int = 25
    spare_bytes: int = 256_000_000
    patience_s: float = 90.0
    pause_s: float = 1.0


@dataclass(frozen=True)
class Readiness:
    """The last look at a device; it is ready if nothing stands in the way."""

    conditions: Conditions
    obstacles: tuple[str, ...]
    waited_s: float

    @property
    def is_ready(self) -> bool:
        """Tell whether the device may be timed now."""
        return not self.obstacles


def obstacles(now: Conditions, thresholds: Thresholds, threads: int, needed_bytes: int) -> tuple[str, ...]:
    """Return in words everything that stands in the way; what a device does not tell cannot."""
    found = []
    if now.temperature_c is not None and now.temperature_c > thresholds.temperature_c:
        found.append(f"it is {now.temperature_c:.0f} °C, above {thresholds.temperature_c:.0f} °C")
    if now.speed_limit_percent is not None and now.speed_limit_percent < 100:
        found.append(f"the system holds the processor at {now.speed_limit_percent} % of its speed")
    if now.thermal_status:
        found.append(
            f"the phone throttles: its thermal status is {THERMAL_STATUSES.get(now.thermal_status, '?')}"
        )
    if now.busy_cores is not None and now.cores is not None:
        idle = now.cores - now.busy_cores
        if idle < thresholds.idle_cores * threads:
            found.append(f"other programs keep {now.busy_cores:.1f} of {now.cores} cores busy")
    if (
        now.is_discharging
        and now.battery_percent is not None
        and now.battery_percent < thresholds.battery_percent
    ):
        found.append(f"the battery is at {now.battery_percent} %, below {thresholds.battery_percent} %")
    needed_bytes += thresholds.spare_bytes
    if now.available_bytes is not None and now.available_bytes < needed_bytes:
        found.append(
            f"{now.available_bytes / 1e6:.0f} MB of memory are free, {needed_bytes / 1e6:.0f} MB are needed"
        )
    return tuple(found)


def wait_until_ready(
    look: Callable[[], Conditions],
    judge: Callable[[Conditions], tuple[str, ...]],
    thresholds: Thresholds,
    wait: Callable[[float], bool],
    clock: Callable[[], float] = time.monotonic,
) -> Readiness:
    """Look until nothing stands in the way, or patience ends; `wait` sleeps and returns True to give up."""
    started_s = clock()
    while True:
        now = look()
        waited_s = clock() - started_s
        readiness = Readiness(now, judge(now), waited_s)
        if readiness.is_ready or waited_s >= thresholds.patience_s or wait(thresholds.pause_s):
            return readiness
