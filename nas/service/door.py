"""How devices come in to a service."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from nas.errors import InvalidSpec, Unauthenticated
from nas.service.auth import SCHEME, Role, Tokens
from searchspaces.errors import Problem
from workers.tls import ServerTls

__all__ = ["WorkerDoor", "refuse_strangers"]


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
        if self.secret is None and self.tokens is None:
            refuse_strangers(workers=self.bind)

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


def refuse_strangers(**binds: str) -> None:
    """Where nothing is asked of who connects, only this machine may.

    Args:
        binds: ``HOST:PORT`` to listen on, by the name of the option.

    Raises:
        InvalidSpec: other machines can reach one; every such one is named.
    """
    accepted = (
        "accepted without tokens: 127.0.0.1, [::1] or localhost; "
        "others with nas serve --tokens, or an embedded service's $NAS_TOKEN"
    )
    problems = [
        Problem(name, f"{bind} can be reached from elsewhere; {accepted}")
        for name, bind in binds.items()
        if bind.rpartition(":")[0] not in ("127.0.0.1", "[::1]", "localhost")
    ]
    if problems:
        raise InvalidSpec(problems)
