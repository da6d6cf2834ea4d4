from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_service import SPEC

from nas.errors import InvalidSpec, leaves
from nas.rpc.v1 import service_pb2 as pb
from nas.rpc.v1 import service_pb2_grpc as rpc
from nas.service.server.admission import admit_spec
from nas.spec import JobSpec, load_job_spec

SPACE = {"name": "s", "width": [16], "depth": [1], "layer": {"mixer": ["none"], "heads": [1], "ratio": [1]}}


def spec(**changes: Any) -> JobSpec:
    return load_job_spec({**SPEC, **changes})


def problems(spec: JobSpec, root: Path | None = None) -> list[str]:
    with pytest.raises(InvalidSpec) as caught:
        admit_spec(spec, root)
    return [problem.path for problem in caught.value.problems]


@pytest.mark.parametrize("space", ["/etc/passwd", "../x.yaml", "hybrid-lm.yaml", "", "\0", "x" * 4_096])
def test_a_space_is_a_name_or_a_declaration(space: str) -> None:
    assert problems(spec(space=space)) == ["space"]
    admit_spec(spec(), None)
    admit_spec(spec(space=SPACE), None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "books").mkdir(parents=True)
    (root / "books" / "a.txt").write_text("a")
    (tmp_path / "secret.txt").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    (root / "books" / "up").symlink_to(tmp_path)
    return root


@pytest.mark.parametrize("path", ["books/a.txt", "books/*.txt", "books/absent.txt", ["books/a.txt"]])
def test_data_below_the_root_is_accepted_and_made_absolute(root: Path, path: Any) -> None:
    admitted = admit_spec(spec(task={"name": "text", "path": path, "evaluation_tokens": 512}), root)
    inside = [str(root.resolve() / p) for p in ([path] if isinstance(path, str) else path)]
    assert admitted.task.model_extra == {"path": inside, "evaluation_tokens": 512}


@pytest.mark.parametrize(
    "path",
    [
        "x" * 300,
        "/etc/passwd",
        "~/x",
        "~root/x",
        "..",
        "../secret.txt",
        "books/../../secret.txt",
        "link.txt",
        "*.txt",
        "books/up/secret.txt",
        "books/up/*.txt",
        "books/*/secret.txt",
        "",
        "a\0b",
        5,
        {"a": "b"},
    ],
)
def test_data_elsewhere_is_not(root: Path, path: Any) -> None:
    assert problems(spec(task={"name": "text", "path": path}), root) == ["task.path.0"]
    assert problems(spec(task={"name": "text", "path": ["books/a.txt", path]}), root) == ["task.path.1"]


def test_without_a_root_no_data_is(root: Path) -> None:
    assert problems(spec(task={"name": "text", "path": str(root / "books" / "a.txt")})) == ["task.path.0"]


@pytest.mark.parametrize(
    "value", ["/etc/passwd", "..", "~", "a/b", "c:\\x", ["ok", "../x"], {"deep": ["/x"]}]
)
def test_no_other_option_smuggles_a_path(root: Path, value: Any) -> None:
    found = problems(spec(task={"name": "text", "vocabulary_file": value}), root)
    assert len(found) == 1
    assert found[0].startswith("task.vocabulary_file")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"space": {**SPACE, "depth": [1, 10**9]}}, "space.depth.1"),
        ({"space": {**SPACE, "width": [10**12]}}, "space.width.0"),
        ({"space": {**SPACE, "vocabulary": 10**10}}, "space.vocabulary"),
        ({"space": {**SPACE, "width": list(range(1, 1000))}}, "space.width"),
        ({"space": {**SPACE, "layer": {**SPACE["layer"], "ratio": [1e300]}}}, "space.layer.ratio.0"),
        ({"targets": [{"batch": 10**6}]}, "targets.0.batch"),
        ({"budget": {"train": {"batch": 10**9}}}, "budget.train.batch"),
        ({"budget": {"profile": {"holdout": 10**9}}}, "budget.profile.holdout"),
        ({"task": {"name": "text", "evaluation_tokens": 10**15}}, "task.evaluation_tokens"),
    ],
)
def test_sizes_that_would_end_a_service_are_named(changes: dict[str, Any], path: str) -> None:
    assert problems(spec(**changes)) == [path]


# Fuzzing: whatever comes, the answer is a job or an error of the tree, and the service goes on.
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
KEYS = st.sampled_from(
    ["space", "task", "targets", "objectives", "bounds", "budget", "seed", "name", "layer", "width", "path"]
)
DOCUMENTS = st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON, max_size=4), max_size=6)
LIKE_A_SPEC = st.builds(lambda changes: {**SPEC, **changes}, DOCUMENTS)
TEXTS = st.one_of(
    st.text(max_size=60),
    DOCUMENTS.map(json.dumps),
    LIKE_A_SPEC.map(json.dumps),
    st.just("[" * 50_000),
    st.just('{"a":' * 20_000),
)
METHODS = list(pb.DESCRIPTOR.services_by_name["SearchService"].methods)
KNOWN = {leaf.grpc_status for leaf in leaves()}


@pytest.fixture
def stub(served) -> Any:
    with grpc.insecure_channel(served.address) as channel:
        yield rpc.SearchServiceStub(channel)


def fuzz(examples: int) -> settings:
    health = [HealthCheck.function_scoped_fixture]
    return settings(max_examples=examples, suppress_health_check=health, deadline=None)


@fuzz(200)
@given(text=TEXTS, key=st.text(max_size=80))
def test_any_spec_makes_a_job_or_a_mapped_error(stub: Any, text: str, key: str) -> None:
    _answers(lambda: stub.SubmitJob(pb.SubmitJobRequest(spec_json=text, idempotency_key=key), timeout=20))


@fuzz(200)
@given(data=st.data())
def test_any_bytes_make_an_answer_or_a_status(served, data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(METHODS))
    content = data.draw(st.binary(max_size=80))
    path = f"/nas.rpc.v1.SearchService/{method.name}"
    with grpc.insecure_channel(served.address) as channel:
        call = channel.unary_stream if method.server_streaming else channel.unary_unary
        answer = call(path, request_serializer=bytes, response_deserializer=bytes)

        def ask() -> None:
            got = answer(content, timeout=20)
            if method.server_streaming:
                list(got)

        _answers(ask)
    assert served.client.tasks()


def _answers(ask: Any) -> None:
    failed: grpc.RpcError | None = None
    try:
        ask()
    except grpc.RpcError as error:
        failed = error
    if failed is not None:
        # gRPC itself says INTERNAL to bytes that are no message.
        assert failed.code().name in KNOWN
        assert "defect" not in (failed.details() or "")


@pytest.mark.slow
@fuzz(5000)
@given(text=TEXTS, key=st.text(max_size=80))
def test_thousands_of_specs(stub: Any, text: str, key: str) -> None:
    test_any_spec_makes_a_job_or_a_mapped_error.hypothesis.inner_test(stub, text, key)


@pytest.mark.slow
@fuzz(5000)
@given(data=st.data())
def test_thousands_of_messages(served, data: st.DataObject) -> None:
    test_any_bytes_make_an_answer_or_a_status.hypothesis.inner_test(served, data)
