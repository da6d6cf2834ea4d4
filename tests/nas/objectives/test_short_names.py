"""The shortest name of a target says the same as all of it."""

from __future__ import annotations

import pytest

from nas.objectives import Direction, Objective
from nas.objectives.names import Names, matching, shortest_part
from workers.target import Target

QUALITY = Objective("quality", "bits_per_byte", Direction.MIN)
PREFILL, DECODE, LONGER, PHONE = (
    Target.parse(f"{device}/onnxruntime/fp32/1t/{workload}")
    for device, workload in [
        ("local-cpu", "prefill/b1/n2048"),
        ("local-cpu", "decode/b1/n4096"),
        ("local-cpu", "prefill/b1/n20481"),
        ("phone", "decode/b1/n4096"),
    ]
)


@pytest.mark.parametrize(
    ("targets", "part"),
    [
        ([PREFILL], "local-cpu"),
        ([PREFILL, DECODE], "prefill"),
        ([DECODE, PHONE], "local-cpu"),
        ([LONGER, PREFILL, DECODE], "n20481"),
    ],
)
def test_the_first_of_a_few_targets_is_found_by_its_shortest_part(targets: list[Target], part: str) -> None:
    assert shortest_part(targets[0], targets) == part
    assert matching(part, targets) == [targets[0]]
    found = Names(QUALITY, targets).find(f"latency_ms@{part}")
    assert [objective.target for objective in found] == [targets[0]]


def test_a_target_whose_every_part_is_shared_is_written_out() -> None:
    targets = [PREFILL, LONGER, DECODE]
    assert shortest_part(PREFILL, targets) == str(PREFILL)


def test_a_device_stands_for_all_its_targets_and_nothing_for_none() -> None:
    targets = [PREFILL, DECODE, PHONE]
    assert matching("local-cpu", targets) == [PREFILL, DECODE]
    assert matching("decode", targets) == [DECODE, PHONE]
    assert matching("", targets) == matching("tablet", targets) == []
