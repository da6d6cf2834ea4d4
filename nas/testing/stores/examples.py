"""Nouns to keep: plain ones to read, and arbitrary ones from Hypothesis."""

from __future__ import annotations

import math
import uuid

from hypothesis import strategies as st

from nas.evaluation import Evaluation, Split
from nas.job import Event, EventKind
from nas.objectives.value import Value
from nas.point import FineTuned, Point
from nas.spec import JobSpec, StageName, load_job_spec
from nas.store.store import SupernetRecord
from searchspaces.architecture import Architecture, Layer
from workers.measurement import Measurement
from workers.target import Phase, Target, Workload

TARGET = Target("laptop")
OTHER_TARGET = Target("phone", threads=4)
LATENCY = Value(2.0, 0.1, 2.1, 0.02)


def spec(name: str = "demo", seed: int = 0) -> JobSpec:
    """Of a small job."""
    return load_job_spec(
        {"name": name, "space": "hybrid-lm", "task": "text", "targets": [{"device": "laptop"}], "seed": seed}
    )


def architecture(number: int = 0) -> Architecture:
    """A different one for every number."""
    return Architecture(256, 64 + number, (Layer("window:64", 4, ratio=2.0), Layer("none", 0)))


def measurement(digest: str = "a", target: Target = TARGET, latency_ms: float = 2.0) -> Measurement:
    """Without a correction."""
    return Measurement(digest, target, latency_ms, 0.1, 0.01, 2.1, 1.5, 1.02, 4096, 30, 2, False)


def evaluation(digest: str = "a", supernet: str = "net", value: float = 2.5) -> Evaluation:
    """On the validation split."""
    return Evaluation(supernet, digest, Split.VALIDATION, value, 0.25)


def point(number: int = 0, *, on_front: bool = False, measured: float | None = None) -> Point:
    """A different one for every number: the higher, the better and the slower."""
    kept = architecture(number)
    return Point(
        digest=kept.digest,
        architecture=kept,
        validation=2.5 - number / 10,
        test=None,
        values={
            ("parameters", None): Value(100.0 + number),
            ("macs", None): Value(1000.0),
            ("state_bytes", None): Value(10.0),
            ("latency_ms", str(TARGET)): Value(
                2.0 + number, 0.1, measured, None if measured is None else 0.01
            ),
        },
        preset=None,
        on_front=on_front,
    )


def unique() -> str:
    """A key that no earlier example of the test has used."""
    return uuid.uuid4().hex[:16]


FINITE = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = st.floats(1e-6, 1e9)
COUNTS = st.integers(0, 2**62)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
JSON = st.dictionaries(
    st.text(),
    st.recursive(
        st.none() | st.booleans() | st.integers() | FINITE | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
TARGETS = st.builds(
    Target,
    NAMES,
    NAMES,
    NAMES,
    st.integers(1, 128),
    st.builds(Workload, st.sampled_from(Phase), st.integers(1, 64), st.integers(1, 10**6)),
)
LAYERS = st.builds(Layer, NAMES, st.integers(1, 16), NAMES, st.floats(0.25, 8))
ARCHITECTURES = st.builds(
    Architecture, st.integers(2, 10**6), st.integers(8, 4096), st.lists(LAYERS, max_size=4).map(tuple)
)
TASKS = st.dictionaries(
    st.text().filter(lambda name: name not in ("name", "model_config")), JSON, max_size=2
).map(lambda options: {**options, "name": "text"})
SPECS = st.builds(
    lambda **parts: load_job_spec({**parts, "targets": [{"device": d} for d in parts["targets"]]}),
    name=NAMES,
    space=st.just("hybrid-lm") | JSON,
    task=TASKS,
    targets=st.lists(NAMES, min_size=1, max_size=3),
    bounds=st.dictionaries(st.text(), POSITIVE, max_size=2),
    seed=COUNTS,
)
EVENTS = st.builds(
    Event,
    st.sampled_from(EventKind),
    st.none() | st.sampled_from(StageName),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    FINITE,
    FINITE,
    JSON,
)
MEASUREMENTS = st.builds(
    Measurement,
    digest=st.builds(unique),
    target=TARGETS,
    latency_ms=POSITIVE,
    spread_ms=POSITIVE,
    error_ms=POSITIVE,
    wall_ms=POSITIVE,
    reference_ms=POSITIVE,
    drift=POSITIVE,
    peak_memory_bytes=COUNTS,
    repeats=st.integers(1, 10**9),
    rejected=COUNTS,
    noisy=st.booleans(),
)
EVALUATIONS = st.builds(
    Evaluation,
    supernet=st.builds(unique),
    digest=NAMES,
    split=st.sampled_from(Split),
    value=st.floats(allow_nan=False) | st.just(math.nan),
    seconds=POSITIVE,
    sequences=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4).map(tuple),
)
SUPERNETS = st.builds(
    SupernetRecord,
    digest=st.builds(unique),
    space=NAMES,
    task=NAMES,
    seed=COUNTS,
    steps=COUNTS,
    tokens_per_second=POSITIVE,
    path=NAMES,
)
VALUES = st.builds(
    Value, POSITIVE, st.none() | POSITIVE, st.none() | POSITIVE, st.none() | POSITIVE, st.floats(0.1, 10.0)
)
POINTS = ARCHITECTURES.flatmap(
    lambda kept: st.builds(
        Point,
        digest=st.just(kept.digest),
        architecture=st.just(kept),
        validation=st.none() | FINITE,
        test=st.none() | FINITE,
        values=st.dictionaries(st.tuples(NAMES, st.none() | TARGETS.map(str)), VALUES, max_size=3),
        preset=st.none() | NAMES,
        on_front=st.booleans(),
        tuned=st.none() | st.builds(FineTuned, NAMES, COUNTS, FINITE, st.none() | FINITE),
    )
)
