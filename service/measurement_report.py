"""Make the report of one architecture that was measured on its own."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from devices.outcome import Measured
from operators.architecture import Architecture
from operators.notation import architecture_from_dict
from reports.rows import MeasurementReport
from service.measured_cache import MeasuredCache
from service.measurement_desk import read_calibration
from service.observations import observe
from service.plausibility import flags, memory_ceiling
from service.quality_scores import LOSS, relative_loss
from service.report_columns import measured_columns
from service.report_devices import device_row
from service.report_trials import architecture_row, cells_of, detail_of
from service.report_words import measuring_provenance, precision_text, workload_text
from service.request_lead import conditions_of
from service.store.agents import Devices
from service.store.measurements import Calibrations
from service.store.rows import CalibrationRow, MeasurementRequestRow
from service.store.trials import Candidates


def measurement_report(
    session: Session, cache: MeasuredCache, row: MeasurementRequestRow
) -> MeasurementReport | None:
    """Make the report; None while there are no numbers."""
    if row.measurement_id is None or row.calibration_id is None:
        return None
    measured = cache.read(session, row.measurement_id)
    if measured is None:
        return None
    calibration = Calibrations(session).get(row.calibration_id)
    architecture = architecture_from_dict(Candidates(session).get(row.candidate_digest).architecture)
    calibrated = cache.read(session, calibration.measurement_id)
    return _report(session, row, architecture, measured, calibration, calibrated)


def _report(
    session: Session,
    row: MeasurementRequestRow,
    architecture: Architecture,
    measured: Measured,
    calibration: CalibrationRow,
    calibrated: Measured | None,
) -> MeasurementReport:
    device = Devices(session).get(row.device_id)
    conditions = conditions_of(row)
    reference = read_calibration(calibration).reference
    observed = observe(measured, reference, device.name)
    ceiling = memory_ceiling(session, device.id, reference, conditions.workload)
    observed[LOSS] = relative_loss(architecture)
    columns = measured_columns(device.name, conditions.workload)
    return MeasurementReport(
        trial=architecture_row(
            architecture,
            number=1,
            kind="trial",
            label=str(row.conditions.get("label", "")),
            state="measured",
            on_front=False,
            knee=False,
            cells=cells_of(observed),
            outcome="measured",
            seconds=measured.seconds,
            finished_at=row.finished_at.isoformat() if row.finished_at else None,
            flags=flags(architecture, conditions, observed, {device.name: ceiling}),
        ),
        columns=tuple(column for column in columns if column.name in observed),
        device=device_row(device, device.name, calibration, calibrated),
        workload=workload_text(conditions.workload),
        precision=precision_text(conditions.precision),
        detail=detail_of({device.name: measured}),
        provenance=measuring_provenance([measured]),
        note=_precision_note(measured.passport.get("precision", {})),
    )


def _precision_note(precision: Mapping[str, Any]) -> str:
    """Say which times did not become as precise as was asked before the most processes had run; "" if all did."""
    target, widths = precision.get("half_width_target"), precision.get("half_widths", {})
    wide = [f"{phase} ± {width:.1%}" for phase, width in widths.items() if target and width > target]
    return f"Not within ± {target:.0%} after the most processes: {', '.join(wide)}" if wide else ""
