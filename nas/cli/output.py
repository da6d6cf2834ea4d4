"""Answers on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape

from nas.errors import InvalidSpec, NasError

__all__ = [
    "error_console",
    "print_error",
    "print_json",
    "replace_unknown_characters",
    "result_console",
    "write_or_print",
]


class _Console(Console):
    """Says that its reader has gone rather than end the process by itself; see `nas.cli.ending`."""

    def on_broken_pipe(self) -> None:
        """Called while the error is handled."""
        raise


def result_console() -> Console:
    """For answers that people read. Without a terminal lines are as long as they need to be, so that
    `nas front JOB | less -S` and grep see whole rows."""
    console = _Console(highlight=False)
    return console if console.is_terminal else _Console(highlight=False, width=200)


def error_console() -> Console:
    """For progress, notes and errors."""
    return _Console(stderr=True, highlight=False)


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
    """Text, or data as JSON, to a file (whole or not at all) or to standard output."""
    if out is None and not isinstance(content, str):
        print_json(content)
        return
    text = content if isinstance(content, str) else _json(content)
    if out is None:
        sys.stdout.write(text)
        return
    from nas.files import write_whole

    with write_whole(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    error_console().print(f"written to {out}", markup=False, soft_wrap=True)


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
