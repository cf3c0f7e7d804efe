"""Attempts as rows that pages and the terminal show."""

from datetime import UTC, datetime

from reports.rows import AttemptRow
from service.api.schemas import AttemptOut

ENDINGS = {"": "under way", "released": "given back", "expired": "no report came"}
PURPOSES = {"single": "single measurement"}
NO_FAILURES = frozenset({"measured", "bandwidth_measured", "under way", "given back"})


def attempt_row(attempt: AttemptOut) -> AttemptRow:
    """Say in words what an attempt was for and how it ended."""
    ending = attempt.outcome or ENDINGS.get(attempt.ended_by, attempt.ended_by)
    late = f", then too late: {attempt.late_outcome}" if attempt.late_outcome else ""
    purpose = " of ".join(
        text for text in (PURPOSES.get(attempt.purpose, attempt.purpose), attempt.study) if text
    )
    has_other_name = attempt.target not in {"", attempt.device}
    until = attempt.ended_at or datetime.now(UTC)
    return AttemptRow(
        began_at=attempt.granted_at.isoformat(timespec="seconds"),
        seconds=max(0.0, (until - attempt.granted_at).total_seconds()),
        purpose=purpose,
        device=f"{attempt.device} ({attempt.target})" if has_other_name else attempt.device,
        agent=attempt.agent,
        ending=ending + late,
        is_failure=ending not in NO_FAILURES,
        reason=attempt.reason,
        log=attempt.log,
    )
