"""What each request to an HTTP server passes through: may it be answered? And what answers tell browsers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Refuse", "Shield", "from_elsewhere"]

SAFE_METHODS = ("GET", "HEAD")

Refuse = Callable[[Request], Awaitable[Response | None]]
"""The answer to a request that is not to be handled; None for one that is."""


class Shield:
    """ASGI middleware.

    Args:
        headers: of every answer that does not set them itself.
        refuse: looks at each request first.
    """

    def __init__(self, app: ASGIApp, *, headers: Mapping[str, str], refuse: Refuse) -> None:
        self._app, self._headers, self._refuse = app, headers, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = await self._refuse(Request(scope))
        await (refusal or self._app)(scope, receive, send_shielded)


def from_elsewhere(request: Request) -> bool:
    """Whether another site's page asks for a change: browsers name the origin of what does."""
    headers: Headers = request.headers
    own = f"{request.scope['scheme']}://{headers.get('host', '')}"
    return request.method not in SAFE_METHODS and headers.get("origin") != own
