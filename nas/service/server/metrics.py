"""What a running service tells Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily

from nas.errors import NasError, ServiceUnavailable

__all__ = ["Metrics", "MetricsServer"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0)
"""Upper ends of the latency histogram's buckets."""


class Metrics:
    """Counts of one service, in a registry of its own.

    Attributes:
        requests: `nas_requests_total`, by method and gRPC status.
        seconds: `nas_request_seconds`, by method; of a stream, until it ends.
        streams: `nas_streams`, open now, by method.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "nas_requests", "Calls that ended.", ["method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "nas_request_seconds", "Time to answer.", ["method"], buckets=SECONDS, registry=self.registry
        )
        self.streams = Gauge("nas_streams", "Streams open now.", ["method"], registry=self.registry)

    def watch_jobs(self, count: Callable[[], Mapping[str, int]]) -> None:
        """Also tell `nas_jobs`, by status, counted when Prometheus asks."""
        self.registry.register(_Asked("nas_jobs", "Jobs in the store.", "status", count))

    def watch_devices(self, count: Callable[[], Mapping[str, int]]) -> None:
        """Also tell `nas_devices`, by device name, counted when Prometheus asks."""
        self.registry.register(_Asked("nas_devices", "Workers connected now.", "device", count))


class _Asked:
    """A gauge whose values are asked for at each scrape."""

    def __init__(self, name: str, help_text: str, label: str, ask: Callable[[], Mapping[str, int]]) -> None:
        self._name, self._help, self._label, self._ask = name, help_text, label, ask

    def describe(self) -> list[GaugeMetricFamily]:
        """The family without values: registering must not ask yet."""
        return [GaugeMetricFamily(self._name, self._help, labels=[self._label])]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The family with its values; without any where the store cannot be asked just now."""
        family = GaugeMetricFamily(self._name, self._help, labels=[self._label])
        try:
            values = self._ask()
        except NasError:
            values = {}
        for label, value in values.items():
            family.add_metric([str(label)], value)
        yield family


class MetricsServer:
    """`/metrics` over HTTP, until closed.

    Args:
        bind: ``HOST:PORT`` to listen on.

    Attributes:
        address: ``HOST:PORT`` that it listens on.
    """

    def __init__(self, metrics: Metrics, bind: str) -> None:
        host, _, port = bind.rpartition(":")
        try:
            self._server, self._thread = start_http_server(int(port), host, metrics.registry)
        except (OSError, ValueError) as error:
            raise ServiceUnavailable(f"cannot listen on {bind}: {error}") from error
        self.address = f"{host}:{self._server.server_port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
