"""`nas`: assembles the commands, and turns errors into clear messages and exit codes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from nas.cli import access, bench, catalogue, demo, fronts, jobs, measurements, profile, serve, worker
from nas.cli.ending import Commands, heed_interrupts
from nas.cli.output import print_error, replace_unknown_characters
from nas.cli.settings import Settings, settings_of
from nas.errors import NasError, as_nas_error

__all__ = ["app", "main"]

RUN, ASK, DEVICES, KNOW = "Run jobs", "Ask for results", "Devices and benchmarks", "What there is"
SERVE = "Work with a service that others share"

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
            envvar="NAS_HOME", help="Folder of jobs, measurements and supernets.", show_default="./.nas"
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", envvar="NAS_SERVER", help="Ask a service elsewhere."),
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="NAS_TOKEN", help="What that service knows you by.")
    ] = None,
    authority: Annotated[
        Path | None,
        typer.Option(envvar="NAS_AUTHORITY", help="Who signed its certificate: turns on TLS."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(envvar="NAS_CERTIFICATE", help="Your own, for mutual TLS.")
    ] = None,
    key: Annotated[Path | None, typer.Option(envvar="NAS_KEY", help="Of your certificate.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Find the best transformer for a task on a device, within a budget: one elastic supernet, real
    measurements, a Pareto front of models ready to ship.

    Start with [bold]nas demo[/bold].
    """
    settings = settings_of(context)
    settings.home, settings.debug = home, debug
    settings.server, settings.token = server, token
    if authority or certificate or key:
        from workers.tls import ClientTls

        settings.tls = ClientTls(authority, certificate, key)


app.command(rich_help_panel=RUN)(demo.demo)
app.command(rich_help_panel=RUN)(jobs.search)
app.command(rich_help_panel=RUN)(profile.profile)
app.command(rich_help_panel=RUN)(jobs.resume)
app.command("add-target", rich_help_panel=RUN)(jobs.add_target)
app.command(rich_help_panel=RUN)(jobs.cancel)
app.command("jobs", rich_help_panel=RUN)(jobs.list_jobs)
app.command(rich_help_panel=SERVE)(serve.serve)
app.command(rich_help_panel=SERVE)(serve.submit)
app.command(rich_help_panel=SERVE)(serve.watch)
app.command(rich_help_panel=SERVE)(serve.health)
app.add_typer(access.tokens, rich_help_panel=SERVE)
app.command(rich_help_panel=SERVE)(access.certs)
app.command(rich_help_panel=ASK)(jobs.show)
app.command(rich_help_panel=ASK)(fronts.front)
app.command(rich_help_panel=ASK)(fronts.best)
app.command(rich_help_panel=ASK)(fronts.extract)
app.command(rich_help_panel=DEVICES)(worker.worker)
app.command(rich_help_panel=DEVICES)(measurements.measurements)
app.add_typer(bench.app, rich_help_panel=DEVICES)
app.command(rich_help_panel=KNOW)(catalogue.spaces)
app.command(rich_help_panel=KNOW)(catalogue.tasks)
app.command(rich_help_panel=KNOW)(catalogue.presets)
app.command(rich_help_panel=KNOW)(catalogue.plugins)
app.command(rich_help_panel=KNOW)(catalogue.version)


def main() -> None:
    """Run the command line that `sys.argv` holds; exits with the error's own code."""
    settings = Settings()
    heed_interrupts()
    replace_unknown_characters()
    try:
        app(obj=settings, prog_name="nas")
    except Exception as error:
        if settings.debug:
            raise
        known = error if isinstance(error, NasError) else as_nas_error(error)
        print_error(known, as_json=settings.json)
        sys.exit(known.exit_code)
