"""What a command is at: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.markup import escape

from nas.cli.output import error_console
from nas.cli.progress import LINE_SECONDS

__all__ = ["Activity"]


class Activity:
    """What a command does that is no job: behind a spinner where people watch, else a line every few
    seconds.

    Args:
        what: it does first.
    """

    def __init__(self, what: str) -> None:
        console = error_console()
        self._console, self._last_line = console, time.monotonic()
        self._status = console.status(what) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def update(self, what: str) -> None:
        """What it does now."""
        if self._status is not None:
            self._status.update(escape(what))
        elif time.monotonic() - self._last_line >= LINE_SECONDS:
            self._last_line = time.monotonic()
            self._console.print(what, markup=False, soft_wrap=True)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While something else tells its own progress."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()
