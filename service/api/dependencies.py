"""What endpoints ask FastAPI for."""

from typing import Annotated

from fastapi import Depends, Header, Request

from devices.service_link import PROTOCOL_VERSION, VERSION_FORM
from service.api.authorisation import principal_of
from service.api.turns import Turns
from service.errors import Forbidden, ProtocolMismatch
from service.parts import Parts
from service.rights import Principal, Right
from service.version import VERSION

PROTOCOL = PROTOCOL_VERSION


async def parts_of(request: Request) -> Parts:
    """Give the parts that this app was built from."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


ServiceParts = Annotated[Parts, Depends(parts_of)]


async def turns_of(request: Request) -> Turns:
    """Give the threads that agents take turns at."""
    turns = request.app.state.turns
    assert isinstance(turns, Turns)
    return turns


AgentTurns = Annotated[Turns, Depends(turns_of)]


async def require_protocol(
    loopfront_protocol: Annotated[str, Header()] = "", loopfront_version: Annotated[str, Header()] = ""
) -> None:
    """Let only an agent pass that speaks this protocol."""
    if loopfront_protocol != PROTOCOL:
        raise _mismatch(loopfront_protocol[:20], loopfront_version)


async def require_agent(request: Request, _protocol: Annotated[None, Depends(require_protocol)]) -> Principal:
    """Let only an agent pass that speaks this protocol and shows an agent's token."""
    principal = await principal_of(request)
    if not principal.may(Right.WORK):
        raise Forbidden(
            f"the token {principal.name!r} is no agent's",
            field="Authorization",
            hint="`loopfront token agent` on the service's machine prints the command with a right one",
        )
    return principal


AgentPrincipal = Annotated[Principal, Depends(require_agent)]


def require_own(principal: Principal, agent_id: str | None) -> None:
    """Refuse an agent that means another one; the agents of a service's own machine and user share a token."""
    if principal.agent_id is not None and principal.agent_id != agent_id:
        raise Forbidden(
            f"the token {principal.name!r} belongs to another agent",
            field="Authorization",
            hint="each agent enrols for itself: `loopfront token agent` prints the command",
        )


def _mismatch(spoken: str, version: str) -> ProtocolMismatch:
    """Tell the one who is behind what to install."""
    is_newer = spoken.isdecimal() and int(spoken) > int(PROTOCOL)
    known = version if VERSION_FORM.fullmatch(version) else ""
    wanted = f"'loopfront=={known}'" if known and known != VERSION else "--upgrade loopfront"
    return ProtocolMismatch(
        f"this service (loopfront {VERSION}) speaks agent protocol {PROTOCOL}, the agent {spoken or 'none'}",
        field="Loopfront-Protocol",
        hint=f"upgrade the service: pip install {wanted} on its machine, then start it again"
        if is_newer
        else f"on the agent's machine: pip install 'loopfront=={VERSION}', then start the agent again",
    )
