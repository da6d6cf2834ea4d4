from __future__ import annotations

import grpc
import pytest

from nas.errors import InvalidSpec, NasError, NoWorker, ServiceFault, ServiceUnavailable, leaves
from nas.rpc.v1 import service_pb2 as pb
from nas.rpc.v1 import service_pb2_grpc as rpc
from nas.service.client.remote import RemoteService
from nas.service.wire.faults import DETAIL_KEY, DETAIL_LIMIT
from searchspaces.errors import Problem

MESSAGE = "what was wrong, where: Zürich ≤ 3\nand a second line"


def test_the_tree_has_leaves() -> None:
    assert len(list(leaves())) >= 16


@pytest.mark.parametrize("leaf", list(leaves()), ids=lambda leaf: leaf.__name__)
def test_every_error_arrives_as_it_was_raised(served, leaf: type[NasError]) -> None:
    problems = [Problem("space.depth.0", "0 is not ≥ 1"), Problem("", MESSAGE)]
    raised = leaf(problems) if issubclass(leaf, InvalidSpec) else leaf(MESSAGE)
    served.service.error = raised
    with pytest.raises(NasError) as caught:
        served.client.job("any")
    assert type(caught.value) is leaf
    assert str(caught.value) == str(raised)
    if isinstance(caught.value, InvalidSpec):
        assert caught.value.problems == tuple(problems)


@pytest.mark.parametrize("leaf", list(leaves()), ids=lambda leaf: leaf.__name__)
def test_other_clients_see_the_status_of_the_error(served, leaf: type[NasError]) -> None:
    served.service.error = leaf([Problem("a", "b")]) if issubclass(leaf, InvalidSpec) else leaf("the cause")
    with grpc.insecure_channel(served.address) as channel, pytest.raises(grpc.RpcError) as caught:
        rpc.SearchServiceStub(channel).ListSpaces(pb.ListSpacesRequest(), timeout=10)
    assert caught.value.code() is grpc.StatusCode[leaf.grpc_status]
    assert caught.value.details() in ("the cause", "a: b")
    assert DETAIL_KEY in dict(caught.value.trailing_metadata())


def test_a_thousand_problems_are_cut_and_counted(served) -> None:
    served.service.error = InvalidSpec([Problem(f"space.{n}", "x" * 200) for n in range(1000)])
    with pytest.raises(InvalidSpec) as caught:
        served.client.job("any")
    sent = caught.value.problems
    assert sent[:2] == served.service.error.problems[:2]
    assert f"and {1000 - len(sent) + 1} more problems" in sent[-1].message
    assert sum(len(p.message) for p in sent) < DETAIL_LIMIT


@pytest.mark.parametrize("text", ["x" * 80, "ein Übel" * 10, "€" * 80, "several\nlines\n" * 6])
def test_clients_with_the_usual_limits_hear_of_three_hundred_problems(served, text: str) -> None:
    """Not that a header is too long."""
    served.service.error = InvalidSpec([Problem(f"targets.{n}.runtime", text) for n in range(300)])
    with grpc.insecure_channel(served.address) as channel, pytest.raises(grpc.RpcError) as caught:
        rpc.SearchServiceStub(channel).ListSpaces(pb.ListSpacesRequest(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith(f"targets.0.runtime: {text[:10]}")
    detail = pb.ErrorDetail.FromString(dict(caught.value.trailing_metadata())[DETAIL_KEY])
    assert detail.problems[0].message == text
    assert detail.problems[-1].message == f"and {301 - len(detail.problems)} more problems"


def test_a_single_endless_problem_is_cut(served) -> None:
    served.service.error = InvalidSpec([Problem("space.name", "x" * 10**5)])
    with pytest.raises(InvalidSpec, match=r"^space\.name: x{900,1000}$"):
        served.client.job("any")


def test_a_long_message_is_cut_between_characters(served) -> None:
    served.service.error = ServiceUnavailable("€" * DETAIL_LIMIT)
    with pytest.raises(ServiceUnavailable) as caught:
        served.client.spaces()
    assert set(str(caught.value)) == {"€"}
    assert len(str(caught.value).encode()) <= DETAIL_LIMIT


def test_a_defect_is_told_from_an_error_and_kept_to_the_log(served, caplog) -> None:
    served.service.error = RuntimeError("secret internals")
    with pytest.raises(ServiceFault, match=r"its log says more: [0-9a-f]{12}") as caught:
        served.client.job("any")
    assert "secret" not in str(caught.value)
    assert "secret internals" in caplog.text
    served.service.error = None
    assert served.client.jobs() == []


def test_nobody_listening_is_service_unavailable() -> None:
    with RemoteService("127.0.0.1:1") as client, pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1"):
        client.jobs()


def test_an_error_in_a_stream_arrives_too(served) -> None:
    with pytest.raises(NasError, match="no job 'missing'"):
        served.client.front("missing")
    with pytest.raises(NasError, match="no job 'missing'"):
        list(served.client.watch("missing"))


def test_what_was_answered_is_not_asked_again(served, monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC repeats what is unavailable: each time a caller would wait a minute for a worker."""
    asked = []

    def job(job_id: str, viewer: object) -> None:
        asked.append(job_id)
        raise NoWorker("nobody serves it")

    monkeypatch.setattr(served.service, "job", job)
    with pytest.raises(NoWorker):
        served.client.job("any")
    with pytest.raises(NoWorker):
        list(served.client.watch("other"))
    assert asked == ["any", "other"]
