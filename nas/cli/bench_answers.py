"""What commands of `nas bench` read and answer alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli.output import check_file, error_console, print_json, result_console, write_or_print
from nas.cli.plain_table import PlainTable
from nas.errors import InvalidSpec
from searchspaces.errors import Problem

__all__ = ["Out", "answer", "check_first", "numbers", "shares", "texts"]


def check_first(parameter: typer.CallbackParam, file: Path | None) -> Path | None:
    """Of an option that names a file: what takes hours is not begun where its answer cannot be written."""
    if file is not None:
        check_file(file, parameter.opts[0])
    return file


Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write every number to this file, as JSON.", callback=check_first),
]


def answer(tables: Sequence[PlainTable], result: dict[str, Any], out: Path | None, *, as_json: bool) -> None:
    """Tables and what they mean, or the same as JSON; every number to a file besides."""
    if as_json:
        print_json(result)
    else:
        for table in tables:
            result_console().print(table)
        for drift, protocol in result.get("protocol", {}).items():
            result_console().print(f"drift {drift}: {protocol}", markup=False, soft_wrap=True)
        for note in result.get("notes", []):
            error_console().print(f"note: {note}", markup=False, soft_wrap=True)
    if out is not None:
        write_or_print(result, out)


def texts(listed: str | None) -> list[str] | None:
    """An option that lists, separated by commas; None where it was not given."""
    return None if listed is None else [part.strip() for part in listed.split(",") if part.strip()]


def shares(option: str, listed: str, accepted: str = "rising shares, the last one 1") -> list[float]:
    """An option that lists numbers.

    Raises:
        InvalidSpec: it does not.
    """
    try:
        return [float(part) for part in listed.split(",")]
    except ValueError as error:
        message = f"{listed!r}; accepted: {accepted}, separated by commas"
        raise InvalidSpec([Problem(option, message)]) from error


def numbers(option: str, listed: str) -> list[int]:
    """An option that lists whole numbers.

    Raises:
        InvalidSpec: it does not.
    """
    try:
        return [int(part) for part in listed.split(",")]
    except ValueError as error:
        message = f"{listed!r}; accepted: whole numbers from 1, separated by commas"
        raise InvalidSpec([Problem(option, message)]) from error
