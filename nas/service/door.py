"""How devices come in to a service."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from nas.errors import InvalidSpec, Unauthenticated
from nas.service.auth import SCHEME, Role, Tokens
from searchspaces.errors import Problem
from workers.tls import ServerTls

__all__ = ["WorkerDoor", "is_loopback"]


@dataclass(frozen=True, slots=True)
class WorkerDoor:
    """Where workers connect, and what lets them in: anyone of this machine where there is neither secret nor
    tokens.

    Attributes:
        bind: ``HOST:PORT`` to listen on; port 0 for an unused one.
        secret: who shows it comes in; this machine's own worker does.
        tokens: who has one for a worker, or an admin's, comes in.
        tls: None for plain text.

    Raises:
        InvalidSpec: other machines could connect, and nothing would be asked of them.
    """

    bind: str = "127.0.0.1:0"
    secret: str | None = None
    tokens: Tokens | None = None
    tls: ServerTls | None = None

    def __post_init__(self) -> None:
        if self.secret is None and self.tokens is None and not is_loopback(self.bind):
            accepted = "accepted without tokens or $NAS_TOKEN: 127.0.0.1, [::1] or localhost"
            raise InvalidSpec([Problem("workers", f"{self.bind} can be reached from elsewhere; {accepted}")])

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


def is_loopback(bind: str) -> bool:
    """Whether only this machine can reach ``HOST:PORT``."""
    return bind.rpartition(":")[0] in ("127.0.0.1", "[::1]", "localhost")
