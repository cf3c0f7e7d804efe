"""The arithmetic of a profile: slopes over copies, ratios, speeds, and shares of the memory's bandwidth."""

import math
from collections.abc import Sequence
from statistics import median

from devices.outcome import TeamReading
from search.observation import Observation


def slope(few: Observation, many: Observation, copies: tuple[int, int]) -> Observation:
    """Return what one further copy adds, in the unit of the two; their errors are taken as independent."""
    more = copies[1] - copies[0]
    value = (many.value - few.value) / more
    half_width = math.hypot(_half_width(few), _half_width(many)) / more
    raw = None if few.raw is None or many.raw is None else (many.raw - few.raw) / more
    return Observation(value, value - half_width, value + half_width, raw)


def ratio(one: Observation, other: Observation) -> Observation | None:
    """Return how many times `other` the value `one` is; None where either can't be told from nothing.

    The relative errors add up in quadrature, on a logarithmic scale.
    """
    if one.low <= 0 or other.low <= 0:
        return None
    factor = math.exp(math.hypot(_log_half_width(one), _log_half_width(other)))
    value = one.value / other.value
    return Observation(value, value / factor, value * factor)


def per_second(milliseconds: Observation, count: int) -> Observation:
    """Return how many of `count` things per second a time means."""
    low, value, high = (
        1e3 * count / each for each in (milliseconds.high, milliseconds.value, milliseconds.low)
    )
    raw = None if milliseconds.raw is None else 1e3 * count / milliseconds.raw
    return Observation(value, low, high, raw)


def bandwidth_share(
    milliseconds: Observation, moved_bytes: float, bytes_per_second: float
) -> Observation | None:
    """Return which share of a bandwidth moving so many bytes in that time is; None where the time may be nothing."""
    if milliseconds.low <= 0:
        return None
    least_ms = 1e3 * moved_bytes / bytes_per_second
    return Observation(
        least_ms / milliseconds.value, least_ms / milliseconds.high, least_ms / milliseconds.low
    )


def best_bandwidth(team: TeamReading) -> float:
    """Return the bytes per second of the fastest reading: a ceiling is what was reached, not what is usual."""
    return max(team.bytes_per_second)


def usual_bandwidth(team: TeamReading) -> float:
    """Return the bytes per second of the median reading."""
    return median(team.bytes_per_second)


def seconds_left(
    done: Sequence[tuple[float, float]], effort_left: float, running: tuple[float, float] | None
) -> float | None:
    """Forecast the rest of a profile from what was measured so far; None before there is anything to go by.

    `done` and `running` are (effort, seconds) of entries that were really measured, and of the one under way.
    """
    effort = sum(each for each, _ in done)
    if not effort:
        return None
    pace = sum(spent for _, spent in done) / effort
    now = max(0.0, running[0] * pace - running[1]) if running else 0.0
    return pace * effort_left + now


def _half_width(observation: Observation) -> float:
    return max(observation.high - observation.value, observation.value - observation.low)


def _log_half_width(observation: Observation) -> float:
    return max(math.log(observation.high / observation.value), math.log(observation.value / observation.low))
