"""Everything that `nas serve` runs, started and stopped in order."""

from __future__ import annotations

import os
import secrets
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from nas.errors import Busy
from nas.files import only_one
from nas.planning.limits import Limits
from nas.service.running.shared import SharedService
from nas.service.running.worker_endpoint import WorkerEndpoint, check_binds, require_loopback
from nas.service.server.grpc_server import GrpcServer
from nas.service.server.metrics import Metrics, MetricsServer
from nas.service.server.tokens import Tokens
from workers.tls import ServerTls

__all__ = ["ServiceHost"]


class ServiceHost:
    """A shared service, its port for users, its port for workers, and its metrics.

    Workers have a port of their own, so that it can be exposed, limited and encrypted apart.

    Args:
        home: folder of the supernets and exported blocks, and of the database where `store` is None.
        bind, workers, metrics: ``HOST:PORT`` each; no metrics where None.
        store: URL of a database that several services share.
        tokens: token file; None: users and workers are let in unasked, from this machine only.
        tls: for users and workers; None for plain text.
        data_root: the only folder that jobs may read data from; None for none.
        parallel: jobs that run here at once.
        ray_address: of a Ray cluster that trains and evaluates; None for a local Ray.
        limits: of one job; this machine's memory where None.
        inside: listen once more, on loopback without TLS, for what passes on calls on this machine.

    Attributes:
        service: what answers.
        address, workers_address, metrics_address, inside_address: ``HOST:PORT`` each, once started.
    """

    def __init__(
        self,
        home: Path,
        *,
        bind: str = "127.0.0.1:0",
        workers: str = "127.0.0.1:0",
        metrics: str | None = None,
        store: str | None = None,
        tokens: Path | None = None,
        tls: ServerTls | None = None,
        data_root: Path | None = None,
        parallel: int = 1,
        ray_address: str | None = None,
        limits: Limits | None = None,
        inside: bool = False,
    ) -> None:
        check_binds(bind=bind, workers=workers, metrics=metrics)
        known = Tokens(tokens) if tokens is not None else None
        if known is not None:
            known.check()
        if known is None:
            require_loopback(bind=bind, workers=workers)
        # A file's database is one service's: what several share is a server's.
        self._alone_at = home if store is None else None
        self._metrics, self._metrics_bind = Metrics(), metrics
        self._opened = ExitStack()
        # This machine's own worker shows a secret made afresh: tokens are known by their hashes only.
        secret = None if known is None else secrets.token_urlsafe(32)
        endpoint = WorkerEndpoint(workers, secret, known.admits_worker if known else None, tls)
        self.service = SharedService(home, endpoint, store, parallel, ray_address, limits)

        def server(bind: str, tls: ServerTls | None) -> GrpcServer:
            scratch, metrics = home / "outgoing", self._metrics
            return GrpcServer(
                self.service, bind, scratch, tokens=known, tls=tls, data_root=data_root, metrics=metrics
            )

        self._server = server(bind, tls)
        self._inside = server("127.0.0.1:0", None) if inside else None
        self.address = self.workers_address = self.metrics_address = self.inside_address = ""

    def start(self) -> None:
        """Listen for workers and users, then begin to run jobs.

        Raises:
            ServiceUnavailable: an address cannot be listened on.
            Busy: another service runs on the same folder.
        """
        with ExitStack() as opened:
            opened.callback(self.service.close)
            if self._alone_at is not None:
                opened.enter_context(_alone(self._alone_at))
            self.workers_address = self.service.start()
            self._metrics.watch_jobs(lambda: {str(s): n for s, n in self.service.count_jobs().items()})
            self._metrics.watch_devices(lambda: Counter(d["name"] for d in self.service.devices()))
            if self._metrics_bind is not None:
                self.metrics_address = opened.enter_context(
                    MetricsServer(self._metrics, self._metrics_bind)
                ).address
            if self._inside is not None:
                self.inside_address = opened.enter_context(self._inside).address
            self.address = opened.enter_context(self._server).address
            self._opened = opened.pop_all()

    def stop(self) -> None:
        """Answer nobody any more, stop jobs where they can go on, end every process."""
        self._opened.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    try:
        with only_one(home / "service.lock", f"process {os.getpid()} on {socket.gethostname()}"):
            yield
    except Busy as error:
        raise Busy(
            f"another service runs on {home} ({error}); accepted: another --home, or a database that "
            "services share: --store postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        ) from error
