"""The sentinel's level: what a quiet calibration makes of it, and how far a measurement is from that."""

import math
from statistics import median, stdev

from devices.outcome import Measured, PhaseSamples
from devices.plan import SentinelReference
from devices.summary import sentinel_levels_ms

# Neighbours on a shared machine move the sentinel by up to about 1.4x and pairing cancels that;
# a processor that throttles in earnest runs at half its clock or less.
SLOWED_RATIO = 1.8


def reference_from(calibration: Measured) -> SentinelReference:
    """Make the device's reference from a measurement whose candidate was the sentinel itself."""
    return SentinelReference(
        prefill_ms=sentinel_level_ms(calibration.prefill),
        decode_ms=sentinel_level_ms(calibration.decode),
        prefill_log_spread=_log_spread(calibration.prefill),
        decode_log_spread=_log_spread(calibration.decode),
    )


def sentinel_level_ms(phase: PhaseSamples) -> float:
    """Return the median over processes of the sentinel's median time."""
    return median(sentinel_levels_ms(phase))


def slowdown(prefill: PhaseSamples, decode: PhaseSamples, reference: SentinelReference) -> float:
    """Return how many times slower than at its calibration the sentinel ran, in the worse phase."""
    return max(
        sentinel_level_ms(prefill) / reference.prefill_ms, sentinel_level_ms(decode) / reference.decode_ms
    )


def _log_spread(phase: PhaseSamples) -> float:
    levels = sentinel_levels_ms(phase)
    return stdev(math.log(level) for level in levels) if len(levels) > 1 else 0.0
