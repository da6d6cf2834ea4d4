"""What of a measurement can be, and what cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.capabilities import Accelerator, Capabilities
from workers.errors import ProtocolViolation
from workers.measurement import Measurement
from workers.plausible import MOST_BYTES, check_memory, check_times
from workers.target import Target

GOOD = Measurement("a", Target("bench"), 5.0, 0.1, 0.01, 5.1, 0.5, 1.0, 0, 10, 0, False)
HERE = Capabilities("bench", (), 2, "cpu", "x86_64", "linux")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"latency_ms": 1e300}, "worked on for 1e\\+300 ms took 5.1 ms"),
        ({"latency_ms": 1e-300}, "no clock tells less"),
        ({"wall_ms": 1e-300}, "no clock tells less"),
        ({"latency_ms": 1e300, "wall_ms": 1e300}, "do not fit in the"),
        ({"calls": 1_000_000}, "do not fit in the"),
        ({"drift": 1e9}, "worked on for"),
        ({"spread_ms": 1e9}, "spread or error of 1e\\+09 ms"),
        ({"error_ms": 1e9}, "spread or error of 1e\\+09 ms"),
    ],
)
def test_times_that_contradict_each_other_or_their_lease_are_refused(
    fields: dict[str, float], complaint: str
) -> None:
    check_times(GOOD, 0.5)
    with pytest.raises(ProtocolViolation, match=complaint):
        check_times(replace(GOOD, **fields), 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("memory", "of_accelerators", "most"),
    [
        (1 << 34, (), 1 << 34),
        (1 << 34, (1 << 37,), 1 << 37),
        (1 << 34, (1 << 30,), 1 << 34),
        (0, (), MOST_BYTES),
        (0, (1 << 30,), MOST_BYTES),
        (1 << 34, (0,), MOST_BYTES),
        (2**64 - 1, (), MOST_BYTES),
    ],
)
def test_a_model_takes_no_more_memory_than_there_is(
    memory: int, of_accelerators: tuple[int, ...], most: int
) -> None:
    accelerators = tuple(Accelerator("gpu", size) for size in of_accelerators)
    here = replace(HERE, memory_bytes=memory, accelerators=accelerators)
    check_memory(replace(GOOD, peak_memory_bytes=most), here)
    with pytest.raises(
        ProtocolViolation, match=rf"peak_memory_bytes is {most + 1}; accepted: at most {most}"
    ):
        check_memory(replace(GOOD, peak_memory_bytes=most + 1), here)
