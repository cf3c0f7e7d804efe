"""Who waits for a measurement job, as conditions on its row."""

from sqlalchemy import and_, exists, or_

from service.store import requests, studies
from service.store.rows import JobRow, MeasurementRequestRow, StudyRow, TrialMeasurementRow, TrialRow

_has_request = exists().where(MeasurementRequestRow.job_id == JobRow.id)
_has_open_request = exists().where(
    MeasurementRequestRow.job_id == JobRow.id, MeasurementRequestRow.state.in_(requests.OPEN)
)
_owner_is_active = exists().where(StudyRow.id == JobRow.study_id, StudyRow.state.in_(studies.ACTIVE))
_another_study_joined = exists().where(
    TrialMeasurementRow.job_id == JobRow.id,
    TrialRow.id == TrialMeasurementRow.trial_id,
    StudyRow.id == TrialRow.study_id,
    StudyRow.state.in_(studies.ACTIVE),
)

# A request's job that no request holds yet was created a moment ago; a calibration is useful to whoever comes next.
IS_ABANDONED = and_(
    or_(JobRow.study_id.is_not(None), _has_request),
    ~or_(_owner_is_active, _another_study_joined, _has_open_request),
)
"""Everyone who waited for the job has ended."""
