"""The rows of a report that show devices, their calibration, and the sentinel's level through a session."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from devices.outcome import Measured, PhaseSamples
from devices.summary import student_t, summarise
from reports.rows import DeviceRow, SentinelPoint
from service.store.rows import CalibrationRow
from service.store.rows import DeviceRow as StoredDevice

SHOWN_FACTS = {
    "processor": "processor",
    "vector_instructions": "vector instructions",
    "cores": "cores",
    "is_virtual_machine": "virtual machine",
    "memory_bytes": "memory",
    "caches": "caches",
    "system": "system",
    "kernel": "kernel",
    "architecture": "architecture",
}


def device_row(
    device: StoredDevice, target: str, calibration: CalibrationRow | None, measured: Measured | None
) -> DeviceRow:
    """Show a device as a target of a study, with its calibration and what was `measured` for that."""
    reference: Mapping[str, float] = calibration.reference if calibration else {}
    return DeviceRow(
        name=device.name,
        target=target,
        facts=device_facts(device.facts),
        calibration=_calibration(calibration, measured),
        sentinel_prefill_ms=reference.get("prefill_ms"),
        sentinel_decode_ms=reference.get("decode_ms"),
    )


def sentinel_points(measurements: Iterable[tuple[str, str, Measured]]) -> tuple[SentinelPoint, ...]:
    """Show the sentinel's own level in each measurement, given as (label, target, measured) in their order."""
    return tuple(
        SentinelPoint(
            order=order,
            label=label,
            prefill_ms=summarise(measured.prefill).sentinel_p50_ms,
            decode_ms=summarise(measured.decode).sentinel_p50_ms,
            temperature_c=_temperature(measured.passport),
            target=target,
        )
        for order, (label, target, measured) in enumerate(measurements, start=1)
    )


def device_facts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Show what a device says of itself, as far as it says anything."""
    return {
        label: _text(name, facts[name]) for name, label in SHOWN_FACTS.items() if facts.get(name) is not None
    }


def _text(name: str, value: object) -> str:
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{value / 1e9:.1f} GB"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)


def _calibration(row: CalibrationRow | None, measured: Measured | None) -> dict[str, str]:
    if row is None:
        return {"state": "not calibrated yet"}
    reference = row.reference
    shown = {
        "sentinel version": row.sentinel_version,
        "taken at": f"{row.created_at:%Y-%m-%d %H:%M} UTC",
        "prefill": f"{reference['prefill_ms']:.1f} ms",
        "decode": f"{reference['decode_ms']:.2f} ms",
    }
    if measured is None:
        return shown
    shown["prefill"] += _level_interval(measured.prefill, reference["prefill_log_spread"])
    shown["decode"] += _level_interval(measured.decode, reference["decode_log_spread"])
    return shown | _self_check(measured)


def _level_interval(phase: PhaseSamples, log_spread: float) -> str:
    """The 95 % interval of the sentinel's level, by how much its processes differ."""
    processes = len(phase.processes)
    if processes < 2:
        return ""
    half_width = student_t(0.975, processes - 1) * log_spread / math.sqrt(processes)
    return f" ± {100 * math.expm1(half_width):.1f} % ({processes} processes)"


def _self_check(measured: Measured) -> dict[str, str]:
    """The sentinel against itself: its paired ratio should be 1."""
    prefill, decode = summarise(measured.prefill), summarise(measured.decode)
    return {
        "self-check prefill": f"{prefill.ratio_median:.3f} ± {100 * prefill.ratio_half_width:.1f} %",
        "self-check decode": f"{decode.ratio_median:.3f} ± {100 * decode.ratio_half_width:.1f} %",
    }


def _temperature(passport: Mapping[str, Any]) -> float | None:
    after = passport.get("conditions", {}).get("after", {})
    temperature = after.get("temperature_c")
    return float(temperature) if temperature is not None else None
