"""Who may use a service: tokens, and certificates for development."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.markup import escape

from nas.cli import completion
from nas.cli.options import Json
from nas.cli.output import error_console, print_json, result_console
from nas.cli.plain_table import PlainTable
from nas.errors import InvalidSpec
from nas.service.identity import Limits, Role
from nas.service.server.tokens import Tokens
from searchspaces.errors import Problem
from searchspaces.validation import problems_of

__all__ = ["certs", "tokens"]

tokens = typer.Typer(
    name="token",
    no_args_is_help=True,
    help="""Create, list and revoke the tokens of a service.

    [dim]nas token add ada --file tokens.json[/dim]
    """,
)

TokenFile = Annotated[
    Path,
    typer.Option(
        "--file", envvar="NAS_TOKENS", metavar="FILE", help="The service's token file; it holds hashes only."
    ),
]
DEFAULT = Path("tokens.json")


@tokens.command()
def add(
    name: Annotated[str, typer.Argument(help="Whom the token is for; unique.")],
    role: Annotated[
        str,
        typer.Option(
            help="[bold]user[/], [bold]worker[/] or [bold]admin[/].", autocompletion=completion.roles
        ),
    ] = "user",
    file: TokenFile = DEFAULT,
    jobs: Annotated[int | None, typer.Option(help="Unfinished jobs at once, at most.")] = None,
    rate: Annotated[float | None, typer.Option(help="Requests a second, at most.")] = None,
    group: Annotated[
        str, typer.Option(help="Its members see and change each other's jobs.", show_default=False)
    ] = "",
    days: Annotated[
        float | None, typer.Option(min=0.01, max=36_500, help="Days until it expires; never if not given.")
    ] = None,
    json: Json = False,
) -> None:
    """Create a token and print it, once: only its hash is kept.

    [dim]nas token add ada --file tokens.json[/dim]
    [dim]nas token add lab-phone --role worker --days 90[/dim]
    [dim]nas token add bob --group vision[/dim]
    """
    if role not in list(Role):
        raise InvalidSpec([Problem("role", f"{role!r}; accepted: {', '.join(Role)}")])
    given = {"jobs": jobs, "requests_per_second": rate}
    try:
        limits = Limits.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise InvalidSpec(problems_of(error, Limits, "limits")) from error
    token = Tokens(file).add(name, Role(role), limits, group=group, days=days)
    if json:
        print_json({"name": name, "role": role, "token": token})
        return
    print(token)
    error_console().print(
        f"a token for {role} [bold]{escape(name)}[/] in {escape(str(file))}; it cannot be shown again"
    )


@tokens.command("list")
def list_tokens(file: TokenFile = DEFAULT, json: Json = False) -> None:
    """List who has a token.

    [dim]nas token list --file tokens.json[/dim]
    """
    known = Tokens(file)
    identities, nobody = known.identities(), known.why_nobody_comes_in()
    if nobody is not None:
        error_console().print(nobody, markup=False, soft_wrap=True)
    if json:
        fields = {"name", "role", "group", "expires", "limits"}
        print_json([identity.model_dump(mode="json", include=fields) for identity in identities])
        return
    if nobody is not None:
        return
    numbers = ("jobs", "requests/s", "streams")
    table = PlainTable("name", "role", "group", "expires", *numbers, right=numbers)
    for identity in identities:
        limits = identity.limits
        table.add_row(
            identity.name,
            identity.role,
            identity.group or "–",
            "never" if identity.expires is None else _day(identity.expires),
            str(limits.jobs),
            f"{limits.requests_per_second:g}",
            str(limits.streams),
        )
    result_console().print(table)


@tokens.command()
def remove(
    name: Annotated[str, typer.Argument(help="Whom the token was for.")],
    file: TokenFile = DEFAULT,
    json: Json = False,
) -> None:
    """Revoke a token; it stops working at once, without a restart of the service.

    [dim]nas token remove ada[/dim]
    """
    Tokens(file).remove(name)
    if json:
        print_json({"name": name, "revoked": True})
        return
    error_console().print(f"revoked the token of [bold]{escape(name)}[/] in {escape(str(file))}")


def _day(seconds: float) -> str:
    said = time.strftime("%Y-%m-%d", time.localtime(seconds))
    return f"{said}, expired" if seconds <= time.time() else said


def certs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for certificates and keys.")],
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or address of the service. Repeatable.",
            show_default="localhost, 127.0.0.1",
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=36_500, help="Days for which they are valid.")] = 365,
    json: Json = False,
) -> None:
    """Create a certificate authority for development, and certificates for a service and its clients.

    [dim]nas certs certs --host nas.example.org[/dim]
    [dim]nas serve --certificate certs/server.pem --key certs/server.key[/dim]
    [dim]nas --server nas.example.org:7070 --authority certs/authority.pem jobs[/dim]
    """
    from nas.service.server.certificates import make_certificates

    made = make_certificates(folder, host or ["localhost", "127.0.0.1"], days)
    if json:
        print_json({name: str(path) for name, path in made.items()})
        return
    for path in made.values():
        result_console().print(str(path), markup=False, soft_wrap=True)
