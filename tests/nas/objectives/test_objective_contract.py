"""What every kind of objective promises; registering one enrols it here."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from nas.objectives import Direction, Source
from nas.objectives.kind import (
    Combined,
    Counted,
    Measured,
    Observation,
    combined_kinds,
    counted_kinds,
    measured_kinds,
    objective_kinds,
)
from nas.objectives.names import Names
from nas.objectives.quality import QUALITY, quality_objective
from predictors.predictor import get_predictor
from searchspaces.costs import CostModel
from searchspaces.counted import Deployment
from searchspaces.space import load_space
from workers.measurement import Measurement
from workers.target import Phase, Target, Workload

PHONE, LAPTOP = Target("phone", dtype="int8"), Target("laptop")
MEASUREMENT = Measurement("a", PHONE, 2.0, 0.1, 0.01, 2.1, 1.5, 1.02, 4096, 30, 2, False)
KINDS = objective_kinds()


def decoding(target: Target, **changes: int) -> Target:
    return replace(target, workload=replace(target.workload, phase=Phase.DECODE, **changes))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest):
    return KINDS[request.param]


def test_it_says_what_it_is(kind) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", kind.name), "names end where @ begins, and are keys of documents"
    assert kind.label
    assert kind.unit or kind.name == QUALITY
    assert kind.direction in Direction
    sources = {Counted: Source.COUNTED, Measured: Source.PREDICTED, Combined: Source.PREDICTED}
    base = next((base for base in sources if issubclass(kind, base)), None)
    assert kind.source is sources.get(base, Source.EVALUATED)


def test_no_name_stands_for_two_kinds() -> None:
    names = Counter(name for kind in KINDS.values() for name in (kind.name, *kind.aliases))
    assert [name for name, times in names.items() if times > 1] == []


def test_each_of_its_axes_has_a_name_of_its_own_and_is_found_by_it(kind) -> None:
    targets = [PHONE, LAPTOP, replace(LAPTOP, workload=Workload(tokens=64))]
    alone = [PHONE]
    if issubclass(kind, Combined):  # of a target that decodes, after a prompt
        targets += [decoding(target) for target in targets]
        alone.append(decoding(PHONE))
    names = Names(quality_objective("nats", Direction.MIN), targets)
    axes = kind.axes(targets)
    assert len({axis.key for axis in axes}) == len(axes) == (3 if kind.per_target else 1)
    for axis in axes:
        assert axis.kind == kind.name
        (found,) = names.find(axis.name)
        assert found.key == axis.key
    for name in (kind.name, *kind.aliases):
        assert [axis.key for axis in names.find(name)] == [axis.key for axis in axes]
    assert [axis.name for axis in kind.axes(alone)] == [kind.name]


@pytest.mark.parametrize("kind", combined_kinds(), ids=lambda kind: kind.name)
def test_what_is_combined_is_a_sum_of_what_is_measured(kind: type[Combined]) -> None:
    targets = [PHONE, LAPTOP, decoding(LAPTOP)]
    (axis,) = kind.axes(targets)
    terms = kind.terms(axis.target, targets, 16)
    measured = {axis.key for known in measured_kinds() for axis in known.axes(targets)}
    assert len(terms) > 1
    assert {key for _, key in terms} <= measured
    assert all(factor > 0 for factor, _ in terms)
    assert kind.axes([PHONE, LAPTOP, decoding(PHONE, tokens=9)]) == [], "a prompt longer than its context"


@pytest.mark.parametrize("kind", counted_kinds(), ids=lambda kind: kind.name)
def test_what_is_counted_is_exact_and_positive(kind: type[Counted]) -> None:
    space = load_space("hybrid-lm")
    rows = space.sample(50, np.random.default_rng(0))
    for dtype in ("fp32", "fp16", "bf16", "int8", "a-format-of-tomorrow"):
        values = kind.count(CostModel(space), rows, Deployment(1024, dtype))
        assert values.shape == (50,)
        assert values.dtype == np.int64
        assert (values >= 0).all()
        alone = np.concatenate(
            [kind.count(CostModel(space), row[None], Deployment(1024, dtype)) for row in rows]
        )
        assert alone.tolist() == values.tolist()


def test_weights_are_as_large_as_their_number_format() -> None:
    space = load_space("hybrid-lm")
    rows = space.sample(20, np.random.default_rng(0))
    kind, costs = next(kind for kind in counted_kinds() if kind.name == "weight_bytes"), CostModel(space)
    for dtype, size in {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}.items():
        assert (kind.count(costs, rows, Deployment(1024, dtype)) == size * costs.parameters(rows)).all()
    assert [axis.name for axis in kind.axes([PHONE, LAPTOP])] == ["weight_bytes@phone", "weight_bytes@laptop"]


@pytest.mark.parametrize("kind", measured_kinds(), ids=lambda kind: kind.name)
def test_what_is_measured_is_read_off_a_measurement(kind: type[Measured]) -> None:
    assert kind.per_target
    observed = kind.observed(MEASUREMENT)
    assert isinstance(observed, Observation)
    assert observed.value > 0
    assert observed.std is None or observed.std >= 0
    assert kind.predictor is None or get_predictor(kind.predictor)


def test_names_that_people_write() -> None:
    names = Names(quality_objective("nats", Direction.MIN), [PHONE, LAPTOP])
    assert [axis.name for axis in names.find("params")] == ["parameters"]
    assert [axis.name for axis in names.find("latency")] == ["latency_ms@phone", "latency_ms@laptop"]
    assert [axis.name for axis in names.find("latency_ms@int8")] == ["latency_ms@phone"]
    assert [axis.unit for axis in names.find("quality")] == ["nats"]
    with pytest.raises(ValueError, match=r"part of several targets: phone.*laptop"):
        names.find("latency_ms@prefill")
    for unknown in ("speed", "latency_ms@board", "parameters@phone", "latency_ms@"):
        with pytest.raises(ValueError, match=r"not known; accepted: .*latency_ms@phone"):
            names.find(unknown)
