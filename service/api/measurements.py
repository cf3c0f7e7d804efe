"""Single measurements: one architecture on one device, outside a study."""

from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy.orm import Session

from operators.errors import ArchitectureError
from operators.precision import Precision
from reports.encoding import measurement_to_dict
from service.api.authorisation import AuditedRoute, reads, submits
from service.api.dependencies import ServiceParts
from service.api.schemas import MeasurementOut, MeasurementWish
from service.device_limits import refuse_threads
from service.device_state import DOCTOR
from service.errors import BadInput
from service.known_layouts import NamedArchitecture, Scale, from_document, named, require_windows_within
from service.measurement_report import measurement_report
from service.parts import Parts
from service.request_step import request_step
from service.store.agents import Devices
from service.store.jobs import Jobs
from service.store.requests import CANCELLED, MeasurementRequests
from service.store.rows import DeviceRow, MeasurementRequestRow
from service.store.stations import Stations
from service.store.trials import Candidates
from service.study_file import Target
from service.study_lead import find_device
from service.workloads import workload_of

router = APIRouter(
    prefix="/measurements", tags=["measurements"], dependencies=[reads], route_class=AuditedRoute
)


@router.post("", dependencies=[submits], status_code=202)
def request_measurement(wish: MeasurementWish, parts: ServiceParts) -> MeasurementOut:
    """Have one architecture measured; read the answer under the id that is returned."""
    place = next((name for name in ("reference", "layout") if getattr(wish, name)), "architecture")
    found = require_windows_within(_wished(wish), workload_of(wish.workload.model_dump()), place)
    conditions = {
        "workload": wish.workload.model_dump(),
        "precision": wish.precision.model_dump(),
        "measuring": wish.measuring.model_dump(),
        "label": found.label,
    }
    architecture = found.architecture
    with parts.database.write() as session:
        device = _device(session, wish.device)
        refuse_threads(device, wish.workload.threads)
        Candidates(session).keep(architecture.digest, architecture.layout, architecture.to_dict())
        row = MeasurementRequests(session).create(architecture.digest, device.id, conditions, wish.fresh)
    parts.bell.ring()
    return read_measurement(row.id, parts)


@router.get("/{measurement_id}")
def read_measurement(
    measurement_id: Annotated[str, Path(max_length=100)], parts: ServiceParts
) -> MeasurementOut:
    """Read how far a measurement is, and its report once it is done."""
    with parts.database.read() as session:
        row = MeasurementRequests(session).get(measurement_id)
        return _shown(session, parts, row)


@router.post("/{measurement_id}/cancel", dependencies=[submits])
def cancel_measurement(
    measurement_id: Annotated[str, Path(max_length=100)], parts: ServiceParts
) -> MeasurementOut:
    """Withdraw a wish; what is being measured already may still report, and what others wait for is measured."""
    with parts.database.write() as session:
        MeasurementRequests(session).end(measurement_id, CANCELLED, "cancelled by a user")
        Jobs(session).cancel_abandoned()
    return read_measurement(measurement_id, parts)


def _wished(wish: MeasurementWish) -> NamedArchitecture:
    given = [name for name in ("reference", "layout", "architecture") if getattr(wish, name)]
    if len(given) != 1:
        raise BadInput(
            f"got {', '.join(given) or 'nothing'}",
            field="reference",
            hint="give exactly one of reference, layout, architecture",
        )
    try:
        precision = Precision(wish.precision.bits, wish.precision.block_size)
    except ArchitectureError as error:
        raise BadInput(f"{error.value!r} can't be used", field=error.field, hint=error.way_out) from None
    scale = Scale(wish.parameters, wish.vocabulary, wish.embedding_ratio)
    if wish.architecture is not None:
        scale.refuse_all(
            "a whole architecture has its size; drop it", "parameters", "vocabulary", "embedding_ratio"
        )
        return from_document(wish.architecture, "architecture", precision)
    return named(wish.reference or wish.layout, scale, precision)


def _device(session: Session, name: str) -> DeviceRow:
    device = find_device(session, Target(name, name, ()))
    if device is None:
        station = Stations(session).unopened_named(name)
        if station is not None:
            raise BadInput(f"{name} can't be opened: {station.words}", field="device", hint=DOCTOR)
        names = [row.name for row in Devices(session).all()]
        known = f"known are {', '.join(names)}"
        none = "none is registered yet: wait a moment, or start the service without --no-agent"
        raise BadInput(f"no device answers to {name!r}", field="device", hint=known if names else none)
    return device


def _shown(session: Session, parts: Parts, row: MeasurementRequestRow) -> MeasurementOut:
    report = measurement_report(session, parts.measured, row)
    return MeasurementOut(
        id=row.id,
        state=row.state,
        detail=row.detail,
        layout=Candidates(session).get(row.candidate_digest).layout,
        device=Devices(session).get(row.device_id).name,
        step=request_step(session, row),
        created_at=row.created_at,
        finished_at=row.finished_at,
        report=measurement_to_dict(report) if report else None,
    )
