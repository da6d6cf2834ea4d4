"""Who runs a job: a lease in the store, so that no two ever do, and no two change where it stands."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from nas.errors import Busy, StoreUnavailable
from nas.store.store import Store

__all__ = ["JobLease"]

LEASE_SECONDS = 15.0
"""Who takes over from a process that was killed waits no longer than this."""

LOOK_SECONDS = 0.1
"""How often whoever waits for a lease tries to take it."""

BOOT, NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


class JobLease:
    """Holds a job, renewing in the background; a context manager.

    Two leases never share a job, those of one process neither.

    Args:
        patience: seconds to wait for whoever holds the job now: where None, longer than a process that was
            killed a moment ago holds it.

    Attributes:
        lost: another took it, or may have: where the store cannot be asked for as long as a lease.

    Raises:
        Busy: at the start of the block, where another holds it for longer than that.
    """

    def __init__(self, store: Store, job_id: str, patience: float | None = None) -> None:
        self._store, self._job_id = store, job_id
        self._patience = LEASE_SECONDS + 1 if patience is None else patience
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{_sight()}/{uuid.uuid4().hex}"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease of {job_id}", daemon=True)
        self.lost = False

    def __enter__(self) -> Self:
        self._claim()
        self._thread.start()
        return self

    def _claim(self) -> None:
        """A process that was killed a moment ago still holds the job: end its lease where it is seen to
        be gone, wait it out elsewhere."""
        deadline = time.monotonic() + self._patience
        while not self._store.claim(self._job_id, self._owner, LEASE_SECONDS):
            holder = self._store.lease_owner(self._job_id)
            if holder is not None and _is_gone(holder):
                self._store.release(self._job_id, holder)
                continue
            if time.monotonic() > deadline:
                raise Busy(f"job {self._job_id} is being run by another process ({holder})")
            time.sleep(LOOK_SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(StoreUnavailable):  # it expires by itself
            self._store.release(self._job_id, self._owner)

    def _renew(self) -> None:
        held_until = time.monotonic() + LEASE_SECONDS
        try:
            while not self.lost and not self._ended.wait(LEASE_SECONDS / 3):
                asked = time.monotonic()
                try:
                    self.lost = not self._store.claim(self._job_id, self._owner, LEASE_SECONDS)
                    held_until = asked + LEASE_SECONDS
                except StoreUnavailable:
                    self.lost = time.monotonic() > held_until
        except BaseException:
            self.lost = True  # nobody renews it any more
            raise


def _sight() -> str:
    """Names all the processes whose end this one can see: those of this boot of this machine, in this
    namespace of process ids. Neither a host's name nor its process ids tell them apart: containers share the
    one, and machines made from one image the other."""
    try:
        return f"{BOOT.read_text(encoding='ascii').strip()}.{NAMESPACE.stat().st_ino}"
    except OSError:
        return ""


def _is_gone(owner: str) -> bool:
    """Whether the lease's owner is seen to run no more; who is out of sight may run."""
    sight = _sight()
    _, pid, owners_sight, _ = (owner.split("/") + 4 * [""])[:4]
    if not sight or owners_sight != sight or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
