"""What `loopfront agent doctor` found on a lab host: a device that passed may be measured again."""

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session

from service.api.dependencies import AgentPrincipal, ServiceParts, require_agent, require_own
from service.api.schemas import ExaminationGiven, ExaminationNoted, ExaminationsGiven
from service.rights import Principal
from service.store.agents import Devices
from service.store.rows import DeviceRow
from service.store.stations import Stations

router = APIRouter(prefix="/examinations", tags=["agents"], dependencies=[Depends(require_agent)])


@router.post("")
def tell(given: ExaminationsGiven, parts: ServiceParts, principal: AgentPrincipal) -> list[ExaminationNoted]:
    """Note each examination; one that passed ends the device's quarantine."""
    with parts.database.write() as session:
        noted = [_note(session, principal, given.agent_identity, each) for each in given.examinations]
    parts.bell.ring()
    return noted


def _note(
    session: Session, principal: Principal, agent_identity: str, given: ExaminationGiven
) -> ExaminationNoted:
    device = _device(session, agent_identity, given)
    if device is None:
        return ExaminationNoted(name=given.name, device=None, is_lifted=False)
    require_own(principal, device.agent_id)
    row = Devices(session).locked(device.id)
    is_lifted = Devices(session).note_examination(row, given.passed, given.words)
    return ExaminationNoted(name=given.name, device=row.name, is_lifted=is_lifted)


def _device(session: Session, agent_identity: str, given: ExaminationGiven) -> DeviceRow | None:
    if given.identity:
        return Devices(session).with_identity(given.identity)
    # A device that can't be opened doesn't tell who it is; its agent's station remembers.
    return Stations(session).device_of(agent_identity, given.name)
