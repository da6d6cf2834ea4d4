"""Links that admit one browser each, for ten minutes."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

from workers.errors import LinkRefused

__all__ = ["LINK_SECONDS", "Links"]

LINK_SECONDS = 600.0


class Links:
    """The secrets of links that were given and not used yet. A secret stands in a link's fragment, which
    browsers send to nobody; the page shows it once, when it joins.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}

    def new(self) -> str:
        """A secret that admits one browser."""
        secret = secrets.token_urlsafe(24)
        with self._lock:
            self._ends = {known: end for known, end in self._ends.items() if end > self._clock()}
            self._ends[secret] = self._clock() + LINK_SECONDS
        return secret

    def admits(self, secret: str) -> bool:
        """Whether the secret still admits a browser."""
        with self._lock:
            return self._ends.get(secret, 0.0) > self._clock()

    def use(self, secret: str) -> None:
        """Admit whoever shows the secret, and nobody after them.

        Raises:
            LinkRefused: it admits nobody, or nobody any more.
        """
        with self._lock:
            end = self._ends.pop(secret, None)
        if end is None or end <= self._clock():
            raise LinkRefused(
                "this link was used before, or is older than ten minutes; accepted: a new one, which "
                "nas phone shows"
            )
