"""What devices have said: targets, every measurement of one, and having measurements forgotten."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from nas.cli import completion
from nas.cli.options import Json, parse_targets
from nas.cli.output import print_json, result_console
from nas.cli.settings import open_client
from nas.errors import InvalidSpec
from nas.objectives.latency_ms import Latency
from nas.store import Forgotten
from searchspaces.errors import Problem
from workers.target import Target

if TYPE_CHECKING:
    from nas.client import Client

__all__ = ["app"]


class _Listing(TyperGroup):
    """`nas measurements`, with a target or without one, lists; a target has slashes, no command has."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the command that is left out."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="measurements",
    cls=_Listing,
    help="""List the targets that were measured, or with a TARGET what was measured on it; have measurements
    forgotten.

    [dim]nas measurements[/dim]
    [dim]nas measurements local-cpu/onnxruntime/fp32/1t/prefill/b1/n1024[/dim]
    [dim]nas measurements forget phone/openvino/fp32/1t/prefill/b1/n1024 --since 2026-11-27[/dim]
    """,
    subcommand_metavar="[TARGET | COMMAND [ARGS]...]",
)

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A target, as [bold]nas measurements[/] lists them.",
        autocompletion=completion.measured,
    ),
]


@app.command()
def forget(
    context: typer.Context,
    target: TargetArgument,
    digest: Annotated[
        str | None,
        typer.Option(
            help="Only of this architecture: its digest, or the beginning of it.", show_default="of all"
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Only what was measured at this time or later: [bold]2026-11-27[/], or 2026-11-27T13:30.",
            show_default="ever",
        ),
    ] = None,
    why: Annotated[str, typer.Option(help="The reason, for the journal.", show_default=False)] = "",
    json: Json = False,
) -> None:
    """Forget what was measured on a target: later jobs measure it again.

    Every measurement that goes is written down in a journal. On a shared service this is for administrators.

    [dim]nas measurements forget phone/openvino/fp32/1t/prefill/b1/n1024 --digest 3b1f0c9a --why absurd[/dim]
    [dim]nas measurements forget phone/openvino/fp32/1t/prefill/b1/n1024 --since 2026-11-27[/dim]
    """
    (wanted,) = parse_targets("TARGET", [target])
    with open_client(context) as client:
        entries = client.forget_measurements(wanted, digest, _seconds(since), why=why)
    if json:
        print_json([_plain(entry) for entry in entries])
    else:
        result_console().print(f"{len(entries)} measurements on {wanted} forgotten", soft_wrap=True)


@app.command()
def journal(context: typer.Context, json: Json = False) -> None:
    """List what was forgotten: by whom, when and why.

    [dim]nas measurements journal[/dim]
    """
    with open_client(context) as client:
        entries = client.forgotten()
    if json:
        print_json([_plain(entry) for entry in entries])
        return
    from nas.cli.listings import forgotten_table

    result_console().print(forgotten_table(entries))


def _seconds(since: str | None) -> float:
    if since is None:
        return 0.0
    try:
        return datetime.fromisoformat(since).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        accepted = "accepted: a date, or a date and a time, such as 2026-11-27T13:30"
        raise InvalidSpec([Problem("--since", f"{since!r:.80} is not a date; {accepted}")]) from error


def _plain(entry: Forgotten) -> dict[str, Any]:
    return {**asdict(entry), "target": str(entry.target)}


@app.command("list")
def measurements(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="A target, as listed when none is given.",
            autocompletion=completion.measured,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List the targets that were measured, or every measurement on one of them.

    Errors include what sessions of measuring differ by on the target, learned from the few models that every
    session measures again of what earlier ones had measured.

    Where control models showed that the device was disturbed, the first reading is shown beside what
    replaced it: a second measurement, or the first with the slowdown divided out.

    [dim]nas measurements[/dim]
    [dim]nas measurements local-cpu/onnxruntime/fp32/1t/prefill/b1/n1024 --json > table.json[/dim]
    """
    wanted = None if target is None else parse_targets("TARGET", [target])[0]
    with open_client(context) as client:
        rows = _of_targets(client) if wanted is None else _of_target(client, wanted)
    if json:
        print_json(rows)
        return
    from nas.cli.listings import measurements_table, targets_table

    result_console().print(targets_table(rows) if wanted is None else measurements_table(rows))


def _of_targets(client: Client) -> list[dict[str, Any]]:
    return [
        {
            "target": str(target),
            "measurements": len(client.measurements(target)),
            **_between_sessions(client, target),
        }
        for target in client.targets()
    ]


def _of_target(client: Client, target: Target) -> list[dict[str, Any]]:
    between = _between_sessions(client, target)
    return [
        {
            "digest": found.digest,
            "latency_ms": found.corrected.latency_ms,
            "error_ms": Latency.observed(found).in_any_session(between["session_error"]).std,
            "error_within_session_ms": found.corrected.error_ms,
            **between,
            "wall_ms": found.wall_ms,
            "drift": found.drift,
            "slowdown": found.slowdown,
            "first": None if found.correction is None else asdict(found.reading),
            "peak_memory_bytes": found.peak_memory_bytes,
            "noisy": found.noisy,
            "attention": found.attention,
            "measured_at": found.measured_at,
            "architecture": architecture.to_dict(),
        }
        for architecture, found in client.measurements(target)
    ]


def _between_sessions(client: Client, target: Target) -> dict[str, Any]:
    error = client.session_error(target)
    return {"session_error": error.relative, "session_pairs": error.pairs}
