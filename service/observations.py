"""Turn a measurement into numbers with uncertainty: paired times, their raw readings, and memory."""

from collections.abc import Mapping
from typing import Any

from devices.outcome import Measured
from devices.plan import SentinelReference
from devices.summary import PairedSummary, summarise
from search.objective import BYTES_PER_MB
from search.observation import Observation

PEAK_RSS_HALF_WIDTH = 0.003
"""Peak memory in a process of its own repeats within 0.3 % (median, x86-64 Linux)."""


def observe(measured: Measured, reference: SentinelReference, target: str) -> dict[str, Observation]:
    """Give the metrics of one target: time = ratio to the sentinel x the sentinel's reference time."""
    prefill, decode = summarise(measured.prefill), summarise(measured.decode)
    peak_mb = measured.memory.peak_rss_bytes / BYTES_PER_MB
    return {
        f"ttft_ms_p50@{target}": _paired_p50(prefill, reference.prefill_ms),
        f"ttft_ms_p95@{target}": _paired_p95(prefill, reference.prefill_ms),
        f"tpot_ms_p50@{target}": _paired_p50(decode, reference.decode_ms),
        f"tpot_ms_p95@{target}": _paired_p95(decode, reference.decode_ms),
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


def _paired_p50(summary: PairedSummary, reference_ms: float) -> Observation:
    paired_ms = summary.ratio_median * reference_ms
    return Observation.within(paired_ms, summary.ratio_half_width, raw=summary.raw_p50_ms)


def _paired_p95(summary: PairedSummary, reference_ms: float) -> Observation:
    # The tail's shape is the candidate's own, raw; only its level is freed of the machine's mood.
    tail = summary.raw_p95_ms / summary.raw_p50_ms
    paired_ms = summary.ratio_median * reference_ms * tail
    return Observation.within(paired_ms, summary.ratio_half_width, raw=summary.raw_p95_ms)
