"""Who waits for a measurement job, as conditions on its row."""

from sqlalchemy import and_, exists, or_

from service.store import profiles, requests, studies
from service.store.rows import (
    DeviceProfileRow,
    JobRow,
    MeasurementRequestRow,
    ProfileEntryRow,
    StudyRow,
    TrialMeasurementRow,
    TrialRow,
)

_has_request = exists().where(MeasurementRequestRow.job_id == JobRow.id)
_has_open_request = exists().where(
    MeasurementRequestRow.job_id == JobRow.id, MeasurementRequestRow.state.in_(requests.OPEN)
)
_has_profile = exists().where(ProfileEntryRow.job_id == JobRow.id)
_has_open_profile = exists().where(
    ProfileEntryRow.job_id == JobRow.id,
    DeviceProfileRow.id == ProfileEntryRow.profile_id,
    DeviceProfileRow.state.in_(profiles.OPEN),
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
    or_(JobRow.study_id.is_not(None), _has_request, _has_profile),
    ~or_(_owner_is_active, _another_study_joined, _has_open_request, _has_open_profile),
)
"""Everyone who waited for the job has ended."""
