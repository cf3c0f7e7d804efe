"""Turn a measurement into numbers with uncertainty: paired times, their raw readings, and memory."""

import math
from collections.abc import Mapping
from statistics import median, stdev
from typing import Any

from devices.outcome import Measured, PhaseSamples, ProcessSamples
from devices.plan import SentinelReference
from devices.summary import percentile, process_log_ratio, student_t, summarise
from search.objective import BYTES_PER_MB
from search.observation import Observation

PEAK_RSS_HALF_WIDTH = 0.003
"""Peak memory in a process of its own repeats within 0.3 % (median, x86-64 Linux)."""


def observe(measured: Measured, reference: SentinelReference, target: str) -> dict[str, Observation]:
    """Give the metrics of one target: time = ratio to the sentinel x the sentinel's reference time.

    The intervals are those of the ratio. The reference time's own error moves every candidate of a device
    alike, so it is left out of them; the report shows it beside the calibration.
    """
    prefill, decode = measured.prefill, measured.decode
    deeper = {}
    for each in measured.deeper:
        # The sentinel did not go deeper, so its quiet level is the one it has at the first context.
        at = f"at_{each.context_tokens}@{target}"
        deeper[f"tpot_ms_p50_{at}"] = _paired_p50(each.phase, reference.decode_ms)
        deeper[f"tpot_ms_p95_{at}"] = _paired_p95(each.phase, reference.decode_ms)
    peak_mb = measured.memory.peak_rss_bytes / BYTES_PER_MB
    return {
        f"ttft_ms_p50@{target}": _paired_p50(prefill, reference.prefill_ms),
        f"ttft_ms_p95@{target}": _paired_p95(prefill, reference.prefill_ms),
        f"tpot_ms_p50@{target}": _paired_p50(decode, reference.decode_ms),
        f"tpot_ms_p95@{target}": _paired_p95(decode, reference.decode_ms),
        **deeper,
        f"peak_rss_mb@{target}": Observation.within(peak_mb, PEAK_RSS_HALF_WIDTH, raw=peak_mb),
    }


def observation_to_dict(observation: Observation) -> dict[str, float | None]:
    """Write an observation as JSON values."""
    return {
        "value": observation.value,
        "low": observation.low,
        "high": observation.high,
        "raw": observation.raw,
    }


def observation_from_dict(mapping: Mapping[str, Any]) -> Observation:
    """Read what `observation_to_dict` wrote."""
    return Observation(mapping["value"], mapping["low"], mapping["high"], mapping.get("raw"))


def observations_to_dict(observations: Mapping[str, Observation]) -> dict[str, dict[str, float | None]]:
    """Write observations by metric as JSON values."""
    return {name: observation_to_dict(each) for name, each in observations.items()}


def observations_from_dict(mapping: Mapping[str, Any]) -> dict[str, Observation]:
    """Read what `observations_to_dict` wrote."""
    return {name: observation_from_dict(each) for name, each in mapping.items()}


def _paired_p50(phase: PhaseSamples, reference_ms: float) -> Observation:
    summary = summarise(phase)
    paired_ms = summary.ratio_median * reference_ms
    return Observation.within(paired_ms, summary.ratio_half_width, raw=summary.raw_p50_ms)


def _paired_p95(phase: PhaseSamples, reference_ms: float) -> Observation:
    # The tail's shape is the candidate's own, raw; only its level is freed of the machine's mood.
    summary = summarise(phase)
    tail = summary.raw_p95_ms / summary.raw_p50_ms
    paired_ms = summary.ratio_median * reference_ms * tail
    factor = math.exp(max(math.log1p(summary.ratio_half_width), _p95_log_half_width(phase)))
    return Observation(paired_ms, paired_ms / factor, paired_ms * factor, raw=summary.raw_p95_ms)


def _p95_log_half_width(phase: PhaseSamples) -> float:
    """Half the 95 % interval of a p95, by how much the processes' own differ; wide, as so few are."""
    logs = [process_log_ratio(process) + _log_tail(process) for process in phase.processes]
    if len(logs) == 1:
        return _log_tail(phase.processes[0])  # nothing tells how much a tail varies: by all of itself
    return student_t(0.975, len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))


def _log_tail(process: ProcessSamples) -> float:
    raw_ms = [ms for block in process.blocks for ms in block.candidate_ms]
    return math.log(percentile(raw_ms, 95) / median(raw_ms))
