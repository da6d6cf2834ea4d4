"""Who asks: a role, a name and limits; and how a bearer token is shown with a call."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from nas.errors import InvalidSpec
from searchspaces.errors import Problem

__all__ = ["ANYONE", "SCHEME", "Identity", "Limits", "Role", "authorization"]

SCHEME = "Bearer "


class Role(StrEnum):
    """What a token is for."""

    USER = "user"
    """Submits jobs; sees and changes their own, and their group's; looks at those that are shared."""
    WORKER = "worker"
    """Connects a device."""
    ADMIN = "admin"
    """Everything, everybody's jobs too, without limits on jobs."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(_Frozen):
    """How much one token may ask for.

    Attributes:
        jobs: that have not ended, at once.
        requests_per_second: on average; twice as many in a burst.
        streams: watches, fronts and extractions open at once.
    """

    jobs: int = Field(default=20, ge=0)
    requests_per_second: float = Field(default=200.0, gt=0, allow_inf_nan=False)
    streams: int = Field(default=64, ge=0)


class Identity(_Frozen):
    """Whose token a call came with.

    Attributes:
        name: what the token was made for; unique.
        group: whose members see and change each other's jobs; empty for none.
        expires: seconds since the epoch from which on the token is refused; None for never.
    """

    name: str = Field(pattern=r"^[\w.@-]{1,64}$")
    role: Role
    group: str = Field(default="", pattern=r"^[\w.@-]{0,64}$")
    expires: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    limits: Limits = Limits()

    @property
    def most_jobs(self) -> int | None:
        """Unfinished jobs that an owner may have where this caller asks for one more; None for no limit."""
        return self.limits.jobs if self.role is Role.USER else None


ANYONE = Identity(name="anyone", role=Role.ADMIN, limits=Limits(requests_per_second=10_000, streams=1_000))
"""Who calls where the service has no tokens: it listens on loopback only."""


def authorization(token: str) -> str:
    """How a token is shown: the ``authorization`` metadata of a call.

    Raises:
        InvalidSpec: it has characters that no token has, and that no call can carry.
    """
    if not (token.isascii() and token.isprintable()):
        accepted = "accepted: exactly what nas token add printed"
        raise InvalidSpec([Problem("token", f"it contains characters that no token has; {accepted}")])
    return f"{SCHEME}{token}"
