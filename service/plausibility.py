"""Flags a decode step that is faster than the device's memory can be: results from devices are untrusted."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from devices.plan import SentinelReference, Workload
from operators.architecture import Architecture
from operators.cost import decode_bytes
from search.observation import Observation
from service.measurement_plans import Conditions
from service.profile_numbers import best_bandwidth
from service.profile_reader import ProfileReader
from service.sentinel import SENTINEL_PRECISION, sentinel
from service.store.profiles import Profiles

TOO_FAST = 2.0
"""How many times the memory's bandwidth a step may seem to reach before it is flagged."""

SENTINEL_SHARE = 1 / 3
"""Of the bandwidth, what the sentinel's decode reaches at least: its mixers take 1.4 to 2.4 times their floors."""


def memory_ceiling(
    session: Session, device_id: str, reference: SentinelReference, workload: Workload
) -> float:
    """Return a device's bytes per second: as its newest profile measured them, else what its sentinel lets expect."""
    for profile in Profiles(session).of_device(device_id):
        readings = [best_bandwidth(team) for team in ProfileReader(session, profile).teams()]
        if readings:
            return max(readings)
    moved = decode_bytes(sentinel(), SENTINEL_PRECISION, workload.context_tokens)
    return 1e3 * moved / reference.decode_ms / SENTINEL_SHARE


def flags(
    architecture: Architecture,
    conditions: Conditions,
    observed: Mapping[str, Observation],
    ceilings: Mapping[str, float],
) -> tuple[str, ...]:
    """Say in words which targets' decode beats the memory; `ceilings` are bytes per second by target."""
    found = []
    moved = decode_bytes(architecture, conditions.precision, conditions.workload.context_tokens)
    for target, ceiling in ceilings.items():
        time = observed.get(f"tpot_ms_p50@{target}")
        if time is None:
            continue
        rate = 1e3 * moved / time.value
        if rate > TOO_FAST * ceiling:
            found.append(
                f"too fast to be believed on {target}: decode moves {rate / 1e9:.1f} GB/s, the memory about "
                f"{ceiling / 1e9:.1f}; a wrong result, or a model that fits into the caches"
            )
    return tuple(found)
