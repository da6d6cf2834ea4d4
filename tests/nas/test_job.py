"""A job file is read whole: every problem at once, each with its path."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import InvalidSpec
from nas.planning.plan import resolve
from nas.spec import JobSpec, TargetSpec, load_job_spec
from searchspaces.errors import Problem
from workers.target import Phase, Target, Workload

SMALLEST = {"space": "hybrid-lm", "task": "text", "targets": [{}]}


def problems(source: object) -> dict[str, str]:
    with pytest.raises(InvalidSpec) as raised:
        load_job_spec(source)
    return {problem.path: problem.message for problem in raised.value.problems}


def test_the_smallest_spec_has_defaults() -> None:
    spec = load_job_spec(SMALLEST)
    assert spec.name == "search"
    assert spec.task.name == "text"
    assert spec.objectives == ("quality", "latency_ms")
    assert spec.targets[0].target() == Target("local-cpu")
    assert spec.seed == 0


def test_a_target_is_what_was_written() -> None:
    written = {"device": "phone", "threads": 2, "phase": "decode", "batch": 4, "tokens": 64}
    spec = load_job_spec({**SMALLEST, "targets": [written]})
    assert spec.targets[0].target() == Target("phone", threads=2, workload=Workload(Phase.DECODE, 4, 64))


@pytest.mark.parametrize(
    ("until", "searches"),
    [("profile", False), ("train", False), ("search", True), ("verify", True), ("finalists", True)],
)
def test_a_job_searches_unless_it_ends_before(until: str, searches: bool) -> None:
    assert load_job_spec({**SMALLEST, "until": until}).searches is searches
    if until == "profile":
        without_task = {name: told for name, told in SMALLEST.items() if name != "task"}
        assert not load_job_spec({**without_task, "until": until}).searches


def test_yaml_json_and_python_are_one_spec(tmp_path: Path) -> None:
    data = {
        **SMALLEST,
        "name": "d",
        "bounds": {"latency_ms": 8.0},
        "task": {"name": "text", "path": ["a", "é"]},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    (tmp_path / "job.json").write_text(json.dumps(data))
    spec = load_job_spec(data)
    assert load_job_spec(tmp_path / "job.yaml") == spec
    assert load_job_spec(str(tmp_path / "job.json")) == spec
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec
    assert load_job_spec(spec.model_dump(mode="json")) == spec


def test_every_mistake_is_told_at_once_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("""
name: "no spaces"
task: {nme: text}
targets:
  - {device: "a/b", threads: 0, phase: sideways}
  - {tokens: many, speed: 3}
