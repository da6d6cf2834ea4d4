"""`nas`: assembles the commands, and turns errors into clear messages and exit codes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from nas.cli import (
    access,
    bench,
    catalogue,
    demo,
    exchange,
    folders,
    fronts,
    jobs,
    measurements,
    phone,
    profile,
    serve,
    web,
    worker,
)
from nas.cli.ending import Commands, as_invalid, heed_interrupts
from nas.cli.help import unwrap_help
from nas.cli.output import print_error, replace_unknown_characters
from nas.cli.settings import Settings, settings_of
from nas.errors import NasError, as_nas_error

__all__ = ["app", "main"]

JOBS, RESULTS, DEVICES = "Run jobs", "Ask for results", "Devices and benchmarks"
CATALOGUE, SERVICE, ACCESS = "What there is", "Use a shared service", "Run a shared service"

app = typer.Typer(
    name="nas",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            envvar="NAS_HOME", help="Folder for jobs, measurements and supernets.", show_default="./.nas"
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", envvar="NAS_SERVER", help="Use the service at this address."),
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="NAS_TOKEN", help="Your token for that service.")
    ] = None,
    authority: Annotated[
        Path | None,
        typer.Option(envvar="NAS_AUTHORITY", help="Certificate authority of the service; turns on TLS."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(envvar="NAS_CERTIFICATE", help="Your certificate, for mutual TLS.")
    ] = None,
    key: Annotated[Path | None, typer.Option(envvar="NAS_KEY", help="The key of your certificate.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=catalogue.print_version, is_eager=True),
    ] = False,
) -> None:
    """Find the best transformer for a task on a device, within a budget: one elastic supernet, real
    measurements, a Pareto front of models ready to ship.

    [dim]nas demo --fast[/dim]
    [dim]nas search job.yaml[/dim]
    [dim]nas front latest[/dim]
    [dim]nas extract latest --max latency_ms=8 --out model[/dim]
    """
    settings = settings_of(context)
    settings.home, settings.debug = home, debug
    settings.server, settings.token = server, token
    if authority or certificate or key:
        from workers.tls import ClientTls

        settings.tls = ClientTls(authority, certificate, key)


# In the order of a day's work: run a job, look at what it found, then devices; running a service comes last.
app.command(rich_help_panel=JOBS)(demo.demo)
app.command(rich_help_panel=JOBS)(jobs.search)
app.command(rich_help_panel=JOBS)(profile.profile)
app.command(rich_help_panel=JOBS)(jobs.resume)
app.command("add-target", rich_help_panel=JOBS)(jobs.add_target)
app.command(rich_help_panel=JOBS)(jobs.cancel)
app.command("jobs", rich_help_panel=JOBS)(jobs.list_jobs)
app.command(rich_help_panel=RESULTS)(fronts.front)
app.command(rich_help_panel=RESULTS)(fronts.best)
app.command(rich_help_panel=RESULTS)(fronts.extract)
app.command(rich_help_panel=RESULTS)(folders.verify)
app.command(rich_help_panel=RESULTS)(exchange.export)
app.command(rich_help_panel=RESULTS)(jobs.show)
app.command(rich_help_panel=RESULTS)(web.web)
app.add_typer(measurements.app, rich_help_panel=DEVICES)
app.command(rich_help_panel=DEVICES)(worker.worker)
app.command(rich_help_panel=DEVICES)(phone.phone)
app.add_typer(bench.app, rich_help_panel=DEVICES)
app.command(rich_help_panel=CATALOGUE)(catalogue.spaces)
app.command(rich_help_panel=CATALOGUE)(catalogue.tasks)
app.command(rich_help_panel=CATALOGUE)(catalogue.mixers)
app.command(rich_help_panel=CATALOGUE)(catalogue.presets)
app.command(rich_help_panel=CATALOGUE)(catalogue.plugins)
app.command(rich_help_panel=CATALOGUE)(catalogue.version)
app.command(rich_help_panel=SERVICE)(serve.submit)
app.command(rich_help_panel=SERVICE)(serve.watch)
app.command(rich_help_panel=SERVICE)(serve.health)
app.command(rich_help_panel=ACCESS)(serve.serve)
app.add_typer(access.tokens, rich_help_panel=ACCESS)
app.command(rich_help_panel=ACCESS)(access.certs)
unwrap_help(app)


def main() -> None:
    """Run the command line that `sys.argv` holds; exits with the error's own code."""
    settings = Settings(json="--json" in sys.argv[1:])
    heed_interrupts()
    replace_unknown_characters()
    try:
        # By itself typer draws a box around what is wrong with a command line, whoever reads.
        sys.exit(app(obj=settings, prog_name="nas", standalone_mode=not settings.json))
    except typer.TyperException as error:
        known: NasError = as_invalid(error)
    except Exception as error:
        if settings.debug:
            raise
        known = error if isinstance(error, NasError) else as_nas_error(error)
    print_error(known, as_json=settings.json)
    sys.exit(known.exit_code)
