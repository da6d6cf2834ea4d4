"""Who asks. With tokens: a login form, and a cookie behind which this process keeps the token. Without:
whoever is on this machine, as long as it is this page that asks and not another site in the same browser."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from nas.errors import Forbidden, LimitExceeded, Unauthenticated
from nas.service.api import Service
from nas.web.errors import answer_error
from workers.http_server import LOOPBACK
from workers.http_shield import from_elsewhere

__all__ = ["HEADERS", "Access", "refuse"]

COOKIE = "nas-session"
SESSION_SECONDS = 12 * 3600.0
MOST_SESSIONS = 1000

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr "
    "'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Of every answer. Scripts come from here alone, and none is written into a page; charts set style
attributes, which can run nothing."""


@dataclass
class _Session:
    service: Service
    ends_at: float


class Access:
    """Finds the service that a request may ask.

    Args:
        connect: opens the service for a token; for None, the only one that there is.
        login: whether a token is needed.
    """

    def __init__(self, connect: Callable[[str | None], Service], *, login: bool) -> None:
        self.login = login
        self._connect = connect
        self._sessions: dict[str, _Session] = {}
        self._only = None if login else connect(None)

    def service(self, request: Request) -> Service:
        """The one that answers to whoever sent the request.

        Raises:
            Unauthenticated: they have to log in.
        """
        if self._only is not None:
            return self._only
        session = self._sessions.get(request.cookies.get(COOKIE, ""))
        if session is None or session.ends_at < time.monotonic():
            raise Unauthenticated("log in with a token of this service")
        return session.service

    def enter(self, token: str) -> str:
        """Begin a session; blocks while the service is asked whether it knows the token.

        Returns:
            What the cookie is to hold.

        Raises:
            Unauthenticated, Forbidden: the token is not one of a user.
            LimitExceeded: there are too many sessions.
        """
        self._forget_ended()
        if len(self._sessions) >= MOST_SESSIONS:
            raise LimitExceeded(f"{MOST_SESSIONS} sessions are open; accepted: no more")
        service = self._connect(token)
        try:
            service.jobs(1)
        except BaseException:
            service.close()
            raise
        name = secrets.token_urlsafe(32)
        self._sessions[name] = _Session(service, time.monotonic() + SESSION_SECONDS)
        return name

    def leave(self, request: Request) -> None:
        """End the request's session, where it has one."""
        session = self._sessions.pop(request.cookies.get(COOKIE, ""), None)
        if session is not None:
            session.service.close()

    def set_cookie(self, response: Response, name: str, *, secure: bool) -> None:
        """Have the browser keep a session's name, where no script and no other site can read or send it."""
        response.set_cookie(
            COOKIE, name, max_age=int(SESSION_SECONDS), httponly=True, samesite="strict", secure=secure
        )

    def _forget_ended(self) -> None:
        now = time.monotonic()
        for name in [name for name, session in self._sessions.items() if session.ends_at < now]:
            self._sessions.pop(name).service.close()

    def close(self) -> None:
        """End every session. The one service that needs no token belongs to whoever gave it."""
        for session in self._sessions.values():
            session.service.close()
        self._sessions.clear()


async def refuse(request: Request, loopback_only: bool) -> Response | None:
    """The answer to a request that another site had a browser send; None where it is this page that asks.

    Args:
        loopback_only: requests must name this machine as their host: otherwise a site whose name leads here
            (DNS rebinding) could read everything through its visitors' browsers.
    """
    host = request.headers.get("host", "")
    if loopback_only and host.rpartition(":")[0] not in LOOPBACK and host not in LOOPBACK:
        accepted = ", ".join(LOOPBACK)
        error = Forbidden(f"{host!r} is not a name of this machine; accepted: {accepted}")
    elif from_elsewhere(request):
        error = Forbidden("only this page may ask for that; accepted: its own address as the origin")
    else:
        return None
    return await answer_error(request, error)
