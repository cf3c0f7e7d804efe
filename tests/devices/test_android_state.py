"""A phone's battery and temperatures, from dumps in the shapes that phones of several makers and years print."""

import pytest

from devices.android_state import BATTERY, THERMAL, AndroidState, android_state, has_battery
from devices.conditions import conditions_from, read_conditions
from devices.device_files import said
from devices.local import LocalConnection
from tests.devices.simulated_android import battery, thermal


def state(battery: str = "", thermal: str = "") -> AndroidState:
    return android_state({said(*BATTERY): battery, said(*THERMAL): thermal})


def test_a_phone_tells_its_battery_and_its_temperatures() -> None:
    assert state(battery(), thermal()) == AndroidState(
        battery_percent=83,
        is_discharging=False,
        battery_temperature_c=27.4,
        thermal_status=0,
        temperature_c=36.1,  # not the old 88 °C, nor a share of the battery that is listed as a temperature
    )


@pytest.mark.parametrize(
    ("changes", "discharges"),
    [
        ("status: 3", True),
        ("status: 2", False),
        ("status: 5", False),
        ("status: 4\n  AC powered: true", False),  # plugged in, and kept from charging to spare the battery
        ("status: 4\n  AC powered: false\n  USB powered: false", True),
        ("status: 2\n  AC powered: false\n  USB powered: false", True),
        ("AC powered: false\n  Wireless powered: true", False),
        ("level: 50", None),
    ],
)
def test_a_phone_discharges_where_nothing_feeds_it(changes: str, discharges: bool | None) -> None:
    assert state(f"Current Battery Service state:\n  {changes}").is_discharging is discharges


def test_a_level_is_a_share_of_its_scale() -> None:
    assert state("  level: 100\n  scale: 200").battery_percent == 50
    assert state("  level: 40").battery_percent == 40
    assert state("  level: -1\n  scale: 100").battery_percent is None
    assert state("  level: 40\n  scale: 0").battery_percent is None


def test_a_makers_log_behind_the_state_is_not_taken_for_it() -> None:
    dump = (
        f"{battery(level=75)}[EventLogBuffer]\n08-11 18:34:14.721  Sending: level:72, status:3\n  level: 10\n"
    )
    assert state(dump).battery_percent == 75


@pytest.mark.parametrize("tenths", [0, -999])
def test_a_sensor_that_is_not_there_is_no_temperature(tenths: int) -> None:
    assert state(battery(tenths=tenths)).battery_temperature_c is None


def test_temperatures_of_other_things_and_of_switched_off_sensors_are_left_out() -> None:
    hal = "Current temperatures from HAL:\n\tTemperature{mValue=%s, mType=%d, mName=x, mStatus=0}"
    for value, kind in (
        ("NaN", 0),
        ("0.0", 0),
        ("-99.9", 3),
        ("300.0", 0),
        ("60.0", 4),
        ("99.0", 8),
        ("50.0", -1),
    ):
        assert state(thermal=hal % (value, kind)).temperature_c is None
    assert state(thermal=hal % ("41.25", 3)).temperature_c == 41.25


@pytest.mark.parametrize(
    "dump",
    [
        "",
        "Can't find service: thermalservice",
        "*** SERVICE 'thermalservice' DUMP TIMEOUT (10000ms) EXPIRED ***",
        "IsStatusOverride: false\nThermal Status: \nHAL Ready: false",
        "\x00 ?",
    ],
)
def test_what_is_not_told_is_unknown_and_never_zero(dump: str) -> None:
    assert state(dump, dump) == AndroidState(None, None, None, None, None)
    with pytest.raises(ValueError, match="dumpsys battery does not answer"):
        has_battery(dump)


def test_conditions_believe_android_before_files_that_any_driver_may_have_written() -> None:
    texts = {
        said(*BATTERY): battery(level=60, status=3),
        said(*THERMAL): thermal(status=2, skin_c=43.0),
        "/sys/class/thermal/thermal_zone7/temp": "125000",
        "/sys/class/power_supply/bms/type": "Battery",
        "/sys/class/power_supply/bms/capacity": "1",
    }
    now = conditions_from({}, texts)
    assert (now.temperature_c, now.thermal_status, now.battery_temperature_c) == (43.0, 2, 27.4)
    assert (now.battery_percent, now.is_discharging) == (60, True)
    del texts[said(*BATTERY)], texts[said(*THERMAL)]
    assert conditions_from({}, texts).battery_percent == 1


def test_a_machine_without_dumpsys_has_no_thermal_status() -> None:
    assert read_conditions(LocalConnection()).thermal_status is None
