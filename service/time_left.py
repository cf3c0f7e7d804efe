"""An honest estimate of the time left: from measured seconds per trial, as a band."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

FEWEST_TRIALS = 3
BAND_SIGMAS = 1.28
"""Half the width of an 80 % band in standard deviations."""


@dataclass(frozen=True)
class SecondsLeft:
    """An 80 % band."""

    low: float
    high: float


def seconds_left(trial_seconds: Sequence[float], trials_left: int) -> SecondsLeft | None:
    """Estimate from the seconds that finished trials took; None while fewer than three did."""
    if trials_left <= 0:
        return SecondsLeft(0.0, 0.0)
    if len(trial_seconds) < FEWEST_TRIALS:
        return None
    mean, spread = fmean(trial_seconds), stdev(trial_seconds)
    # The sum of what is to come varies by itself, and its mean is known only from the trials so far.
    deviation = spread * math.sqrt(trials_left + trials_left**2 / len(trial_seconds))
    middle = mean * trials_left
    return SecondsLeft(max(0.0, middle - BAND_SIGMAS * deviation), middle + BAND_SIGMAS * deviation)
