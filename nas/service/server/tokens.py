"""Who may ask: bearer tokens with a role and limits, kept as hashes.

A token is 32 random bytes, so that one SHA-256 of it needs no salt and no slow hash: it cannot be guessed
from its hash, whatever the speed. The file holds hashes only; a token is shown once, when it is made.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import shlex
import stat
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nas.errors import InvalidSpec, StoreUnavailable, Unauthenticated
from nas.files import alone_in, write_whole
from nas.service.identity import SCHEME, Identity, Limits, Role
from searchspaces.errors import Problem
from searchspaces.validation import problems_of

__all__ = ["Tokens"]

DAY_SECONDS = 86_400.0

_LOG = logging.getLogger(__name__)


class _Entry(Identity):
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[_Entry, ...] = ()


class Tokens:
    """The token file; a change to it counts from the next call on.

    Args:
        path: a JSON file, ``{"tokens": [{"name", "role", "group", "expires", "sha256", "limits"}]}``; it need
            not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._identities: dict[str, Identity] = {}

    def identify(self, authorization: str | None) -> Identity:
        """Who a call's ``authorization`` metadata belongs to.

        Raises:
            Unauthenticated: it is absent, has another form, or belongs to nobody; or the file cannot be
                read: nobody comes in by accident.
        """
        if authorization is None:
            raise Unauthenticated("this service wants a token: --token, or $NAS_TOKEN")
        if not authorization.startswith(SCHEME):
            raise Unauthenticated("the authorization is not a bearer token; accepted: 'Bearer TOKEN'")
        digest = _digest(authorization[len(SCHEME) :])
        found = None
        # Every entry is compared, each in constant time: how long it takes tells nothing.
        for known, identity in self._load().items():
            if hmac.compare_digest(known, digest):
                found = identity
        if found is None:
            raise Unauthenticated("the token is not known to this service")
        if found.expires is not None and found.expires <= time.time():
            day = time.strftime("%Y-%m-%d", time.gmtime(found.expires))
            raise Unauthenticated(f"the token of {found.name} expired on {day}; ask for another")
        return found

    def admits_worker(self, authorization: str) -> bool:
        """Whether who shows this may connect a device: it is a worker's token, or an admin's."""
        try:
            return self.identify(authorization).role in (Role.WORKER, Role.ADMIN)
        except Unauthenticated:
            return False

    def check(self) -> None:
        """Refuse a file that is no token file: a service that used it would deny everybody.

        Raises:
            InvalidSpec: what is wrong with it.
        """
        try:
            self._read()
        except StoreUnavailable as error:
            accepted = "accepted: a file that nas token add made, or will make"
            raise InvalidSpec([Problem("--tokens", f"{error}; {accepted}")]) from error

    def identities(self) -> list[Identity]:
        """Everyone with a token, by name."""
        return sorted(self._load().values(), key=lambda identity: identity.name)

    def why_nobody_comes_in(self) -> str | None:
        """What to tell whoever starts a service with this file before there is a token in it: which file it
        is, and how to make one. None where there is a token.

        Raises:
            StoreUnavailable: it cannot be read, or is no token file.
        """
        if self._read():
            return None
        lacks = "has no token" if self._path.exists() else "does not exist yet"
        make = f"nas token add NAME --file {shlex.quote(str(self._path))}"
        return f"{self._path} {lacks}: nobody can log in; make a token with: {make}"

    def add(
        self,
        name: str,
        role: Role,
        limits: Limits | None = None,
        *,
        group: str = "",
        days: float | None = None,
    ) -> str:
        """Make a token and keep its hash.

        Args:
            group: see `Identity`.
            days: until it expires; None for never.

        Returns:
            The token; it cannot be read again.

        Raises:
            InvalidSpec: the name is taken or is not a name.
        """
        token = secrets.token_urlsafe(32)
        try:
            entry = _Entry(
                name=name,
                role=role,
                group=group,
                expires=None if days is None else time.time() + days * DAY_SECONDS,
                limits=limits or Limits(),
                sha256=_digest(token),
            )
        except ValidationError as error:
            raise InvalidSpec(problems_of(error, _Entry)) from error
        with alone_in(self._path.parent):
            entries = self._read()
            if any(entry.name == name for entry in entries):
                raise InvalidSpec([Problem("name", f"{name!r} has a token already; remove it first")])
            self._write([*entries, entry])
        return token

    def remove(self, name: str) -> None:
        """Take a token back; calls with it fail from now on.

        Raises:
            InvalidSpec: nobody has that name.
        """
        with alone_in(self._path.parent):
            entries = self._read()
            kept = [entry for entry in entries if entry.name != name]
            if len(kept) == len(entries):
                accepted = ", ".join(entry.name for entry in entries) or "none, there is no token yet"
                raise InvalidSpec([Problem("name", f"no token of {name!r}; accepted: {accepted}")])
            self._write(kept)

    def _load(self) -> dict[str, Identity]:
        with self._lock:
            try:
                status = self._path.stat()
            except FileNotFoundError:
                self._stamp, self._identities = None, {}
                return self._identities
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                try:
                    self._identities = {entry.sha256: entry for entry in self._read()}
                except StoreUnavailable as error:
                    # Callers are strangers still: what is wrong with the file is not for them.
                    _LOG.error("no token can be checked: %s", error)
                    raise Unauthenticated("this service cannot check tokens now; its log says why") from error
                self._stamp = stamp
            return self._identities

    def _read(self) -> tuple[_Entry, ...]:
        try:
            return _Document.model_validate_json(self._path.read_bytes()).tokens
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StoreUnavailable(f"cannot read {self._path}: {error.strerror}") from error
        except ValidationError as error:
            problems = " ".join("; ".join(map(str, problems_of(error, _Document)[:3])).split())
            raise StoreUnavailable(f"{self._path} is not a token file: {problems:.300}") from error

    def _write(self, entries: Iterable[_Entry]) -> None:
        with write_whole(self._path, mode=0o600) as temporary:
            temporary.write_text(_Document(tokens=tuple(entries)).model_dump_json(indent=2) + "\n")
            self._keep_readers(temporary)

    def _keep_readers(self, replacement: Path) -> None:
        """Give what takes this file's place its owner, group and mode: a service of another user that can
        read the file must not be locked out by a change."""
        try:
            before, after = self._path.stat(), replacement.stat()
        except FileNotFoundError:
            return
        if (before.st_uid, before.st_gid) != (after.st_uid, after.st_gid):
            try:
                os.chown(replacement, before.st_uid, before.st_gid)
            except PermissionError as error:
                owner = f"user {before.st_uid} and group {before.st_gid}"
                raise StoreUnavailable(
                    f"cannot change {self._path} and leave it to {owner}; accepted: to do it as that user, "
                    "or as root"
                ) from error
        replacement.chmod(stat.S_IMODE(before.st_mode))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
