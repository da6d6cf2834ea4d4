"""Where workers connect to a service, and which of them are admitted."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from nas.errors import InvalidSpec
from nas.service.identity import SCHEME
from searchspaces.errors import Problem
from workers.tls import ServerTls

__all__ = ["WorkerEndpoint", "check_binds", "require_loopback"]


@dataclass(frozen=True, slots=True)
class WorkerEndpoint:
    """Where workers connect, and which are admitted: any of this machine where there is neither a secret nor
    a check of tokens.

    Attributes:
        bind: ``HOST:PORT`` to listen on; port 0 for an unused one.
        secret: admits whoever shows it; this machine's own worker does.
        admits_token: whether an ``authorization`` with a token admits a worker.
        tls: None for plain text.

    Raises:
        InvalidSpec: other machines could connect, and nothing would be asked of them.
    """

    bind: str = "127.0.0.1:0"
    secret: str | None = None
    admits_token: Callable[[str], bool] | None = None
    tls: ServerTls | None = None

    def __post_init__(self) -> None:
        if self._admits_anyone:
            require_loopback(workers=self.bind)

    def admits(self, shown: str) -> bool:
        """Whether a worker that shows this ``authorization`` is admitted."""
        if self._admits_anyone:
            return True
        if self.secret is not None and hmac.compare_digest(shown.encode(), f"{SCHEME}{self.secret}".encode()):
            return True
        return self.admits_token is not None and self.admits_token(shown)

    @property
    def _admits_anyone(self) -> bool:
        return self.secret is None and self.admits_token is None


def check_binds(**binds: str | None) -> None:
    """Refuse what nothing can listen on: a port above 65535 would be taken for another one.

    Args:
        binds: ``HOST:PORT`` by the name of the option; None where nothing listens.

    Raises:
        InvalidSpec: every one that is no address is named.
    """
    from workers.connection import check_address

    problems = []
    for name, bind in binds.items():
        try:
            check_address(bind or "localhost:0", first_port=0)
        except ValueError as error:
            problems.append(Problem(name, str(error)))
    if problems:
        raise InvalidSpec(problems)


def require_loopback(**binds: str) -> None:
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
