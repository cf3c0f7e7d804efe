"""Condense raw samples into the paired median, its interval and the raw percentiles."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, median, quantiles, stdev, variance

from devices.outcome import BlockSamples, PhaseSamples, ProcessSamples

# Two to four processes say little about how much processes differ, so what is known beforehand counts as
# PRIOR_DEGREES further ones: one process's paired log ratio spreads by 1.2 % in decode (24 blocks) and 1.3 % in
# prefill (5 pairs), root mean square of six 60 M layouts in 8 processes each; by 0.4 to 2.2 % for a single layout.
PRIOR_LOG_SPREAD = 0.013
PRIOR_DEGREES = 6

# Pairing cancels what slows both models alike. For a minute or two now and then a neighbour on the same host does not:
# decode ratios were then 6 to 18 % off, and processes disagreed. Of 40 candidates in two rounds, the 30 that stayed
# below this in both ranked alike at 0.99 (all: 0.93) and spread by 1.0 % (all: 3.2 %).
UNSETTLED_LOG_SPREAD = 0.03
_FEWEST_TO_JUDGE = 4

# Standard error of the median of n normal values over that of their mean, n = 1 to 10, and its limit.
_MEDIAN_TO_MEAN_ERROR = (1.0, 1.0, 1.160, 1.092, 1.198, 1.135, 1.214, 1.160, 1.223, 1.176)
_MEDIAN_TO_MEAN_LIMIT = math.sqrt(math.pi / 2)

_STUDENT_T_975: Mapping[float, float] = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}

_DEVIATION_TO_SPREAD = 1.4826
"""Standard deviation over median absolute deviation of normal values."""


@dataclass(frozen=True)
class PairedSummary:
    """One phase in numbers: the candidate-to-sentinel ratio, and the raw times beside it.

    `ratio_median` is over the blocks of all processes: of ten ways it repeated best (`make bench-fleet`).
    `ratio_half_width` is half the 95 % interval of `ratio_median`, as a share of it: 0.02 is ± 2 %.
    """

    ratio_median: float
    ratio_half_width: float
    raw_p50_ms: float
    raw_p95_ms: float
    raw_cv: float
    sentinel_p50_ms: float
    samples: int
    processes: int


def summarise(phase: PhaseSamples) -> PairedSummary:
    """Summarise one phase; the interval treats processes, not blocks, as the independent unit."""
    process_logs = _process_logs(phase)
    raw = [ms for process in phase.processes for block in process.blocks for ms in block.candidate_ms]
    return PairedSummary(
        ratio_median=math.exp(
            median(block_log_ratio(block) for process in phase.processes for block in process.blocks)
        ),
        ratio_half_width=math.expm1(_log_half_width(phase, process_logs)),
        raw_p50_ms=median(raw),
        raw_p95_ms=percentile(raw, 95),
        raw_cv=stdev(raw) / fmean(raw) if len(raw) > 1 else 0.0,
        sentinel_p50_ms=median(sentinel_levels_ms(phase)),
        samples=len(raw),
        processes=len(phase.processes),
    )


def block_log_ratio(block: BlockSamples) -> float:
    """Return log(candidate / sentinel) of one block, by its medians: one hiccup of the machine is ignored."""
    return math.log(median(block.candidate_ms) / median(block.sentinel_ms))


def process_log_ratio(process: ProcessSamples) -> float:
    """Return the median of one process's block ratios, as a logarithm."""
    return median(block_log_ratio(block) for block in process.blocks)


def disagreement(phase: PhaseSamples) -> float:
    """Return the standard deviation of the processes' log ratios; 0 of a single process."""
    logs = _process_logs(phase)
    return stdev(logs) if len(logs) > 1 else 0.0


def is_unsettled(phase: PhaseSamples) -> bool:
    """Tell whether processes disagree as they do where another program disturbs candidate and sentinel unequally."""
    return len(phase.processes) >= _FEWEST_TO_JUDGE and disagreement(phase) > UNSETTLED_LOG_SPREAD


def _process_logs(phase: PhaseSamples) -> list[float]:
    return [process_log_ratio(process) for process in phase.processes]


def sentinel_levels_ms(phase: PhaseSamples) -> list[float]:
    """Return the sentinel's median time in each process."""
    return [median(ms for block in process.blocks for ms in block.sentinel_ms) for process in phase.processes]


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile by linear interpolation; a single value is its own percentile."""
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def student_t(probability: float, degrees: float) -> float:
    """Return Student's t quantile (Abramowitz and Stegun 26.7.5), within 0.3 %; below 5 degrees at 0.975 only."""
    if probability == 0.975 and degrees in _STUDENT_T_975:
        return _STUDENT_T_975[degrees]
    z = NormalDist().inv_cdf(probability)
    return (
        z
        + (z**3 + z) / (4 * degrees)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    )


def _log_half_width(phase: PhaseSamples, process_logs: list[float]) -> float:
    processes = len(process_logs)
    degrees = PRIOR_DEGREES + processes - 1
    between = variance(process_logs) if processes > 1 else 0.0
    pooled = (PRIOR_DEGREES * PRIOR_LOG_SPREAD**2 + (processes - 1) * between) / degrees
    between_processes = pooled / processes * _median_to_mean_error(processes) ** 2
    return student_t(0.975, degrees) * math.sqrt(between_processes + _variance_of_median(phase))


def _variance_of_median(phase: PhaseSamples) -> float:
    """Return the variance of the median over all blocks that their scatter alone would cause.

    The scatter is told by the median absolute deviation: few blocks hold hiccups, which the median ignores too. Added
    to that between processes it holds another round's value, widened by the root of two, in 95 % of 40 candidates in
    three rounds, in both phases; the larger of the two alone in 90 %.
    """
    ratios = [block_log_ratio(block) for process in phase.processes for block in process.blocks]
    middle = median(ratios)
    spread = _DEVIATION_TO_SPREAD * median(abs(ratio - middle) for ratio in ratios)
    return spread**2 / len(ratios) * _median_to_mean_error(len(ratios)) ** 2


def _median_to_mean_error(count: int) -> float:
    return _MEDIAN_TO_MEAN_ERROR[count - 1] if count <= len(_MEDIAN_TO_MEAN_ERROR) else _MEDIAN_TO_MEAN_LIMIT
