"""The service's half: a door for workers, and measurements from whoever came through it."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc

from workers.capabilities import Device
from workers.errors import ListenFailed, NoWorkerServes
from workers.leases import Board
from workers.request import MeasurementRequest, Outcome
from workers.rpc.v1 import worker_pb2_grpc
from workers.servicer import Admits, WorkerServicer
from workers.target import Target
from workers.tls import ServerTls

__all__ = ["WorkerServer"]

MAX_RECEIVE_BYTES = 1 << 16
"""Nothing that a worker says is larger: 64 KiB."""

POLL_SECONDS = 0.2
"""How soon a wait notices that it was cancelled."""

STOP_SECONDS = 2.0


class WorkerServer:
    """Listens for workers and has them measure.

    Attributes:
        local_address: where workers of this same machine connect, once started.

    Args:
        bind: ``HOST:PORT``; port 0 picks a free one.
        token: secret that workers must show; None lets any in, which is for the caller to judge.
        admits: judges what a worker shows (``Bearer TOKEN``) in place of one `token`.
        tls: of `bind`; None for plain text. With it, workers of this same machine may connect to
            `local_address`, which is not encrypted.
        lease_seconds: a worker that is silent for longer loses its lease.
        measurement_seconds: a measurement that takes longer is taken from its worker, which is dropped.
        no_worker_seconds: `measure` gives up after this long without a worker for a target.
        max_sessions: workers connected at once.
    """

    def __init__(
        self,
        bind: str = "127.0.0.1:0",
        token: str | None = None,
        admits: Admits | None = None,
        tls: ServerTls | None = None,
        lease_seconds: float = 60.0,
        measurement_seconds: float = 300.0,
        no_worker_seconds: float = 60.0,
        max_sessions: int = 64,
    ) -> None:
        self._bind = bind
        self._admits = admits if token is None else partial(_shows, token)
        self._tls = tls
        self._lease_seconds = lease_seconds
        self._no_worker_seconds = no_worker_seconds
        self._max_sessions = max_sessions
        self._board = Board(lease_seconds, measurement_seconds)
        self._server: grpc.Server | None = None
        self.local_address = bind
        self._address = bind

    def start(self) -> str:
        """Begin to listen; returns the address for workers, ``HOST:PORT``.

        Raises:
            ListenFailed: the address is not one of this machine, or taken.
        """
        host, _, _ = self._bind.rpartition(":")
        # A worker holds one thread for its stream and may need another to fetch.
        calls = 2 * self._max_sessions
        server = grpc.server(
            ThreadPoolExecutor(calls, thread_name_prefix="workers-rpc"),
            maximum_concurrent_rpcs=calls,
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
                ("grpc.keepalive_time_ms", 20_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            ],
        )
        servicer = WorkerServicer(self._board, self._admits, self._lease_seconds, self._max_sessions)
        worker_pb2_grpc.add_WorkerServiceServicer_to_server(servicer, server)
        try:
            if self._tls is None:
                port = local_port = server.add_insecure_port(self._bind)
            else:
                port = server.add_secure_port(self._bind, self._tls.credentials())
                local_port = server.add_insecure_port("127.0.0.1:0")
        except RuntimeError as error:
            raise ListenFailed(
                f"cannot listen on {self._bind}: the port is taken, or the address is not this machine's"
            ) from error
        server.start()
        self._server = server
        self._address = f"{host}:{port}"
        self.local_address = self._address if self._tls is None else f"127.0.0.1:{local_port}"
        return self._address

    @property
    def address(self) -> str:
        """Where workers connect, ``HOST:PORT``; what was asked for, before `start`."""
        return self._address

    def stop(self) -> None:
        """Say goodbye to every worker and close; a `measure` in progress raises WorkerError."""
        self._board.close("the service stops")
        if self._server is not None:
            self._server.stop(STOP_SECONDS).wait()
            self._server = None

    def devices(self) -> list[Device]:
        """Who is connected now."""
        found = []
        for session in self._board.sessions():
            standing, seconds = self._board.standing(session)
            found.append(
                Device(
                    name=session.capabilities.device,
                    capabilities=session.capabilities,
                    connected_since=session.connected_since,
                    busy=session.grant is not None,
                    measured=standing.measured,
                    failed=standing.failed,
                    quarantined_seconds=seconds,
                    last_failure=standing.reason,
                )
            )
        return found

    def serves(self, target: Target) -> bool:
        """Whether a connected worker can measure the target."""
        return self._board.wait_for(target, 0)

    def wait_for(self, target: Target, timeout: float) -> None:
        """Return once a connected worker can measure the target.

        Raises:
            NoWorkerServes: none could within `timeout` seconds.
        """
        if not self._board.wait_for(target, timeout):
            raise self._nobody(target, timeout)

    def measure(
        self, requests: Iterable[MeasurementRequest], cancelled: Callable[[], bool] | None = None
    ) -> Iterator[Outcome]:
        """Have requests measured; outcomes come as they complete, in any order, one for each request.

        Requests are drawn in the caller's thread, only as many as workers can soon take, so that they may
        be made just in time. A model that fails is an outcome like any other. The work of a worker that
        vanishes goes to the next. Closing the iterator, or `cancelled` turning true, withdraws the rest.

        Raises:
            NoWorkerServes: a target went without any worker for `no_worker_seconds`.
            WorkerError: the server was stopped.
        """
        source = iter(requests)
        drawn_all = False
        with self._board.batch() as batch:
            while not (cancelled is not None and cancelled()):
                while not drawn_all and self._board.hungry(batch):
                    request = next(source, None)
                    if request is None:
                        drawn_all = True
                    else:
                        self._board.submit(batch, request)
                if drawn_all and not batch.open and not batch.outcomes:
                    return
                outcome = self._board.take(batch, POLL_SECONDS)
                if outcome is not None:
                    yield outcome
                    continue
                unserved = self._board.unserved(batch, self._no_worker_seconds)
                if unserved is not None:
                    raise self._nobody(unserved, self._no_worker_seconds)

    def _nobody(self, target: Target, seconds: float) -> NoWorkerServes:
        devices = self.devices()
        reasons = "; ".join(f"{d.name} {d.obstacle(target)}" for d in devices)
        return NoWorkerServes(
            f"no worker served {target} within {seconds:.0f} s; connected: {reasons or 'none'}; start one "
            f"on the device with: nas worker --connect {self._address} --device {target.device}"
        )


def _shows(token: str, shown: str) -> bool:
    return hmac.compare_digest(shown.encode(), f"Bearer {token}".encode())
