"""Several bounds of a job file that cover one objective."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from nas.objectives import Objective
from nas.planning.objectives import compared_by, settle_bounds, with_target
from nas.spec import load_job_spec
from workers.target import Target

SPEC: dict[str, Any] = {
    "space": "mixed-lm-tiny",
    "task": "text",
    "targets": [{}, {"phase": "decode"}],
    "objectives": ["quality", "latency_ms"],
}
PREFILL, DECODE = (
    Target.parse(f"local-cpu/onnxruntime/fp32/1t/{phase}/b1/n1024") for phase in ("prefill", "decode")
)


def bounds_of(objectives: tuple[Objective, ...]) -> dict[Target, float | None]:
    return {o.target: o.bound for o in objectives if o.target is not None}


@pytest.mark.parametrize("order", list(permutations(["latency_ms", "latency_ms@prefill", "latency"])))
def test_the_tightest_counts_in_whatever_order_they_are_written(order: list[str]) -> None:
    numbers = {"latency_ms": 120.0, "latency_ms@prefill": 30.0, "latency": 100.0}
    spec = load_job_spec({**SPEC, "bounds": {name: numbers[name] for name in order}})
    assert bounds_of(compared_by(spec)) == {PREFILL: 30.0, DECODE: 100.0}
    another = Target("phone")
    assert bounds_of(compared_by(with_target(spec, another))) == {PREFILL: 30.0, DECODE: 100.0, another: None}


@pytest.mark.parametrize(("share", "settled"), [("70%", 30.0), ("20%", 20.0)])
def test_a_share_and_a_number_of_one_objective_are_compared_once_both_are_known(
    share: str, settled: float
) -> None:
    for names in (["latency_ms", "latency_ms@prefill"], ["latency_ms@prefill", "latency_ms"]):
        bounds = {name: share if name == "latency_ms" else 30.0 for name in names}
        spec = load_job_spec({**SPEC, "start": {"model": "m"}, "space": {}, "bounds": bounds})
        after = settle_bounds(spec, [PREFILL, DECODE], lambda objective: 100.0)
        assert bounds_of(compared_by(after))[PREFILL] == settled


def test_of_what_is_to_be_large_the_larger_bound_is_the_tighter() -> None:
    digits = {**SPEC, "space": "image-28", "task": "digits", "targets": [{"phase": "encode", "tokens": 49}]}
    spec = load_job_spec({**digits, "bounds": {"quality": 0.8, "accuracy": 0.9}})
    assert next(o.bound for o in compared_by(spec) if o.kind == "quality") == 0.9
