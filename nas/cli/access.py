"""Who may use a service: tokens, and certificates for development."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from nas.cli.options import Json
from nas.cli.output import error_console, print_json, result_console
from nas.errors import InvalidSpec
from nas.service.identity import Limits, Role
from nas.service.server.tokens import Tokens
from searchspaces.errors import Problem
from searchspaces.space import problems_of

__all__ = ["certs", "tokens"]

tokens = typer.Typer(
    name="token", no_args_is_help=True, help="Make, list and take back the tokens of a service."
)

TokenFile = Annotated[
    Path,
    typer.Option(
        "--file", envvar="NAS_TOKENS", metavar="FILE", help="The service's token file: hashes only."
    ),
]
DEFAULT = Path("tokens.json")


@tokens.command()
def add(
    name: Annotated[str, typer.Argument(help="Who it is for; unique.")],
    role: Annotated[str, typer.Option(help="[bold]user[/], [bold]worker[/] or [bold]admin[/].")] = "user",
    file: TokenFile = DEFAULT,
    jobs: Annotated[int | None, typer.Option(help="Jobs that have not ended, at once.")] = None,
    rate: Annotated[float | None, typer.Option(help="Requests a second.")] = None,
) -> None:
    """Make a token and print it: this once, only its hash is kept.

    [dim]nas token add ada --file tokens.json[/dim]
    [dim]nas token add lab-phone --role worker[/dim]
    """
    if role not in list(Role):
        raise InvalidSpec([Problem("role", f"{role!r}; accepted: {', '.join(Role)}")])
    given = {"jobs": jobs, "requests_per_second": rate}
    try:
        limits = Limits.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise InvalidSpec(problems_of(error, "limits")) from error
    print(Tokens(file).add(name, Role(role), limits))
    error_console().print(f"a token for {role} [bold]{name}[/] in {file}; it cannot be shown again")


@tokens.command("list")
def list_tokens(file: TokenFile = DEFAULT, json: Json = False) -> None:
    """List who has a token."""
    from rich.table import Table

    identities = Tokens(file).identities()
    if json:
        fields = {"name", "role", "limits"}
        print_json([identity.model_dump(mode="json", include=fields) for identity in identities])
        return
    table = Table("name", "role", "jobs", "requests/s", "streams")
    for identity in identities:
        limits = identity.limits
        table.add_row(
            identity.name,
            identity.role,
            str(limits.jobs),
            f"{limits.requests_per_second:g}",
            str(limits.streams),
        )
    result_console().print(table)


@tokens.command()
def remove(
    name: Annotated[str, typer.Argument(help="Who it was for.")],
    file: TokenFile = DEFAULT,
) -> None:
    """Take a token back; it stops working at once, without a restart of the service."""
    Tokens(file).remove(name)
    error_console().print(f"the token of [bold]{name}[/] is gone from {file}")


def certs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Gets the certificates and keys.")],
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or address by which clients reach the service. Repeatable.",
            show_default="localhost, 127.0.0.1",
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=36_500, help="For which they hold.")] = 365,
) -> None:
    """Make a certificate authority for development, and certificates for a service and its clients.

    [dim]nas certs certs --host nas.example.org[/dim]
    [dim]nas serve --certificate certs/server.pem --key certs/server.key[/dim]
    [dim]nas --server nas.example.org:7070 --authority certs/authority.pem jobs[/dim]
    """
    from nas.service.server.certificates import make_certificates

    for path in make_certificates(folder, host or ["localhost", "127.0.0.1"], days).values():
        result_console().print(str(path), soft_wrap=True)
