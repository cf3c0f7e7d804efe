"""Judge what the runner printed: records that are proven complete, or a typed failure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devices.connection import CommandResult, Ending
from devices.errors import MeasurementStopped
from devices.outcome import Failure, NotReady, OutOfMemory, RunnerFault, TimedOut, Unsupported

Record = Mapping[str, Any]

# The lists whose entries the runner counts as samples.
_SAMPLE_KEYS = ("candidate_ms", "sentinel_ms", "values", "rss_peak_anonymous_bytes", "bytes", "read_ms")

_OUT_OF_MEMORY_SIGNS = ("bad_alloc", "failed to allocate", "cannot allocate memory", "out of memory")

# ONNX Runtime then falls back to slower kernels, and the times would be of those.
_SLOW_KERNEL_SIGNS = ("undetected cpu features", "unknown cpu")

_LOG_CHARACTERS = 40_000


@dataclass(frozen=True)
class ProvenRun:
    """A run that ended with its proof: its records, all that it printed, and what of that were complaints."""

    records: tuple[Record, ...]
    log: str
    complaints: str

    def named(self, name: str, **fields: Any) -> list[Record]:
        """Return the records of that name whose fields have these values."""
        return [
            record
            for record in self.records
            if record["record"] == name and all(record.get(key) == value for key, value in fields.items())
        ]


def judge_run(result: CommandResult, nonce: str, was_killed_for_memory: bool) -> ProvenRun | Failure:
    """Return the records only if the last is `done` with our nonce and as many samples as arrived.

    `was_killed_for_memory` tells whether the kernel counted an out-of-memory kill during the run.
    Raises MeasurementStopped if the run was ended on purpose.
    """
    if result.ending is Ending.STOPPED:
        raise MeasurementStopped("asked to stop while the runner was at work")
    log = log_of(result)
    records = _records(result.lines)
    failure = (
        _failure_told(records, log)
        or _failure_seen(result, was_killed_for_memory, log)
        or _proof_missing(records, len(result.lines), nonce, log)
    )
    return failure or ProvenRun(tuple(records), log, result.errors)


def log_of(result: CommandResult) -> str:
    """Return everything a run printed, its middle left out if it is long."""
    return shortened("\n".join([*result.lines, result.errors]).strip())


def shortened(text: str) -> str:
    """Return a log, its middle left out if it is long."""
    if len(text) <= _LOG_CHARACTERS:
        return text
    half = _LOG_CHARACTERS // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def _records(lines: tuple[str, ...]) -> list[Record]:
    records: list[Record] = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("record"), str):
            records.append(record)
    return records


def _failure_told(records: list[Record], log: str) -> Failure | None:
    """Return what the runner itself says went wrong."""
    told = records[-1] if records and records[-1]["record"] == "failed" else None
    if told is None:
        return None
    kind, reason = told.get("kind"), str(told.get("reason"))
    if kind == "out_of_memory" or (kind == "refused" and _has_sign(reason, _OUT_OF_MEMORY_SIGNS)):
        return OutOfMemory(reason, log)
    if kind == "timed_out":
        return TimedOut(reason, log)
    if kind == "busy":
        return NotReady(reason, log)
    return Unsupported(reason, log) if kind == "refused" else RunnerFault(reason, log)


def _failure_seen(result: CommandResult, was_killed_for_memory: bool, log: str) -> Failure | None:
    """Return what the end of the process shows."""
    if result.ending is not Ending.EXITED:
        return _failure_ended(result.ending, log)
    if (result.status == -9 and was_killed_for_memory) or _has_sign(result.errors, _OUT_OF_MEMORY_SIGNS):
        return OutOfMemory(f"the device ran out of memory (exit status {result.status})", log)
    if _has_sign(result.errors, _SLOW_KERNEL_SIGNS):
        return RunnerFault("ONNX Runtime does not recognise the processor and uses slower kernels", log)
    if result.status not in (0, None):
        return RunnerFault(f"the runner ended with {_status_in_words(result.status)}", log)
    return None


def _failure_ended(ending: Ending, log: str) -> Failure:
    if ending is Ending.DEADLINE:
        return TimedOut("the runner passed its deadline and did not end by itself", log)
    if ending is Ending.SILENCE:
        # It beats from a thread of its own, whatever the candidate does: the process or its host stood still.
        return RunnerFault("the runner's heartbeat stopped", log)
    return RunnerFault("the runner printed far more than its plan asks for", log)


def _proof_missing(records: list[Record], line_count: int, nonce: str, log: str) -> Failure | None:
    """Return why the records prove no success; an exit status of 0 alone does not."""
    if len(records) != line_count:
        return RunnerFault(f"{line_count - len(records)} of {line_count} lines are no records", log)
    if not records or records[0]["record"] != "hello" or records[0].get("nonce") != nonce:
        return RunnerFault("the runner did not begin with our nonce", log)
    if records[-1]["record"] != "done" or records[-1].get("nonce") != nonce:
        return RunnerFault("the runner did not end with `done` and our nonce", log)
    arrived, promised = sum(map(_sample_count, records)), records[-1].get("samples")
    if arrived != promised:
        return RunnerFault(f"{arrived} samples arrived, the runner says {promised}", log)
    return None


def _sample_count(record: Record) -> int:
    lists = (record.get(key) for key in _SAMPLE_KEYS)
    return sum(len(samples) for samples in lists if isinstance(samples, list))


def _has_sign(text: str, signs: tuple[str, ...]) -> bool:
    lowered = text.lower()
    return any(sign in lowered for sign in signs)


def _status_in_words(status: int | None) -> str:
    return f"signal {-status}" if status is not None and status < 0 else f"exit status {status}"
