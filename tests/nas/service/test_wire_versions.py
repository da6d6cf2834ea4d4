"""A client and a service of different versions: whoever is older is named, with what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from memory_service import MemoryService

from nas.errors import Incompatible, InvalidSpec
from nas.rpc.v1 import service_pb2 as pb
from nas.rpc.v1 import service_pb2_grpc as rpc
from nas.service.client.remote import RemoteService
from nas.service.wire import convert, version
from nas.service.wire.faults import DETAIL_KEY, detail_of
from nas.service.wire.version import FORM, FORM_KEY, least_form
from searchspaces.architecture import Architecture, Layer
from searchspaces.errors import Problem
from searchspaces.form import Classes, Form, Series
from workers.target import Phase, Target, Workload

LANGUAGE = Architecture(16, 16, (Layer("softmax", 2),))
SERIES = replace(LANGUAGE, vocabulary=0, form=Form(Series(29, 12), Classes(9)), stem="frames", readout="mean")
ENCODING = Target("phone", workload=Workload(Phase.ENCODE, 1, 29))
UNKNOWN_SPACE = InvalidSpec([Problem("space", "no space 'image-28'")])


def test_what_a_form_brought_is_found_wherever_it_stands() -> None:
    language, series = (convert.architecture_to_message(each) for each in (LANGUAGE, SERIES))
    assert least_form(language) == least_form(pb.Point(architecture=language)) == 1
    assert least_form(pb.QueryFrontResponse(points=[pb.Point(), pb.Point(architecture=series)])) == 3
    targets = pb.ListTargetsResponse(targets=[convert.target_to_message(ENCODING)])
    assert least_form(targets) == 3
    spec = '{"space": "image-28", "targets": [{"device": "phone", "phase": "%s"}]}'
    assert least_form(pb.GetJobResponse(job=pb.Job(spec_json=spec % "encode"))) == 3
    assert least_form(pb.GetJobResponse(job=pb.Job(spec_json=spec % "prefill"))) == 1


def test_every_name_that_a_form_brought_is_one_of_the_messages() -> None:
    descriptor = pb.DESCRIPTOR
    numbers = {n.name for enum in descriptor.enum_types_by_name.values() for n in enum.values}
    messages = descriptor.message_types_by_name.values()
    fields = {field.full_name for message in messages for field in message.fields}
    assert set(version.SINCE) | {version.SPEC_FIELD} <= numbers | fields
    assert max(version.SINCE.values()) == FORM


@pytest.mark.parametrize("form", [2, FORM])
def test_an_older_client_gets_what_it_can_read_and_is_told_of_the_rest(
    served: Any, monkeypatch: pytest.MonkeyPatch, form: int
) -> None:
    targets = [Target("phone")]
    monkeypatch.setattr(served.service, "targets", lambda: targets)
    with grpc.insecure_channel(served.address) as channel:
        stub = rpc.SearchServiceStub(channel)

        def ask() -> Any:
            request = pb.ListTargetsRequest()
            return stub.ListTargets(request, timeout=10, metadata=((FORM_KEY, str(form)),)).targets

        assert len(ask()) == 1
        targets.append(ENCODING)
        if form == FORM:
            assert len(ask()) == 2
            return
        with pytest.raises(grpc.RpcError) as caught:
            ask()
    said = f"the client reads form 2 and is older than the service, whose answer takes form {FORM}: update"
    assert caught.value.details().startswith(said)


def test_a_service_says_that_it_is_the_older_one(served: Any) -> None:
    target = convert.target_to_message(Target("phone"))
    target.workload.phase = 9  # type: ignore[assignment]  # of a later client
    request = pb.AddTargetRequest(job_id="any", target=target)
    with grpc.insecure_channel(served.address) as channel, pytest.raises(grpc.RpcError) as caught:
        rpc.SearchServiceStub(channel).AddTarget(request, timeout=10)
    assert "Phase of number 9 is not known to the service, which is older than the client: update it" in (
        caught.value.details()
    )


@pytest.mark.parametrize(
    "read",
    [
        lambda: convert.target_from_message(pb.Target(device="a", workload=pb.Workload(phase=9))),  # type: ignore[arg-type]
        lambda: convert.architecture_from_message(pb.Architecture(form=pb.Form(classes=2))),
        lambda: convert.job_from_message(pb.Job(spec_json='{"planets": 9}')),
    ],
)
def test_a_client_says_that_it_is_the_older_one(read: Callable[[], object]) -> None:
    with pytest.raises(Incompatible, match=r"not known to this client, which is older than the service: up"):
        read()


class Answering(grpc.GenericRpcHandler):
    """A service of another version, which refuses every call."""

    def __init__(self, code: grpc.StatusCode, *metadata: tuple[str, Any]) -> None:
        self._refusal = code, "refused", metadata

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
            code, details, metadata = self._refusal
            context.set_trailing_metadata(metadata)
            context.abort(code, details)
            return b""

        return grpc.unary_unary_rpc_method_handler(refuse)


@contextmanager
def refused_by(code: grpc.StatusCode, *metadata: tuple[str, Any]) -> Iterator[RemoteService]:
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((Answering(code, *metadata),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with RemoteService(f"127.0.0.1:{port}") as client:
            yield client
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize(
    ("form", "older"),
    [
        ((), r"the service is older than this client and may not know what it is asked: update it"),
        (((FORM_KEY, str(FORM + 1)),), "this client is older than the service and may not know"),
    ],
)
def test_what_another_version_refuses_names_the_older_one(
    form: tuple[tuple[str, str], ...], older: str
) -> None:
    """A space, a task or a phase that it does not know, and a call that it does not have."""
    detail = (DETAIL_KEY, detail_of(UNKNOWN_SPACE))
    with refused_by(grpc.StatusCode.INVALID_ARGUMENT, detail, *form) as client:
        with pytest.raises(InvalidSpec, match=rf"no space 'image-28'\n?.*{older}") as caught:
            client.job("any")
        assert caught.value.problems[0] == UNKNOWN_SPACE.problems[0]
    with refused_by(grpc.StatusCode.UNIMPLEMENTED, *form) as client, pytest.raises(Incompatible, match=older):
        client.spaces()


def test_a_service_of_this_version_adds_nothing(served: Any) -> None:
    service: MemoryService = served.service
    service.error = UNKNOWN_SPACE
    with pytest.raises(InvalidSpec) as caught:
        served.client.job("any")
    assert caught.value.problems == UNKNOWN_SPACE.problems
