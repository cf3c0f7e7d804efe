"""The rules of leases as pure functions: who may report, what is retried, when a lease ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

WAITING, LEASED, DONE, CANCELLED = "waiting", "leased", "done", "cancelled"
"""The states of a job."""

MAXIMUM_ATTEMPTS = 3
MAXIMUM_EXPIRIES = 10
"""A job whose leases expire this often (it may take its host down each time) is given up as DeviceLost."""

FIRST_RETRY_DELAY_S, LONGEST_RETRY_DELAY_S = 5.0, 300.0
"""A fault of the device is tried again after the first delay, which doubles from fault to fault."""

CANDIDATE_FAULTS = frozenset({"out_of_memory", "unsupported", "timed_out"})
FINAL_KINDS = CANDIDATE_FAULTS | {"measured", "bandwidth_measured", "wrong_output"}
RETRIED_KINDS = frozenset({"not_ready", "throttled", "runner_fault", "device_lost"})

DEVICE_TROUBLE = frozenset({"not_ready", "throttled", "device_lost"})
"""After three attempts these say that the device can't be used now, whatever the candidate."""
LARGEST_RUN_OF_FAULTS = 3
"""One runner fault may be the candidate's doing; so many in a row are not: the device is quarantined."""

AGENT_GONE_AFTER = timedelta(seconds=45)
"""An agent asks for jobs, sends heartbeats or tells of its devices at least every 20 s."""

SHORTEST_HEARTBEAT_S, AGENTS_PER_HEARTBEAT_S = 2.0, 2.0

CLOCK_SLACK_S = 1.0
"""Times that lie further ahead than any rule puts them were written before the clock was set back."""

Verdict = Literal["store", "superseded", "already-stored", "never-granted"]


@dataclass(frozen=True)
class Final:
    """The outcome stands; the job is done."""


@dataclass(frozen=True)
class RetryAfter:
    """The job goes back to waiting and may be leased again after `delay_s`."""

    delay_s: float


def judge_result(token: int, newest_token: int, token_has_result: bool, job_is_done: bool) -> Verdict:
    """Say whether a result under `token` counts; expiry alone never refuses a finished measurement."""
    if token < 1 or token > newest_token:
        return "never-granted"
    if token_has_result or job_is_done:
        return "already-stored"
    return "superseded" if token < newest_token else "store"


def holds_lease(token: int, newest_token: int, job_is_leased: bool) -> bool:
    """Say whether `token` may be extended by a heartbeat: the newest one, expired or not, of a leased job."""
    return job_is_leased and token == newest_token


def next_step(kind: str, attempts_reported: int, is_quarantined: bool = False) -> Final | RetryAfter:
    """Decide after an outcome of `kind`, the `attempts_reported`-th that was reported for this job.

    Where the fault quarantined the device, the job waits for it: the row of faults says that it isn't to blame.
    """
    if kind in FINAL_KINDS:
        return Final()
    if is_quarantined:
        return RetryAfter(0.0)
    if attempts_reported >= MAXIMUM_ATTEMPTS:
        return Final()
    return RetryAfter(min(FIRST_RETRY_DELAY_S * 2 ** (attempts_reported - 1), LONGEST_RETRY_DELAY_S))


def faults_in_a_row(kind: str, before: int) -> int:
    """Count a device's faults without a break after an outcome; a wrong output is our bug and says nothing."""
    if kind in RETRIED_KINDS:
        return before + 1
    return before if kind == "wrong_output" else 0


def is_grantable(expires_at: datetime | None, now: datetime, lease_seconds: float) -> bool:
    """Say whether nobody holds a live lease; an expiry that no lease can have is of a clock that was set back."""
    return expires_at is None or not 0.0 < (expires_at - now).total_seconds() <= lease_seconds + CLOCK_SLACK_S


def is_gone(last_seen_at: datetime, now: datetime) -> bool:
    """Say whether an agent was not heard of lately; a time far ahead is of a clock that was set back."""
    return abs(now - last_seen_at) >= AGENT_GONE_AFTER


def latest_start(now: datetime) -> datetime:
    """Until when a job may have been put off at most; what lies behind is of a clock that was set back."""
    return now + timedelta(seconds=LONGEST_RETRY_DELAY_S + CLOCK_SLACK_S)


def needs_extension(expires_at: datetime | None, now: datetime, lease_seconds: float) -> bool:
    """Say whether a heartbeat is to be written down: agents send many more than leases need."""
    left_s = (expires_at - now).total_seconds() if expires_at else 0.0
    return not lease_seconds * 2 / 3 < left_s <= lease_seconds


def heartbeat_s(longest_s: float, agents: int) -> float:
    """How often an agent is to send heartbeats: where there are few, often, so that a pause is heard of at once."""
    return min(longest_s, max(SHORTEST_HEARTBEAT_S, agents / AGENTS_PER_HEARTBEAT_S))


def expiry(now: datetime, lease_seconds: float) -> datetime:
    """When a lease granted or extended at `now` ends."""
    return now + timedelta(seconds=lease_seconds)


def device_is_unusable(newest_outcomes: Sequence[str]) -> bool:
    """Say whether a study should stop for its device's sake; `newest_outcomes` are of its last trials, newest first."""
    if newest_outcomes and newest_outcomes[0] in DEVICE_TROUBLE:
        return True
    run = newest_outcomes[:LARGEST_RUN_OF_FAULTS]
    return len(run) == LARGEST_RUN_OF_FAULTS and all(kind in RETRIED_KINDS for kind in run)
