"""The owner's rules of a device: at which hours, and with how much charge, it may be measured.

In a device's table of agent.toml, each may be left out:

allowed_hours = ["22:00-07:00"]     # local time of the agent's machine; several windows, also over midnight
only_while_charging = true
minimum_battery_percent = 40
labels = {room = "lab"}
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from devices.conditions import Conditions
from devices.errors import ConfigUnusable

_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")
_DAY_MINUTES = 24 * 60
_LOOK_AGAIN_S = 10.0
"""Charge changes slowly, and asking a phone for it wakes it."""


@dataclass(frozen=True)
class Window:
    """A part of every day by the wall clock, in minutes since midnight; it may run over midnight."""

    start_minute: int
    end_minute: int

    def contains(self, minute: int) -> bool:
        """Tell whether a minute of the day lies in the window; its end does not."""
        if self.start_minute < self.end_minute:
            return self.start_minute <= minute < self.end_minute
        return minute >= self.start_minute or minute < self.end_minute


@dataclass(frozen=True)
class OwnerRules:
    """When a device may be measured; without rules always."""

    allowed_hours: tuple[Window, ...] = ()
    only_while_charging: bool = False
    minimum_battery_percent: int = 0

    @property
    def need_charge(self) -> bool:
        """Tell whether the device has to be asked for its charge."""
        return self.only_while_charging or self.minimum_battery_percent > 0


@dataclass(frozen=True, kw_only=True)
class OwnerTable:
    """The keys that every device's table of agent.toml may have."""

    labels: Mapping[str, str] = field(default_factory=dict)
    allowed_hours: tuple[str, ...] = ()
    only_while_charging: bool = False
    minimum_battery_percent: int = 0


def rules_of(place: str, table: OwnerTable) -> OwnerRules:
    """Read a table's rules; raises ConfigUnusable naming the place, the value and a way out."""
    for name, value in table.labels.items():
        if not isinstance(value, str):
            raise ConfigUnusable(f"{place}.labels.{name} = {value!r}: write the value in quotes")
    percent = table.minimum_battery_percent
    if not 0 <= percent <= 100:
        raise ConfigUnusable(f"{place}.minimum_battery_percent = {percent}: use 0 to 100")
    windows = tuple(
        _window(f"{place}.allowed_hours[{index}]", text) for index, text in enumerate(table.allowed_hours)
    )
    return OwnerRules(windows, table.only_while_charging, percent)


def _window(place: str, text: str) -> Window:
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise ConfigUnusable(f'{place} = {text!r}: write two times of day, such as "22:00-07:00"')
    start = int(found[1]) * 60 + int(found[2])
    end = int(found[3]) * 60 + int(found[4]) if found[3] else _DAY_MINUTES
    if start == end:
        raise ConfigUnusable(
            f'{place} = {text!r}: it begins when it ends; for a whole day write "00:00-24:00"'
        )
    return Window(start, end)


def outside_hours(rules: OwnerRules, minute: int) -> str:
    """Say from when on a device may be measured that may not at this minute of the day; "" where it may.

    Only the wall clock of the moment counts, so that no jump of it leaves anything behind: an hour that a change to
    summer time leaves out is not waited for, one that comes twice counts twice.
    """
    if not rules.allowed_hours or any(window.contains(minute) for window in rules.allowed_hours):
        return ""
    starts = [window.start_minute for window in rules.allowed_hours]
    next_start = min(starts, key=lambda start: (start - minute) % _DAY_MINUTES)
    return f"allowed from {next_start // 60:02d}:{next_start % 60:02d}"


def lacking_charge(rules: OwnerRules, now: Conditions) -> str:
    """Say what a device lacks by the rules of its charge; one that doesn't tell may not be measured."""
    if rules.only_while_charging:
        if now.is_discharging is None:
            return "it does not tell whether it is charging; if it has no battery, drop only_while_charging"
        if now.is_discharging:
            return "not charging"
    if rules.minimum_battery_percent:
        if now.battery_percent is None:
            return "it does not tell its charge; if it has no battery, drop minimum_battery_percent"
        if now.battery_percent < rules.minimum_battery_percent:
            return f"the battery is at {now.battery_percent} %, below {rules.minimum_battery_percent} %"
    return ""


def local_minute() -> int:
    """Return the minute of the day by this machine's wall clock."""
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min


class OwnersGate:
    """Asks a device's rules before each job; its charge is looked at now and then only."""

    def __init__(
        self,
        rules: OwnerRules,
        minute: Callable[[], int] = local_minute,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules, self._minute, self._clock = rules, minute, clock
        self._looked_s: float | None = None
        self._lacking = ""

    def reason_to_rest(self, look: Callable[[], Conditions]) -> str:
        """Say why the device may not be measured now, "" where it may; raises ConnectionFault if it can't be asked."""
        closed = outside_hours(self._rules, self._minute())
        if closed or not self._rules.need_charge:
            return closed
        now_s = self._clock()
        if self._looked_s is None or now_s - self._looked_s >= _LOOK_AGAIN_S:
            self._lacking = lacking_charge(self._rules, look())
            self._looked_s = now_s
        return self._lacking
