"""The rows that show devices on pages; whatever agents said of them is plain text there."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from reports.rows import DeviceSummaryRow
from service.api.schemas import DeviceOut, StationOut

LONGEST_FACT = 120


def device_rows(
    devices: Sequence[DeviceOut], unregistered: Sequence[StationOut]
) -> tuple[DeviceSummaryRow, ...]:
    """Show registered devices and, after them, those that no agent could open yet."""
    return (*map(_registered, devices), *map(_unregistered, unregistered))


def _registered(device: DeviceOut) -> DeviceSummaryRow:
    name = shlex.quote(device.name)
    verb = "resume" if device.state == "paused" else "pause"
    return DeviceSummaryRow(
        name=device.name,
        state=device.state,
        kind=device.kind,
        agent=device.agent,
        facts=_facts(device.facts),
        reason=device.reason,
        hint=_command(device.hint),
        hint_place=_place(device.hint),
        labels=device.labels,
        last_measured_at=_moment(device.last_measured_at),
        examined_at=_moment(device.examined_at),
        examination=device.examination,
        log_href=f"/devices/{quote(device.name)}/attempts",
        commands=(
            f"loopfront device {verb} {name}",
            f"loopfront device label {name} room=lab",
            f"loopfront device profile {name}",
        ),
    )


def _unregistered(station: StationOut) -> DeviceSummaryRow:
    return DeviceSummaryRow(
        name=station.name,
        state=station.state,
        kind=station.kind,
        agent=station.agent,
        reason=station.reason,
        hint=_command(station.hint),
        hint_place=_place(station.hint),
        is_registered=False,
    )


def _facts(facts: Mapping[str, Any]) -> dict[str, str]:
    """The few facts by which people tell devices apart."""
    memory = facts.get("memory_bytes")
    shown = {
        "processor": facts.get("processor"),
        "cores": f"{facts['cores']} cores" if facts.get("cores") else None,
        "memory": f"{memory / 1e9:.1f} GB" if isinstance(memory, int) and memory > 0 else None,
        "system": facts.get("system") or facts.get("kernel"),
        "runtime": facts.get("runtime"),
    }
    return {name: str(value)[:LONGEST_FACT] for name, value in shown.items() if value}


def _place(hint: str) -> str:
    """Where something is to be typed, of a hint such as "on the lab host: loopfront agent doctor"."""
    return hint.rpartition(": ")[0]


def _command(hint: str) -> str:
    return hint.rpartition(": ")[2]


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
