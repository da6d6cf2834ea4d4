"""Which browser is which: a link's secret is exchanged for a cookie, with which a browser comes again."""

from __future__ import annotations

import secrets
import time

from starlette.requests import Request
from starlette.responses import Response

from workers.gateway.phone import Phone

__all__ = ["Guests"]

COOKIE = "nas-phone"
COOKIE_SECONDS = 12 * 3600.0
MOST = 1000


class Guests:
    """Browsers that were admitted, and the session that each has."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}
        self._phones: dict[str, Phone] = {}

    def name(self, request: Request) -> str | None:
        """Of the admitted browser that asks; None where it is none."""
        name = request.cookies.get(COOKIE, "")
        return name if self._ends.get(name, 0.0) > time.monotonic() else None

    def admit(self) -> str:
        """A new browser's name, which is its secret."""
        now = time.monotonic()
        self._ends = dict(sorted(self._ends.items(), key=lambda item: item[1])[-MOST + 1 :])
        name = secrets.token_urlsafe(32)
        self._ends[name] = now + COOKIE_SECONDS
        return name

    def set_cookie(self, response: Response, name: str, *, secure: bool) -> None:
        """Have the browser keep its name, where no script and no other site can read or send it."""
        response.set_cookie(
            COOKIE, name, max_age=int(COOKIE_SECONDS), httponly=True, samesite="strict", secure=secure
        )

    def phone(self, request: Request) -> Phone | None:
        """The session of the browser that asks, which may be over; None where it never had one."""
        return self._phones.get(self.name(request) or "")

    def begin(self, name: str, phone: Phone) -> None:
        """A browser has one session: the one before, in another tab, ends."""
        before = self._phones.get(name)
        self._phones = {known: each for known, each in self._phones.items() if not each.gone}
        self._phones[name] = phone
        if before is not None:
            before.leave("this browser joined anew, in another tab")

    def close(self, reason: str) -> None:
        """End every session."""
        for phone in self._phones.values():
            phone.leave(reason)
