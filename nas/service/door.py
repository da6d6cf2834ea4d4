"""How devices come in to a service."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from nas.errors import Unauthenticated
from nas.service.auth import SCHEME, Role, Tokens
from workers.tls import ServerTls

__all__ = ["WorkerDoor"]


@dataclass(frozen=True, slots=True)
class WorkerDoor:
    """Where workers connect, and what lets them in: anyone where there is neither secret nor tokens.

    Attributes:
        bind: ``HOST:PORT`` to listen on; port 0 for an unused one.
        secret: who shows it comes in; this machine's own worker does.
        tokens: who has one for a worker, or an admin's, comes in.
        tls: None for plain text.
    """

    bind: str = "127.0.0.1:0"
    secret: str | None = None
    tokens: Tokens | None = None
    tls: ServerTls | None = None

    def admits(self, shown: str) -> bool:
        """Whether a worker comes in that shows this ``authorization``."""
        if self.secret is None and self.tokens is None:
            return True
        if self.secret is not None and hmac.compare_digest(shown.encode(), f"{SCHEME}{self.secret}".encode()):
            return True
        if self.tokens is None:
            return False
        try:
            return self.tokens.identify(shown).role in (Role.WORKER, Role.ADMIN)
        except Unauthenticated:
            return False