bounds: {latency_ms: -1}
budget: {train: {steps: 0, learning_rate: .5}, search: {evaluations: 1.5}}
seed: -1
colour: red
""")
    before = sorted(tmp_path.iterdir())
    told = problems(tmp_path / "job.yaml")
    assert set(told) == {
        "name",
        "space",
        "task.name",
        "targets.0.device",
        "targets.0.threads",
        "targets.0.phase",
        "targets.1.tokens",
        "targets.1.speed",
        "bounds.latency_ms",
        "budget.train.steps",
        "budget.search.evaluations",
        "seed",
        "colour",
    }
    assert "'prefill', 'decode' or 'encode'" in told["targets.0.phase"]
    assert "sideways" in told["targets.0.phase"]
    assert "greater than 0" in told["budget.train.steps"]
    assert sorted(tmp_path.iterdir()) == before


def names_of(left: JobSpec) -> Sequence[Problem]:
    """As the service is asked what else is wrong."""
    try:
        resolve(left)
    except InvalidSpec as error:
        return error.problems
    return ()


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        (
            {"targets": [{"runtime": "tensorrt", "phase": "prefil"}, {"dtype": "fp99", "threads": 0}]},
            {"targets.0.phase", "targets.0.runtime", "targets.1.threads", "targets.1.dtype"},
        ),
        (
            {"space": "nowhere", "targets": [{"phase": "decod"}, {}], "objectives": ["quality", "speed"]},
            {"space", "targets.0.phase", "objectives.1"},
        ),
        (
            {"objectives": ["quality", 5], "bounds": {"params": 3}, "space": "nowhere"},
            {"objectives.1", "space"},
        ),
        ({"targets": [{"phase": "decod"}, {"phase": "prefill"}]}, {"targets.0.phase"}),
    ],
    ids=["one target", "names", "an item of a list", "targets alike without it"],
)
def test_what_is_wrong_in_one_place_hides_no_mistake_in_another(changes: dict, paths: set[str]) -> None:
    with pytest.raises(InvalidSpec) as raised:
        load_job_spec({**SMALLEST, **changes}, names_of)
    assert {problem.path for problem in raised.value.problems} == paths


@pytest.mark.parametrize(
    "changes",
    [
        {"bounds": {"latency_ms@decode": 3}},
        {"objectives": ["quality", "generation_ms"]},
        {"objectives": ["quality", "latency_ms@phone"]},
    ],
    ids=str,
)
def test_what_may_follow_from_a_mistake_is_not_told_with_it(changes: dict) -> None:
    """What targets make of names is not known as long as one of them is wrong."""
    targets = [{"device": "pho ne", "phase": "decod"}, {"runtime": "open vino", "dtype": "bf16"}]
    with pytest.raises(InvalidSpec) as raised:
        load_job_spec({**SMALLEST, "targets": targets, **changes}, names_of)
    told = {problem.path for problem in raised.value.problems}
    assert told == {"targets.0.device", "targets.0.phase", "targets.1.runtime"}


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ("latency_ms@gpu", "no target of this job matches 'gpu'; accepted: "),
        ("latency_ms@n1", "several targets of this job match 'n1'; accepted: "),
        ("latency_ms@", "no target of this job matches ''; accepted: "),
        ("parameters@gpu", "not an objective of this job; accepted: "),
        ("macs", "not an objective of this job; accepted: "),
    ],
)
def test_a_bound_on_no_target_is_told_from_one_on_no_objective(bound: str, told: str) -> None:
    """With every form of a name that is accepted, those of a target too."""
    targets = [{}, {"tokens": 128}]
    objectives = ["quality", "latency_ms", "parameters"]
    spec = load_job_spec({**SMALLEST, "targets": targets, "objectives": objectives, "bounds": {bound: 3}})
    with pytest.raises(InvalidSpec) as raised:
        resolve(spec)
    (problem,) = raised.value.problems
    assert problem.path == f"bounds.{bound}"
    assert problem.message.startswith(told)
    accepted = problem.message.partition("accepted: ")[2].split(", ")
    assert {"quality", "latency_ms", "latency_ms@local-cpu", "parameters"} <= set(accepted)
    assert f"latency_ms@{spec.targets[1].target()}" in accepted
    assert not {"macs", "generation_ms"} & set(accepted)
    for name in accepted:
        resolve(spec.model_copy(update={"bounds": {name: 3.0}}))


@pytest.mark.parametrize(
    "fidelities",
    [[], [0.5], [1.0, 0.5], [0.5, 0.5, 1.0], [1e-9, 1.0], [0.5, 2.0], [n / 9 for n in range(1, 9)] + [1.0]],
)
def test_fidelities_rise_to_whole_evaluations(fidelities: list[float]) -> None:
    data = {"space": "hybrid-lm", "task": "text", "targets": [{}]}
    with pytest.raises(InvalidSpec, match=r"budget\.search\.fidelities"):
        load_job_spec({**data, "budget": {"search": {"fidelities": fidelities}}})
    spec = load_job_spec({**data, "budget": {"search": {"fidelities": [0.5, 1]}}})
    assert spec.budget.search.fidelities == (0.5, 1.0)


def test_what_json_cannot_hold_is_told_with_its_path() -> None:
    told = problems(
        {
            **SMALLEST,
            "space": {"since": datetime.date(2026, 1, 1), "widths": [1.0, math.nan]},
            "task": {"name": "text", "inner": {"bytes": b"x", "half": "\ud800", 3: "three"}, "\udfff": 1},
        }
    )
    assert set(told) == {
        "space.since",
        "space.widths.1",
        "task.inner.bytes",
        "task.inner.half",
        "task.inner",
        "task",
    }
    assert "quotes" in told["space.since"]
    assert "finite" in told["space.widths.1"]
    assert "3 is not a name" in told["task.inner"]


ALIASES = "a: &a [0,0,0,0,0,0,0,0,0,0]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + earlier] * 10)}]\n"
    for earlier, name in zip("abcdefg", "bcdefgh", strict=True)
)
"""A few lines that stand for 10⁸ values."""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds nothing"),
        ("- a\n- b\n", "holds a list of 2"),
        ("42", "holds 42"),
        ("a: [", "not YAML"),
        ("a: 2001-99-99", "not YAML"),
        ("a: " + "9" * 5000, "not YAML"),
        ("a: !!python/object/apply:os.system [ls]", "not YAML"),
        ("[" * 5000, "nested too deeply"),
        ("a: &a [*a]", "contains itself"),
        (ALIASES, "values"),
    ],
    ids=["empty", "list", "number", "unclosed", "date", "long number", "object", "deep", "cycle", "aliases"],
)
def test_other_documents_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "job.yaml").write_text(text)
    (told,) = problems(tmp_path / "job.yaml").values()
    assert message in told


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"a: \x00"])
def test_a_file_that_is_no_text_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "job.yaml").write_bytes(content)
    (told,) = problems(tmp_path / "job.yaml").values()
    assert str(tmp_path / "job.yaml") in told


def test_a_folder_is_no_job_file(tmp_path: Path) -> None:
    assert str(tmp_path) in problems(tmp_path)[""]


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from([*JobSpec.model_fields, "other"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(FIELDS, ANYTHING, max_size=4), st.booleans())
def test_whatever_is_written_is_a_spec_or_a_list_of_problems(changed: dict, begin_valid: bool) -> None:
    source = {**SMALLEST, **changed} if begin_valid else changed
    try:
        spec = load_job_spec(source)
    except InvalidSpec as refused:
        told = list(refused.problems)
    else:
        told = [] if JobSpec.model_validate_json(spec.model_dump_json()) == spec else None
    assert told or (told == [] and begin_valid)


@pytest.mark.parametrize(
    "path",
    [
        "seed",
        "budget.train.seed",
        "budget.train.steps",
        "budget.search.evaluations",
        "budget.finalists.count",
        "targets.0.batch",
        "targets.0.tokens",
    ],
)
def test_a_number_that_no_machine_holds_is_told(path: str) -> None:
    value: object = 2**63
    for key in reversed(path.split(".")):
        value = [value] if key == "0" else {key: value}
    with pytest.raises(InvalidSpec) as refused:
        load_job_spec({"space": "hybrid-lm", "task": "text", "targets": [{}], **value})
    (problem,) = refused.value.problems
    assert problem.path == path
    assert "less than" in problem.message
    assert load_job_spec({"space": "s", "task": "text", "targets": [{}], "seed": 2**63 - 1}).seed == 2**63 - 1


def test_a_target_that_no_job_can_have_is_told() -> None:
    vast = Target("d", "onnxruntime", "fp32", 1, Workload(Phase.PREFILL, 1, 2**30))
    with pytest.raises(InvalidSpec, match=r"target\.tokens: .*1048576"):
        TargetSpec.of(vast)
