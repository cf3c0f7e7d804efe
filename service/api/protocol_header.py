"""ASGI middleware that says in every answer which protocol and version this service is."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.dependencies import PROTOCOL
from service.version import VERSION


class ProtocolHeader:
    """Lets an agent know whom it talks to, whatever the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and add the headers to what is answered."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Loopfront-Protocol"] = PROTOCOL
                headers["Loopfront-Version"] = VERSION
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)
