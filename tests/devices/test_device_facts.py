"""Facts and conditions from files of real devices, and from none at all."""

from typing import Any

from devices.conditions import conditions_from, read_conditions, read_conditions_but_load
from devices.device_facts import facts_from, read_facts
from devices.device_files import read_files
from devices.local import LocalConnection

CPU = "/sys/devices/system/cpu"
LAPTOP = {
    "/proc/cpuinfo": "processor\t: 0\nmodel name\t: Intel(R) Core(TM) i7\nflags\t\t: fpu avx2 avx_vnni\n"
    "\nprocessor\t: 1\n",
    "/proc/meminfo": "MemTotal:       16000000 kB\nSwapTotal:             0 kB\nMemAvailable:    8000000 kB",
    "/proc/sys/kernel/osrelease": "6.12.1",
    "/etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"',
    "/sys/fs/cgroup/memory.max": "max",
    "/sys/fs/cgroup/cpu.max": "150000 100000",
    "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    f"{CPU}/intel_pstate/no_turbo": "0",
    f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq": "4200000",
    f"{CPU}/cpu10/cpufreq/cpuinfo_max_freq": "3000000",
    f"{CPU}/cpu2/cpufreq/cpuinfo_max_freq": "4200000",
    f"{CPU}/cpu0/cache/index0/level": "1",
    f"{CPU}/cpu0/cache/index0/type": "Data",
    f"{CPU}/cpu0/cache/index0/size": "48K",
    "/sys/class/power_supply/BAT0/type": "Battery",
}
ANSWERS = {"machine": "x86_64", "page": "4096"}


def test_a_laptops_facts_are_read() -> None:
    facts = facts_from(LAPTOP, ANSWERS).to_dict()
    expected: dict[str, Any] = {
        "processor": "Intel(R) Core(TM) i7",
        "vector_instructions": ["AVX2", "AVX-VNNI"],
        "cores": 2,
        "is_virtual_machine": False,
        "frequency_max_mhz": [4200, 4200, 3000],
        "turbo": True,
        "caches": {"L1 data": "48K"},
        "memory_bytes": 16_384_000_000,
        "swap_bytes": 0,
        "memory_limit_bytes": None,
        "processor_limit_cores": 1.5,
        "page_bytes": 4096,
        "huge_pages": "madvise",
        "system": "Debian GNU/Linux 13 (trixie)",
        "has_battery": True,
    }
    assert {name: facts[name] for name in expected} == expected


def test_an_arm_board_names_its_cores_by_part() -> None:
    cpuinfo = (
        "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd05\n\n"
        "processor\t: 1\nCPU part\t: 0xd41\n"
    )
    facts = facts_from({"/proc/cpuinfo": cpuinfo}, ANSWERS).values
    assert facts["processor"] == "0x41 0xd05 0xd41"
    assert facts["vector_instructions"] == ["NEON", "NEON dot product"]


def test_what_cannot_be_read_is_none_with_a_reason_and_never_zero() -> None:
    facts = facts_from({}, {"machine": None, "page": None})
    assert set(facts.values.values()) == {None}
    assert set(facts.reasons) == set(facts.values)
    assert facts.reasons["memory_bytes"] == "/proc/meminfo is missing or unreadable"
    assert facts.reasons["page_bytes"] == "getconf PAGESIZE does not answer"


def test_garbage_in_a_file_is_a_reason_not_a_crash() -> None:
    garbage = dict.fromkeys(LAPTOP, "\x00 ?")
    facts = facts_from(garbage, {"machine": "?", "page": "many"})
    assert facts.values["page_bytes"] is None
    assert facts.values["processor_limit_cores"] is None


def test_this_machine_tells_its_facts() -> None:
    facts = read_facts(LocalConnection()).to_dict()
    assert facts["cores"] >= 1
    assert facts["memory_bytes"] > 1e8


def test_files_are_read_by_glob_and_missing_ones_left_out(tmp_path: Any) -> None:
    for name, text in (("zone0", "41000\n"), ("zone1", "two\nlines\n"), ("a b", "space")):
        (tmp_path / name).write_text(text)
    files = read_files(LocalConnection(), [f"{tmp_path}/zone*", f"{tmp_path}/a b", f"{tmp_path}/missing"])
    assert files == {
        f"{tmp_path}/zone0": "41000",
        f"{tmp_path}/zone1": "two\nlines",
        f"{tmp_path}/a b": "space",
    }


BEFORE = {"/proc/stat": "cpu  100 0 0 100 0 0 0 0 0 0\ncpu0 50 0\ncpu1 50 0"}
AFTER = {
    "/proc/stat": "cpu  115 0 0 125 0 0 0 0 0 0\ncpu0 65 0\ncpu1 50 0",
    "/proc/meminfo": LAPTOP["/proc/meminfo"],
    "/proc/loadavg": "1.50 1.00 0.50 2/300 1234",
    "/proc/vmstat": "pgpgin 5\noom_kill 3\noom_kill_other 9",
    "/sys/class/thermal/thermal_zone0/temp": "61500",
    "/sys/class/thermal/thermal_zone1/temp": "-274000",
    "/sys/class/thermal/thermal_zone2/temp": "N/A",
    "/sys/class/power_supply/BAT0/type": "Battery",
    "/sys/class/power_supply/BAT0/capacity": "83",
    "/sys/class/power_supply/BAT0/status": "Discharging",
    "/sys/class/power_supply/mouse/type": "USB",
    "/sys/class/power_supply/mouse/capacity": "2",
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "2800000",
}


def test_conditions_are_read_from_two_looks() -> None:
    now = conditions_from(BEFORE, AFTER)
    assert now.temperature_c == 61.5
    assert (now.cores, now.busy_cores, now.load_average) == (2, 0.75, 1.5)
    assert now.available_bytes == 8_192_000_000
    assert (now.battery_percent, now.is_discharging) == (83, True)
    assert now.clocks_mhz == (2800,)
    assert now.out_of_memory_kills == 3


def test_conditions_of_a_device_that_tells_nothing_are_unknown() -> None:
    now = conditions_from({}, {})
    assert set(vars(now).values()) == {None, ()}


def test_this_machine_tells_its_load_and_memory() -> None:
    now = read_conditions(LocalConnection())
    assert now.busy_cores is not None
    assert now.cores is not None
    assert 0 <= now.busy_cores <= now.cores
    assert now.available_bytes is not None


def test_one_look_tells_all_but_the_load() -> None:
    now = read_conditions_but_load(LocalConnection())
    assert now.busy_cores is None
    assert now.cores is not None
    assert now.available_bytes is not None


def test_the_battery_of_a_mouse_is_not_the_machines() -> None:
    mouse = {"type": "Battery", "capacity": "20", "status": "Discharging", "scope": "Device"}
    files = {f"/sys/class/power_supply/hidpp_battery_0/{name}": text for name, text in mouse.items()}
    now = conditions_from({}, files)
    assert (now.battery_percent, now.is_discharging) == (None, None)
    own = {"type": "Battery", "capacity": "80", "status": "Charging"}
    files |= {f"/sys/class/power_supply/BAT0/{name}": text for name, text in own.items()}
    now = conditions_from({}, files)
    assert (now.battery_percent, now.is_discharging) == (80, False)


def test_what_a_core_that_is_switched_off_tells_is_left_out() -> None:
    path = "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"
    files = {
        path.format(0): "1800000",
        path.format(1): "",
        "/proc/loadavg": "garbage",
        "/proc/stat": "cpu  a b c d e",
    }
    now = conditions_from(files, files)
    assert (now.clocks_mhz, now.load_average, now.busy_cores) == ((1800,), None, None)
