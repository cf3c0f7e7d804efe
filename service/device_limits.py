"""What a device can't do whatever its state, so that nobody waits for it to become ready."""

from service.errors import BadInput
from service.store.rows import DeviceRow


def too_many_threads(device: DeviceRow | None, threads: int) -> str:
    """Say in words that a device has fewer cores than threads are asked for; "" where it has enough."""
    cores = device.facts.get("cores") if device else None
    if device is None or not isinstance(cores, int) or cores < 1 or threads <= cores:
        return ""
    return f"{threads} can't be used: {device.name} has {cores} core{'s' if cores > 1 else ''}"


def refuse_threads(device: DeviceRow, threads: int) -> None:
    """Raise BadInput where a device has fewer cores than threads are asked for."""
    fault = too_many_threads(device, threads)
    if fault:
        raise BadInput(fault, field="workload.threads", hint="ask for fewer, or name another device")
