"""What a Mac tells, from texts as its commands print them; nothing here has run on a Mac."""

from devices.macos import mac_conditions_from, mac_facts_from

SYSCTL = """hw.model: Mac14,2
hw.ncpu: 8
hw.memsize: 17179869184
hw.pagesize: 16384
machdep.cpu.brand_string: Apple M2
kern.hostname: air.local
kern.osrelease: 23.5.0
kern.hv_vmm_present: 0
vm.swapusage: total = 2048.00M  used = 512.25M  free = 1535.75M  (encrypted)
hw.perflevel0.name: Performance
hw.perflevel0.physicalcpu: 4
hw.perflevel0.l1icachesize: 196608
hw.perflevel0.l1dcachesize: 131072
hw.perflevel0.l2cachesize: 16777216
hw.perflevel1.name: Efficiency
hw.perflevel1.physicalcpu: 4
hw.optional.AdvSIMD: 1
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_I8MM: 1
hw.optional.arm.FEAT_SME: 0
vm.loadavg: { 1.70 1.90 2.00 }"""
SW_VERS = "ProductName:\t\tmacOS\nProductVersion:\t\t14.5\nBuildVersion:\t\t23F79"
BATTERY = """Now drawing from 'Battery Power'
 -InternalBattery-0 (id=21233763)\t85%; discharging; 9:19 remaining present: true"""
MEMORY = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               12000.
Pages active:                            300000.
Pages inactive:                          250000.
Pages speculative:                         5000."""
LOAD = """Processes: 400 total
CPU usage: 50.0% user, 25.0% sys, 25.0% idle
CPU usage: 10.50% user, 2.0% sys, 87.50% idle"""


def test_a_macs_facts_are_read() -> None:
    values, reasons = mac_facts_from({"sysctl": SYSCTL, "sw_vers": SW_VERS, "battery": BATTERY})
    assert values == {
        "host_name": "air.local",
        "model": "Mac14,2",
        "architecture": "arm64",
        "processor": "Apple M2",
        "vector_instructions": ["NEON", "NEON dot product", "I8MM"],
        "cores": 8,
        "core_kinds": {"Performance": 4, "Efficiency": 4},
        "is_virtual_machine": False,
        "frequency_max_mhz": None,
        "caches": {"L1 data": "128K", "L1 instruction": "192K", "L2 unified": "16384K"},
        "memory_bytes": 17_179_869_184,
        "swap_bytes": 2_147_483_648,
        "page_bytes": 16384,
        "system": "macOS 14.5 (23F79)",
        "kernel": "23.5.0",
        "has_battery": True,
    }
    assert reasons == {"frequency_max_mhz": "macOS tells no frequencies"}


def test_what_a_mac_does_not_tell_is_none_with_its_reason() -> None:
    values, reasons = mac_facts_from({})
    assert {name for name, value in values.items() if value not in (None, [])} == {"architecture"}
    assert reasons["processor"] == "sysctl machdep.cpu.brand_string does not answer"
    assert reasons["has_battery"] == "pmset -g batt does not answer"
    assert reasons["system"] == "sw_vers does not answer"


def test_a_macs_conditions_are_read() -> None:
    texts = {"sysctl": SYSCTL, "battery": BATTERY, "memory": MEMORY, "load": LOAD}
    conditions = mac_conditions_from({**texts, "thermal": "CPU_Scheduler_Limit = 100\nCPU_Speed_Limit = 72"})
    assert conditions == {
        "temperature_c": None,
        "cores": 8,
        "busy_cores": 1.0,
        "load_average": 1.7,
        "available_bytes": 262_000 * 16384,
        "battery_percent": 85,
        "is_discharging": True,
        "clocks_mhz": (),
        "out_of_memory_kills": None,
        "speed_limit_percent": 72,
    }


def test_a_mac_without_a_battery_or_a_thermal_warning_tells_neither() -> None:
    quiet = {
        "battery": "Now drawing from 'AC Power'",
        "thermal": "Note: No thermal warning level has been recorded",
    }
    conditions = mac_conditions_from(quiet)
    assert {name for name, value in conditions.items() if value not in (None, ())} == set()
