"""What endpoints ask FastAPI for."""

from typing import Annotated

from fastapi import Depends, Header, Request

from service.errors import ProtocolMismatch
from service.parts import Parts

PROTOCOL = "1"


def parts_of(request: Request) -> Parts:
    """Give the parts that this app was built from."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


def require_protocol(loopfront_protocol: Annotated[str, Header()] = "") -> None:
    """Refuse an agent that speaks another protocol, with the command that mends it."""
    if loopfront_protocol != PROTOCOL:
        raise ProtocolMismatch(
            f"this service speaks agent protocol {PROTOCOL}, the request says {loopfront_protocol or 'none'!r}",
            field="Loopfront-Protocol",
            hint="install the service's version on the agent's host: pip install --upgrade loopfront",
        )


ServiceParts = Annotated[Parts, Depends(parts_of)]
