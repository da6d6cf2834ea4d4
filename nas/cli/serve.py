"""A service that others share: running it, handing it jobs, and watching them."""

from __future__ import annotations

import gc
import signal
import threading
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from nas.cli.options import Job, Json, RayAddress, Shared
from nas.cli.output import error_console, print_json, result_console
from nas.cli.settings import open_client, settings_of
from nas.cli.web import PAGE_ADDRESS
from nas.errors import Forbidden, Incompatible, InvalidSpec, Unauthenticated
from nas.report.numbers import readable_bytes
from searchspaces.errors import Problem

if TYPE_CHECKING:
    from nas.planning.limits import Limits
    from nas.service.server.host import ServiceHost
    from nas.web.server import WebServer
    from workers.tls import ServerTls

__all__ = ["health", "serve", "submit", "watch"]


def serve(
    context: typer.Context,
    bind: Annotated[
        str, typer.Option(metavar="HOST:PORT", envvar="NAS_BIND_USERS", help="Address for users.")
    ] = "127.0.0.1:7070",
    workers: Annotated[
        str, typer.Option(metavar="HOST:PORT", envvar="NAS_BIND_WORKERS", help="Address for workers.")
    ] = "127.0.0.1:7071",
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", envvar="NAS_BIND_METRICS", help="Address of /metrics, for Prometheus."
        ),
    ] = None,
    page: Annotated[
        str | None,
        typer.Option(
            "--web",
            metavar="HOST:PORT",
            envvar="NAS_BIND_WEB",
            help=f"Address of the live page, [bold]{PAGE_ADDRESS}[/] for one; none where it is not given.",
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(envvar="NAS_STORE", help="URL of a PostgreSQL database that several services share."),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(
            envvar="NAS_TOKENS",
            help="Token file, see [bold]nas token[/]; without one only this machine may connect.",
        ),
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="The service's certificate; turns on TLS.")] = None,
    key: Annotated[Path | None, typer.Option(help="The key of the certificate.")] = None,
    client_authority: Annotated[
        Path | None, typer.Option(help="Authority that signs clients' certificates; turns on mutual TLS.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="NAS_DATA",
            help="The only folder that jobs may read data from; without it they may read none.",
        ),
    ] = None,
    parallel: Annotated[int, typer.Option(min=0, help="Jobs to run at once in this process.")] = 1,
    most_memory: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=2**20,
            metavar="GIB",
            help="Memory that one job may take; [bold]nas health[/] tells users.",
            show_default="this machine's",
        ),
    ] = None,
    most_tokens: Annotated[
        float,
        typer.Option(min=1, max=1e18, help="Tokens that one job may read; [bold]nas health[/] tells users."),
    ] = 1e12,
    ray_address: RayAddress = None,
    level: Annotated[str, typer.Option("--log-level", help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Serve users and workers over gRPC until stopped; unfinished jobs go on at the next start.

    [dim]nas serve[/dim]
    [dim]nas serve --bind 0.0.0.0:7070 --workers 0.0.0.0:7071 --tokens tokens.json \\
      --certificate certs/server.pem --key certs/server.key[/dim]
    """
    from nas.planning.limits import Limits
    from nas.service.server.host import ServiceHost
    from nas.service.server.logs import log_as_json
    from nas.service.server.tokens import Tokens

    log_as_json(level.upper())
    here = None if ray_address else Limits.of_this_machine().memory_bytes
    memory = here if most_memory is None else round(most_memory * 2**30)
    stopped = threading.Event()
    host = ServiceHost(
        settings_of(context).home or Path(".nas"),
        bind=bind,
        workers=workers,
        metrics=metrics,
        store=store,
        tokens=tokens,
        tls=_tls(certificate, key, client_authority),
        data_root=data,
        parallel=parallel,
        ray_address=ray_address,
        limits=Limits(memory, round(most_tokens)),
        inside=page is not None,
    )
    nobody = None if tokens is None else Tokens(tokens).why_nobody_comes_in()
    with ExitStack() as opened:
        serving = opened.enter_context(host)
        shown = None
        if page is not None:
            shown = opened.enter_context(_page_of(serving, page, tokens is not None, certificate, key)).url

        def stop(number: int, frame: FrameType | None) -> None:
            signal.signal(number, signal.SIG_DFL)  # a second one ends this at once
            stopped.set()

        # Only now: Ray, which has started, handles SIGTERM in a way that aborts.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        console = error_console()
        console.print(
            f"users connect to [bold]{serving.address}[/], workers to [bold]{serving.workers_address}[/]"
        )
        if shown is not None:
            console.print(f"the page is at [bold]{shown}[/]")
        if tokens is None:
            console.print("without --tokens anyone on this machine can use it, and nobody else")
        if nobody is not None:
            console.print(f"[yellow]warning:[/] {escape(nobody)}", soft_wrap=True)
        # What is loaded by now stays: the collector need not go through it again while somebody waits.
        gc.collect()
        gc.freeze()
        stopped.wait()
        console.print("stopping: jobs stop at their last completed unit of work…")


def _page_of(
    serving: ServiceHost, bind: str, login: bool, certificate: Path | None, key: Path | None
) -> WebServer:
    """The page of a service, which passes on each call with the token of whoever made it: what tokens may
    do is said in one place."""
    from nas.service.client.remote import RemoteService
    from nas.web.server import WebServer

    def connect(token: str | None) -> RemoteService:
        return RemoteService(serving.inside_address, token)

    return WebServer(connect, bind, login=login, certificate=certificate, key=key)


def _tls(certificate: Path | None, key: Path | None, client_authority: Path | None) -> ServerTls | None:
    from workers.tls import ServerTls

    if certificate is not None and key is not None:
        return ServerTls(certificate, key, client_authority)
    if certificate or key or client_authority:
        raise InvalidSpec([Problem("tls", "--certificate and --key are given together")])
    return None


def health(context: typer.Context, json: Json = False) -> None:
    """Check that a service and its store can answer; exits with 0 if so. Needs no token; with one it says too
    what one job may take, and lists devices and how they have done.

    [dim]nas --server 127.0.0.1:7070 health[/dim]
    """
    from nas.service.client.remote import RemoteService

    settings = settings_of(context)
    if settings.server is None:
        raise InvalidSpec(
            [Problem("--server", "which service? accepted: nas --server HOST:PORT health, or $NAS_SERVER")]
        )
    with RemoteService(settings.server, settings.token, settings.tls) as service:
        service.check_health()
        devices: list[dict[str, Any]] = []
        limits: Limits | None = None
        with suppress(Unauthenticated, Forbidden, Incompatible):  # of a service of before
            devices = service.devices()
            limits = service.limits()
    if json:
        known = None if limits is None else asdict(limits)
        print_json({"server": settings.server, "status": "serving", "limits": known, "devices": devices})
        return
    result_console().print(f"{settings.server} is serving", markup=False)
    if limits is not None:
        memory = "any" if limits.memory_bytes is None else f"at most {readable_bytes(limits.memory_bytes)} of"
        tokens = "any number of" if limits.tokens is None else f"at most {limits.tokens:.3g}"
        result_console().print(f"a job may take {memory} memory and read {tokens} tokens", highlight=False)
    if devices:
        from nas.cli.listings import devices_table

        result_console().print(devices_table(devices))


def submit(
    context: typer.Context,
    spec: Annotated[
        Path, typer.Argument(metavar="JOB.yaml", help="The job file; docs/job-file.md describes it.")
    ],
    key: Annotated[
        str | None,
        typer.Option(
            help="Idempotency key: repeating a submission with it makes no second job.", show_default=False
        ),
    ] = None,
    shared: Shared = False,
    json: Json = False,
) -> None:
    """Submit a job without waiting for it.

    [dim]nas --server nas.example.org:7070 submit job.yaml[/dim]
    """
    with open_client(context) as client:
        job = client.submit(spec, key=key, shared=shared)
    if json:
        print_json({"id": job.id, "status": str(job.status)})
        return
    then = "watch" if settings_of(context).server else "resume"
    result_console().print(f"job [bold]{job.id}[/] is {job.status}; go on with: nas {then} {job.id}")


def watch(context: typer.Context, job: Job, json: Json = False) -> None:
    """Show a job's progress until it stops. A broken connection is made again; no event is missed.

    Ctrl-C stops watching; the job goes on.

    [dim]nas watch latest[/dim]
    """
    from nas.cli.progress import open_view

    with open_client(context) as client:
        found = client.job(job)
        try:
            with open_view(error_console(), found) as view:
                for event in client.watch(found.id):
                    view.show(event)
        except KeyboardInterrupt:
            error_console().print(f"job {found.id} goes on; see it again with: nas watch {found.id}")
        ended = client.job(found.id)
    if json:
        print_json({"id": ended.id, "status": str(ended.status), "error": ended.error})
    else:
        result_console().print(
            f"job {ended.id} is {ended.status}" + (f": {ended.error}" if ended.error else "")
        )
