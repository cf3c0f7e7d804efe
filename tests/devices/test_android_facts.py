"""A phone's facts, from what its getprop, its files and its tools print."""

from typing import Any

from devices.android_facts import BATTERY, FREE_SPACE, PAGE_SIZES, PROPERTIES, properties
from devices.device_facts import facts_from
from devices.device_files import said
from tests.devices import simulated_android
from tests.devices.test_device_facts import CPU

BIG_LITTLE = "".join(
    f"processor\t: {core}\nBogoMIPS\t: 38.40\nFeatures\t: fp asimd asimddp i8mm\nCPU implementer\t: 0x41\n"
    f"CPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: {part}\nCPU revision\t: 0\n\n"
    for core, part in enumerate(["0xd80", "0xd81", "0xd82"])
)
SMAPS = "5580000000-5580010000 r--p 00000000 fe:05 1 /system/bin/toybox\nSize:  64 kB\nKernelPageSize:       16 kB\n"
DF = (
    "Filesystem     1024-blocks     Used Available Capacity Mounted on\n"
    "/dev/block/dm-50 230000000 90000000 140000000 40% /data"
)
PHONE = {
    said(*PROPERTIES): simulated_android.properties(),
    said(*BATTERY): simulated_android.battery(),
    said(*FREE_SPACE): DF,
    said(*PAGE_SIZES): SMAPS,
    "/proc/cpuinfo": BIG_LITTLE,
    "/proc/meminfo": "MemTotal:       11500000 kB\nSwapTotal:       4000000 kB",
    f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq": "2265600",
    f"{CPU}/cpu1/cpufreq/cpuinfo_max_freq": "3148800",
    f"{CPU}/cpu2/cpufreq/cpuinfo_max_freq": "3302400",
    f"{CPU}/cpu0/cpu_capacity": "379",
    f"{CPU}/cpu1/cpu_capacity": "923",
    f"{CPU}/cpu2/cpu_capacity": "1024",
}
ANSWERS = {"machine": "aarch64", "page": None}


def test_a_phones_facts_are_read() -> None:
    facts = facts_from(PHONE, ANSWERS).to_dict()
    expected: dict[str, Any] = {
        "model": "Loopfront Simulated X1",
        "architecture": "aarch64",
        "processor": "Loopfront SIM8650",
        "core_parts": ["0x41 0xd80", "0x41 0xd81", "0x41 0xd82"],
        "vector_instructions": ["NEON", "NEON dot product", "I8MM"],
        "cores": 3,
        "frequency_max_mhz": [2265, 3148, 3302],
        "core_capacities": [379, 923, 1024],
        "memory_bytes": 11_776_000_000,
        "system": "Android 14",
        "android_sdk": 34,
        "security_patch": "2024-05-01",
        "page_bytes": 16384,
        "has_battery": True,
        "free_bytes": 143_360_000_000,
    }
    assert {name: facts[name] for name in expected} == expected


def test_what_a_phone_does_not_tell_is_none_with_a_reason_and_never_zero() -> None:
    facts = facts_from(
        {said(*PROPERTIES): "[ro.build.version.release]: [9]"}, {"machine": None, "page": None}
    )
    assert {name: value for name, value in facts.values.items() if value is not None} == {
        "system": "Android 9"
    }
    assert facts.reasons["processor"] == "getprop does not tell ro.soc.model or ro.board.platform"
    assert facts.reasons["free_bytes"] == "df does not tell of /data/local/tmp"
    assert facts.reasons["has_battery"] == "dumpsys battery does not answer"


def test_an_older_phones_chip_is_named_by_its_kernel_or_its_platform() -> None:
    old = "[ro.build.version.release]: [10]\n[ro.board.platform]: [kona]"
    told = {said(*PROPERTIES): old, "/proc/cpuinfo": BIG_LITTLE}
    assert facts_from(told, ANSWERS).values["processor"] == "kona"
    told["/proc/cpuinfo"] += "Hardware\t: Qualcomm Technologies, Inc SM8250\n"
    assert facts_from(told, ANSWERS).values["processor"] == "Qualcomm Technologies, Inc SM8250"


def test_a_maker_is_not_named_twice() -> None:
    told = "[ro.build.version.release]: [14]\n[ro.product.manufacturer]: [Fairphone]\n[ro.product.model]: [FAIRPHONE 5]"
    assert facts_from({said(*PROPERTIES): told}, ANSWERS).values["model"] == "FAIRPHONE 5"


def test_properties_may_hold_anything_but_their_brackets() -> None:
    printed = "[a.b]: [x: [y]]\r\n[empty]: []\nnoise\n[c]: [1]"
    assert properties(printed) == {"a.b": "x: [y]", "c": "1"}


def test_a_machine_that_runs_no_android_has_no_facts_of_one() -> None:
    assert "android_sdk" not in facts_from({said(*FREE_SPACE): DF}, ANSWERS).values
