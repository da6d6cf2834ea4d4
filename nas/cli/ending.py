"""How an invocation ends that its user, or its reader, ends: by Ctrl-C, or by closing the pipe; and one whose
words are no command line."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from nas.cli.output import error_console, print_error
from nas.cli.settings import settings_of
from nas.errors import InvalidSpec, JobInterrupted
from searchspaces.errors import Problem

__all__ = ["Commands", "as_invalid", "heed_interrupts"]

READER_WENT_AWAY, INTERRUPTED = 128 + signal.SIGPIPE, JobInterrupted.exit_code
"""Exit codes, as shells know them."""

HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Commands(TyperGroup):
    """Commands whose answer may be cut short: `nas front JOB | head -1` ends quietly."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command and hand over all that it wrote."""
        try:
            answer = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError as error:
            # What is still to be written has nowhere to go, and must not fail again as Python ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):
                os.dup2(nowhere, stream.fileno())
            raise typer.Exit(READER_WENT_AWAY) from error
        except KeyboardInterrupt as error:
            with suppress(OSError):  # of a terminal that has gone
                if settings_of(ctx).json:
                    print_error(JobInterrupted("interrupted"), as_json=True)
                else:
                    error_console().print("interrupted")
            raise typer.Exit(INTERRUPTED) from error
        return answer


def as_invalid(error: typer.TyperException) -> InvalidSpec:
    """What typer finds wrong with a command line, as any other mistake of a user."""
    context: typer.Context | None = getattr(error, "ctx", None)
    where = "nas" if context is None else context.command_path
    return InvalidSpec([Problem(where, f"{error.format_message().rstrip('.')}; see {where} --help")])


def heed_interrupts() -> None:
    """From now on Ctrl-C, SIGTERM and a terminal that goes raise KeyboardInterrupt, so that all ends in good
    order, and a second one ends this process at once: its children see that and end too, and its jobs go on
    from their last completed unit of work. A signal that whoever started this process ignores, as nohup does,
    is left ignored."""
    for number in HEEDED:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt
