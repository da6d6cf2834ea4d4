"""Answers on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import stat
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape

from nas.errors import InvalidSpec, NasError, StoreUnavailable
from searchspaces.errors import Problem

__all__ = [
    "check_file",
    "error_console",
    "print_error",
    "print_json",
    "replace_unknown_characters",
    "result_console",
    "write_file",
    "write_or_print",
]


ANY_WIDTH = 10_000


class _Console(Console):
    """Says that its reader has gone rather than end the process by itself; see `nas.cli.ending`. A ``:x:`` in
    somebody's text stays what it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)

    def on_broken_pipe(self) -> None:
        """Called while the error is handled."""
        raise


def result_console() -> Console:
    """For answers that people read. Without a terminal lines are as long as they need to be, so that
    `nas front JOB | less -S` and grep see whole rows."""
    console = _Console()
    return console if console.is_terminal else _Console(width=ANY_WIDTH)


def error_console() -> Console:
    """For progress, notes and errors."""
    return _Console(stderr=True)


def print_json(answer: Any) -> None:
    """One JSON document on standard output; NaN and infinities are refused, for JSON has none."""
    sys.stdout.write(_json(answer, ascii_only=not _takes(sys.stdout, "★")))


def print_error(error: NasError, *, as_json: bool) -> None:
    """Say on standard error what was wrong, where, and what is accepted."""
    if as_json:
        document: dict[str, Any] = {
            "error": type(error).__name__,
            "message": str(error),
            "exit_code": error.exit_code,
        }
        if isinstance(error, InvalidSpec):
            document["problems"] = [{"path": p.path, "message": p.message} for p in error.problems]
        ascii_only = not _takes(sys.stderr, "★")
        sys.stderr.write(json.dumps(document, ensure_ascii=ascii_only) + "\n")
        return
    lines = str(error).splitlines() or [type(error).__name__]
    console = error_console()
    if len(lines) == 1:
        console.print(f"[bold red]error:[/] {escape(lines[0])}", soft_wrap=True)
        return
    console.print(f"[bold red]error:[/] {len(lines)} problems")
    for line in lines:
        console.print(f"  [red]•[/] {escape(line)}", soft_wrap=True)


def write_or_print(content: str | dict[str, Any], out: Path | None) -> None:
    """Text, or data as JSON, to a file or to standard output."""
    if out is not None:
        write_file(content if isinstance(content, str) else _json(content), out)
    elif isinstance(content, str):
        sys.stdout.write(content)
    else:
        print_json(content)


def write_file(text: str, out: Path, option: str = "--out") -> None:
    """Write an answer where the user wants it, and say so. A regular file is replaced whole or not at all and
    keeps its mode; a link stays, what it leads to is written; a device or a FIFO is written through.

    Raises:
        InvalidSpec: a folder is there, or links lead in a circle.
        StoreUnavailable: it cannot be written.
    """
    from nas.files import write_whole

    out_file, status = _resolved(out, option)
    if status is not None and not stat.S_ISREG(status.st_mode):
        try:
            out_file.write_text(text, encoding="utf-8")
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StoreUnavailable(f"cannot write {out}: {error.strerror}") from error
        return
    with write_whole(out_file) as temporary:
        temporary.write_text(text, encoding="utf-8")
        if status is not None:
            temporary.chmod(stat.S_IMODE(status.st_mode))
    error_console().print(f"written to {out}", markup=False, soft_wrap=True)


def check_file(out: Path, option: str = "--out") -> None:
    """Before the work whose answer is to be written there: that `write_file` can, as far as that can be told.
    Nothing is made.

    Raises:
        InvalidSpec, StoreUnavailable: as it.
    """
    out_file, status = _resolved(out, option)
    if status is not None and not stat.S_ISREG(status.st_mode):
        needed = out_file
    else:  # made beside what is there, with the folders above it
        needed = next(folder for folder in out_file.parents if folder.exists())
        if not needed.is_dir():
            raise StoreUnavailable(f"cannot write {out}: {needed} is not a folder")
    if not os.access(needed, os.W_OK):
        raise StoreUnavailable(f"cannot write {out}: {needed} may not be written to")


def _resolved(out: Path, option: str) -> tuple[Path, os.stat_result | None]:
    """The file that is meant, and what is there."""
    try:
        out_file = out.resolve()
        status = out_file.stat() if out_file.exists() else None
    except (OSError, RuntimeError) as error:
        raise InvalidSpec([Problem(option, f"{out}: {error}; accepted: a file")]) from error
    if status is not None and stat.S_ISDIR(status.st_mode):
        raise InvalidSpec([Problem(option, f"{out} is a folder; accepted: a file")])
    return out_file, status


def replace_unknown_characters() -> None:
    """From now on what the locale's encoding lacks is shown as a question mark rather than an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _takes(stream: TextIO, character: str) -> bool:
    try:
        character.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _json(answer: Any, *, ascii_only: bool = False) -> str:
    return json.dumps(answer, indent=2, ensure_ascii=ascii_only, allow_nan=False) + "\n"
