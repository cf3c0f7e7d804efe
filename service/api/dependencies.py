"""What endpoints ask FastAPI for."""

from typing import Annotated

from fastapi import Depends, Header, Request

from devices.service_link import PROTOCOL_VERSION, VERSION_FORM
from service.errors import NotAuthorised, ProtocolMismatch
from service.parts import Parts
from service.version import VERSION

PROTOCOL = PROTOCOL_VERSION


def parts_of(request: Request) -> Parts:
    """Give the parts that this app was built from."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


ServiceParts = Annotated[Parts, Depends(parts_of)]


def require_agent(
    parts: ServiceParts,
    loopfront_protocol: Annotated[str, Header()] = "",
    loopfront_version: Annotated[str, Header()] = "",
    authorization: Annotated[str, Header()] = "",
) -> None:
    """Let only an agent pass that speaks this protocol and shows this service's token."""
    if loopfront_protocol != PROTOCOL:
        raise _mismatch(loopfront_protocol[:20], loopfront_version)
    if not parts.agent_token.is_shown_by(authorization):
        raise NotAuthorised(
            "the agent's token is wrong" if authorization else "the agent shows no token",
            field="Authorization",
            hint="`loopfront token agent` on the service's machine prints the command with the right one",
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
