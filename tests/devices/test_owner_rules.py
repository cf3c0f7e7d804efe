"""The owner's rules as plain functions of the clock and of what a device tells, and how agent.toml says them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.agent_config import read_agent_config, read_own_entry
from devices.conditions import Conditions
from devices.errors import ConfigUnusable
from devices.owner_rules import (
    OwnerRules,
    OwnersGate,
    OwnerTable,
    lacking_charge,
    local_minute,
    outside_hours,
    rules_of,
)

NIGHT = rules_of("own", OwnerTable(allowed_hours=("22:00-07:00", "12:30-13:00")))


def conditions(percent: int | None = None, discharging: bool | None = None) -> Conditions:
    return Conditions(None, 4, 0.0, 0.0, None, percent, discharging, (), None)


@pytest.mark.parametrize(
    ("clock", "reason"),
    [
        ("21:59", "allowed from 22:00"),
        ("22:00", ""),
        ("23:59", ""),
        ("00:00", ""),
        ("06:59", ""),
        ("07:00", "allowed from 12:30"),
        ("12:30", ""),
        ("12:59", ""),
        ("13:00", "allowed from 22:00"),
    ],
)
def test_several_windows_also_over_midnight(clock: str, reason: str) -> None:
    hours, minutes = clock.split(":")
    assert outside_hours(NIGHT, int(hours) * 60 + int(minutes)) == reason


def test_a_window_may_end_with_the_day() -> None:
    rules = rules_of("own", OwnerTable(allowed_hours=("18:00-24:00",)))
    assert outside_hours(rules, 23 * 60 + 59) == ""
    assert outside_hours(rules, 0) == "allowed from 18:00"


def test_without_rules_nothing_is_asked_of_the_device() -> None:
    def look() -> Conditions:
        raise AssertionError("the device was asked")

    assert OwnersGate(OwnerRules()).reason_to_rest(look) == ""
    allowed = OwnersGate(NIGHT, minute=lambda: 0)
    assert allowed.reason_to_rest(look) == ""
    closed = OwnersGate(OwnerRules(NIGHT.allowed_hours, only_while_charging=True), minute=lambda: 8 * 60)
    assert closed.reason_to_rest(look) == "allowed from 12:30"


@pytest.mark.parametrize(
    ("rules", "now", "reason"),
    [
        (OwnerRules(only_while_charging=True), conditions(80, True), "not charging"),
        (OwnerRules(only_while_charging=True), conditions(5, False), ""),
        (OwnerRules(only_while_charging=True), conditions(), "drop only_while_charging"),
        (OwnerRules(minimum_battery_percent=40), conditions(39, False), "at 39 %, below 40 %"),
        (OwnerRules(minimum_battery_percent=40), conditions(40, True), ""),
        (OwnerRules(minimum_battery_percent=40), conditions(None, False), "drop minimum_battery_percent"),
        (OwnerRules(), conditions(1, True), ""),
    ],
)
def test_charge_is_required_and_what_does_not_tell_it_rests(
    rules: OwnerRules, now: Conditions, reason: str
) -> None:
    said = lacking_charge(rules, now)
    assert reason in said
    assert bool(said) == bool(reason)


def test_a_device_is_asked_for_its_charge_now_and_then_and_the_clock_at_every_look() -> None:
    minute, now_s, looks = 23 * 60, 100.0, []
    rules = OwnerRules(NIGHT.allowed_hours, only_while_charging=True)
    gate = OwnersGate(rules, minute=lambda: minute, clock=lambda: now_s)

    def look() -> Conditions:
        looks.append(now_s)
        return conditions(50, discharging=len(looks) < 2)

    assert gate.reason_to_rest(look) == "not charging"
    now_s += 9.0
    assert gate.reason_to_rest(look) == "not charging"
    minute = 8 * 60  # a jump of the wall clock, or the morning
    assert gate.reason_to_rest(look) == "allowed from 12:30"
    minute, now_s = 1 * 60, now_s + 1.0  # and back
    assert gate.reason_to_rest(look) == ""
    assert looks == [100.0, 110.0]


@pytest.fixture
def berlin() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def test_a_change_to_summer_time_and_back_moves_the_window_with_the_wall_clock(berlin: None) -> None:
    rules = rules_of("own", OwnerTable(allowed_hours=("02:00-03:00",)))

    def open_minutes(midnight: tuple[int, int, int]) -> int:
        start = int(time.mktime((*midnight, 0, 0, 0, 0, 0, -1)))
        local = (time.localtime(start + 60 * each) for each in range(6 * 60))
        return sum(outside_hours(rules, now.tm_hour * 60 + now.tm_min) == "" for now in local)

    assert open_minutes((2026, 6, 1)) == 60
    assert open_minutes((2026, 3, 29)) == 0, "that hour does not exist"
    assert open_minutes((2026, 10, 25)) == 120, "that hour comes twice"


def test_the_wall_clock_of_this_machine_is_what_counts() -> None:
    now = time.localtime()
    assert (local_minute() - now.tm_hour * 60 - now.tm_min) % 1440 in {0, 1}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('allowed_hours = ["22-7"]', r"own\.allowed_hours\[0\] = '22-7': write two times of day"),
        ('allowed_hours = ["07:00-25:00"]', r"allowed_hours\[0\] = '07:00-25:00': write two times"),
        ('allowed_hours = ["09:00-10:00", "08:00-08:00"]', r"allowed_hours\[1\] = '08:00-08:00'.*whole day"),
        ('allowed_hours = "22:00-07:00"', r"own\.allowed_hours: expected a list"),
        ("only_while_charging = 1", r"own\.only_while_charging: expected bool"),
        ("minimum_battery_percent = 140", r"own\.minimum_battery_percent = 140: use 0 to 100"),
        ('minimum_battery_percent = "40"', r"own\.minimum_battery_percent: expected int"),
        ("labels = {room = 3}", r"own\.labels\.room = 3: write the value in quotes"),
        ("colour = 1", r"own\.colour: unknown key"),
    ],
)
def test_a_mistake_in_the_rules_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(f"[own]\n{line}\n")
    with pytest.raises(ConfigUnusable, match=words):
        read_own_entry(path)


def test_the_rules_of_every_table_are_read(tmp_path: Path) -> None:
    key = "SHA256:" + 43 * "a"
    path = tmp_path / "agent.toml"
    path.write_text(
        '[own]\nallowed_hours = ["22:00-07:00"]\nlabels = {room = "lab"}\n'
        f'[[ssh]]\nname = "desk"\nhost = "h"\nuser = "u"\nkey = "k"\nhost_key = "ssh-ed25519 {key}"\n'
        "only_while_charging = true\nminimum_battery_percent = 40\n"
    )
    own = read_own_entry(path)
    assert (own.labels, own.rules) == ({"room": "lab"}, OwnerRules(NIGHT.allowed_hours[:1]))
    (desk,) = read_agent_config(path)
    assert desk.rules == OwnerRules((), only_while_charging=True, minimum_battery_percent=40)
