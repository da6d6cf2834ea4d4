"""This machine as a benchmark measures models on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.export import TimedModels
from searchspaces.architecture import Architecture
from workers.capabilities import Capabilities
from workers.isolated import IsolatedMeasuring
from workers.measurement import Measurement
from workers.request import MeasurementRequest
from workers.runtimes import parse_runtime
from workers.target import Target, Workload
from workers.timing import TimingProtocol

if TYPE_CHECKING:
    from nas.client import Client

__all__ = ["BenchDevice", "unit_of"]


def unit_of(client: Client, target: Target) -> float | None:
    """Milliseconds of the reference in which a target's latencies are told, as a job that goes on would;
    None where nothing was measured on it."""
    known = client.measurements(target)
    return known[-1][1].reference_ms if known else None


class BenchDevice:
    """Measures models with random weights, in a process of its own.

    Args:
        name: of the device in targets.
        protocol: of every measurement.

    Attributes:
        here: what this machine can run.
    """

    def __init__(self, name: str, protocol: TimingProtocol) -> None:
        self._protocol, self._measuring, self._models = protocol, IsolatedMeasuring(), TimedModels()
        self.here: Capabilities = self._measuring.describe(name)
        self._units: dict[tuple[str, Workload], float] = {}

    def close(self) -> None:
        """End the process that measures."""
        self._measuring.close()

    def measure(
        self, architecture: Architecture, target: Target, reference_ms: float | None = None
    ) -> Measurement:
        """See `workers.measuring.measure`; where no unit is given, in that of the first with the same
        reference."""
        runtime = parse_runtime(target.runtime)
        unit = target.runtime, runtime.reference_workload(target.workload)
        files = self._models.model(architecture, target), self._models.reference(target)
        request = MeasurementRequest(
            architecture.digest,
            target,
            *files,
            architecture.vocabulary,
            reference_ms or self._units.get(unit),
            self._protocol,
        )
        measurement = self._measuring.measure(request, self.here)
        self._units.setdefault(unit, measurement.reference_ms)
        return measurement
