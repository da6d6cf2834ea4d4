"""What a result must be to be believed: of what was leased, and not in contradiction to itself."""

from __future__ import annotations

from workers.capabilities import Capabilities
from workers.errors import ProtocolViolation
from workers.measurement import Measurement
from workers.messages import Lease, Result

__all__ = ["check_lease", "check_memory", "check_times"]

RESOLUTION_MS = 1e-4
"""No sample of any device is shorter than what its clock tells apart: 100 ns."""

MEDIANS_APART = 2.0
"""Of n samples half are at least as long as their median, so all together take at least n/2 of it; and a
ratio of medians differs from a median of ratios, but not by so much."""

SPREAD = 4.0
"""Medians that samples may spread, for each of them."""

ALLOWANCE_SECONDS = 1.0
"""For what clocks of two machines tell differently."""

REFERENCE_TOLERANCE = 1e-6
"""Relative difference allowed between the reference time that was asked for and the one reported."""

MOST_BYTES = 2**63 - 1
"""What databases hold of a number: the bound where a machine does not say how much memory it has."""


def check_lease(result: Result, lease: Lease) -> None:
    """A result must be of what was leased.

    Raises:
        ProtocolViolation: it is of something else.
    """
    measurement = result.measurement
    if (measurement.digest, measurement.target) != (lease.digest, lease.target):
        raise ProtocolViolation(
            f"a measurement of {measurement.digest[:40]!r} on {measurement.target} answers the lease of "
            f"{lease.digest} on {lease.target}"
        )
    asked = lease.reference_ms
    if asked is not None and abs(measurement.reference_ms - asked) > REFERENCE_TOLERANCE * asked:
        raise ProtocolViolation(
            f"the measurement is against a reference of {measurement.reference_ms} ms, not {asked} ms"
        )


def check_memory(measurement: Measurement, here: Capabilities) -> None:
    """A model takes at most the memory that there is: the machine's, or an accelerator's where that is more.

    Args:
        here: what the worker said of its device.

    Raises:
        ProtocolViolation: it took more.
    """
    sizes = here.memory_bytes, *(accelerator.memory_bytes for accelerator in here.accelerators)
    # One of unknown size, told as 0, may be the largest.
    most, whose = (max(sizes), f", what {here.device} says that it has") if all(sizes) else (MOST_BYTES, "")
    most = min(most, MOST_BYTES)
    if measurement.peak_memory_bytes > most:
        raise ProtocolViolation(
            f"peak_memory_bytes is {measurement.peak_memory_bytes}; accepted: at most {most}{whose}"
        )


def check_times(measurement: Measurement, out_seconds: float) -> None:
    """What a measurement says of its times must not contradict itself, nor the time that its lease was out. A
    device's processors work at most as long as time passes, each: that bounds processor time by wall time.

    Args:
        out_seconds: since the lease was given.

    Raises:
        ProtocolViolation: it does; which numbers contradict each other is named.
    """
    samples_ms = measurement.wall_ms * measurement.calls
    worked_ms = measurement.latency_ms * measurement.drift
    shortest_ms = min(samples_ms, worked_ms * measurement.calls)
    if shortest_ms < RESOLUTION_MS:
        raise ProtocolViolation(
            f"a sample took {shortest_ms:.3g} ms; no clock tells less than {RESOLUTION_MS:g} ms"
        )
    if samples_ms * measurement.repeats > 1e3 * MEDIANS_APART * (out_seconds + ALLOWANCE_SECONDS):
        raise ProtocolViolation(
            f"{measurement.repeats} samples of {samples_ms:.3g} ms do not fit in the "
            f"{out_seconds:.3g} s that the lease was out"
        )
    if worked_ms > MEDIANS_APART * measurement.target.threads * measurement.wall_ms:
        raise ProtocolViolation(
            f"a call that the device worked on for {worked_ms:.3g} ms took {measurement.wall_ms:.3g} ms"
        )
    spread = max(measurement.spread_ms, measurement.error_ms)
    if spread > SPREAD * measurement.latency_ms * measurement.repeats:
        raise ProtocolViolation(
            f"a spread or error of {spread:.3g} ms about {measurement.latency_ms:.3g} ms cannot be"
        )
