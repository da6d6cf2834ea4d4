"""Any `Service` over gRPC."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from nas.errors import NasError, ServiceUnavailable, as_nas_error
from nas.files import own_folder
from nas.rpc.v1 import service_pb2 as pb
from nas.rpc.v1 import service_pb2_grpc as rpc
from nas.service.api import Service
from nas.service.running.worker_endpoint import require_loopback
from nas.service.server.guard import Guard
from nas.service.server.metrics import Metrics
from nas.service.server.servicer import SearchServicer
from nas.service.server.tokens import Tokens
from workers.tls import ServerTls, TlsFileError

__all__ = ["GrpcServer"]

REQUEST_LIMIT = 1 << 20
"""Bytes of one request; the largest holds a job file."""

HEALTH_SECONDS = 5.0
MOST_CALLS = 2000
"""In flight at once; more are refused before anything is read of them."""

SERVER_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", REQUEST_LIMIT),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)


class GrpcServer:
    """A service's gRPC server, with health and reflection, in a thread of its own.

    Attributes:
        address: ``HOST:PORT`` to connect to, once started.

    Args:
        service: what answers; it is not closed.
        bind: ``HOST:PORT`` to listen on; port 0 for an unused one.
        scratch: folder in which extractions are prepared, each server's in a folder of its own.
        tokens: who may call; None for anyone, which only a loopback address allows.
        tls: None for plain text.
        data_root: the only folder that jobs may read data from; None for none.
    """

    def __init__(
        self,
        service: Service,
        bind: str,
        scratch: Path,
        *,
        tokens: Tokens | None = None,
        tls: ServerTls | None = None,
        data_root: Path | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        if tokens is None:
            require_loopback(bind=bind)
        self._service, self._bind, self._scratch = service, bind, scratch
        self._tokens, self._tls, self._data_root = tokens, tls, data_root
        self._metrics = metrics or Metrics()
        self._thread = threading.Thread(target=self._run, name="grpc", daemon=True)
        self._started: Future[str] = Future()
        self.address = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def start(self) -> str:
        """Listen.

        Returns:
            ``HOST:PORT`` to connect to.

        Raises:
            ServiceUnavailable: the address cannot be listened on.
        """
        self._thread.start()
        self.address = self._started.result()
        return self.address

    def stop(self) -> None:
        """Take no more calls, give those under way a moment, and end."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            with own_folder(self._scratch) as scratch:
                asyncio.run(self._serve(scratch))
        except Exception as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self, scratch: Path) -> None:
        server = grpc.aio.server(
            interceptors=(Guard(self._tokens, self._metrics),),
            options=SERVER_OPTIONS,
            maximum_concurrent_rpcs=MOST_CALLS,
        )
        servicer = SearchServicer(self._service, scratch, self._data_root)
        rpc.add_SearchServiceServicer_to_server(servicer, server)
        name = pb.DESCRIPTOR.services_by_name["SearchService"].full_name
        checks = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        reflection.enable_server_reflection((name, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        address = self._listen(server)
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        await server.start()
        watching = asyncio.create_task(self._watch_health(checks, servicer, name))
        self._started.set_result(address)
        await self._stopping.wait()
        watching.cancel()
        await checks.enter_graceful_shutdown()
        await server.stop(grace=2.0)
        servicer.close()

    def _listen(self, server: grpc.aio.Server) -> str:
        try:
            if self._tls is None:
                port = server.add_insecure_port(self._bind)
            else:
                port = server.add_secure_port(self._bind, self._tls.credentials())
        except TlsFileError as error:
            raise as_nas_error(error) from error
        except RuntimeError as error:
            raise ServiceUnavailable(f"cannot listen on {self._bind}: {error}") from error
        return f"{self._bind.rpartition(':')[0]}:{port}"

    async def _watch_health(self, checks: Any, servicer: SearchServicer, name: str) -> None:
        """Serving is to be able to ask the store."""
        while True:
            try:
                await servicer.quickly(self._service.jobs, 1)
                status = health_pb2.HealthCheckResponse.SERVING
            except NasError:
                status = health_pb2.HealthCheckResponse.NOT_SERVING
            await checks.set(name, status)
            await checks.set(health.OVERALL_HEALTH, status)
            await asyncio.sleep(HEALTH_SECONDS)
