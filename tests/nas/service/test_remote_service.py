from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from memory_service import SPEC, TARGET, MemoryService, point, progress

from nas.cloud import Cloud
from nas.errors import InvalidSpec, ModelRejected, NoSuchJob, NothingMeetsBounds, ServiceUnavailable
from nas.front import Scope
from nas.job import JobStatus
from nas.rpc.v1 import service_pb2 as pb
from nas.rpc.v1 import service_pb2_grpc as rpc
from nas.service.client.remote import RemoteService
from nas.service.server.grpc_server import GrpcServer
from nas.service.wire.transfer import receive_folder, send_folder
from nas.service.wire.version import FORM, FORM_KEY
from nas.spec import load_job_spec
from workers.measurement import Measurement
from workers.target import Phase, Target, Workload

READS = ((FORM_KEY, str(FORM)),)
"""What a client says that reads points as they are sent."""


def test_a_first_look_is_asked_for_here(served) -> None:
    assert served.client.submit(SPEC, fast=True).spec == load_job_spec(SPEC).fast()


def test_a_client_of_an_earlier_version_is_told_rather_than_sent_points_without_numbers(served) -> None:
    job = served.client.submit(SPEC)
    with grpc.insecure_channel(served.address) as channel:
        stub = rpc.SearchServiceStub(channel)
        asked = (
            lambda: list(stub.QueryFront(pb.QueryFrontRequest(job_id=job.id), timeout=10)),
            lambda: stub.GetBest(pb.GetBestRequest(job_id=job.id), timeout=10),
            lambda: stub.FindOptimum(pb.FindOptimumRequest(job_id=job.id), timeout=10),
        )
        for ask in asked:
            with pytest.raises(
                grpc.RpcError, match="client reads form 1 and is older than the service"
            ) as raised:
                ask()
            assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert stub.GetJob(pb.GetJobRequest(job_id=job.id), timeout=10).job.id == job.id


@pytest.mark.parametrize("size", [0, 3, 40_000])
def test_a_cloud_arrives_as_it_was_however_many_messages_it_takes(served, size: int) -> None:
    job = served.client.submit(SPEC)
    latency = ("latency_ms", str(TARGET))
    numbers = np.arange(size, dtype=np.uint64) * np.uint64(2**64 // 40_001)
    values = np.where(np.arange(size) % 7, np.linspace(0.1, 3.0, size), np.nan).astype(np.float32)
    sent = Cloud(numbers, {("quality", None): values, latency: values[::-1]})
    served.service.cloud = lambda job_id: sent
    came = served.client.cloud(job.id)
    assert np.array_equal(came.digests, sent.digests)
    assert list(came.columns) == list(sent.columns)
    for key, column in sent.columns.items():
        assert came.columns[key].dtype == np.float32
        assert np.array_equal(came.columns[key], column, equal_nan=True)


def test_the_same_calls_give_the_same_answers(served) -> None:
    job = served.client.submit(SPEC)
    near, far = served.service, served.client
    assert far.job(job.id) == near.job(job.id) == job
    assert far.job("latest") == job
    assert far.front(job.id) == near.front(job.id)
    for digest in (near.points[0].digest, near.points[1].digest[:9]):
        assert far.point(job.id, digest) == near.point(job.id, digest)
    assert far.across("hybrid-lm", "text", TARGET) == near.across("hybrid-lm", "text", TARGET)
    assert far.profile(job.id) == near.profile(job.id)
    assert far.best(job.id) == near.best(job.id)
    assert far.best(job.id, {"latency_ms": 3.0}) == near.best(job.id, {"latency_ms": 3.0})
    assert far.explain(job.id) == near.explain(job.id)
    assert far.comparisons(job.id) == near.comparisons(job.id) != []
    assert far.limits() == near.limits()
    for verify in (False, True):
        near_optimum = near.optimum(job.id, {"latency_ms": 3.0}, verify=verify)
        assert far.optimum(job.id, {"latency_ms": 3.0}, verify=verify) == near_optimum
        assert near_optimum.point.verified == verify
    assert far.resume(job.id).status is JobStatus.RUNNING
    assert far.interrupt(job.id).status is JobStatus.INTERRUPTED
    assert far.cancel(job.id).status is JobStatus.CANCELLED
    for ask in ("spaces", "tasks", "targets", "devices"):
        assert getattr(far, ask)() == getattr(near, ask)()
    assert far.presets("hybrid-lm") == near.presets("hybrid-lm")
    with pytest.raises(NothingMeetsBounds):
        far.best(job.id, {"latency_ms": 0.1})
    with pytest.raises(NothingMeetsBounds):
        far.optimum(job.id, {"latency_ms": 0.1})
    served.service.points = ()
    with pytest.raises(NothingMeetsBounds):
        far.best(job.id, {})


def test_a_target_is_added_from_afar(served) -> None:
    job = served.client.submit(SPEC)
    target = Target("phone", "openvino", "bf16", 4, Workload(Phase.DECODE, 2, 300))
    wider = served.client.add_target(job.id, target)
    assert [item.target() for item in wider.spec.targets] == [Target("local-cpu"), target]
    assert wider == served.service.job(job.id)
    with pytest.raises(InvalidSpec, match=r"target.tokens.*equal to 1048576"):
        served.client.add_target(job.id, Target("phone", workload=Workload(tokens=10**9)))


def test_a_front_longer_than_a_message(served) -> None:
    points = tuple(point(width) for width in range(16, 2516))
    served.service.points = tuple(replace(p, on_front=n % 2 == 0) for n, p in enumerate(points))
    job = served.client.submit(SPEC)
    for scope in Scope:
        assert served.client.front(job.id, scope) == served.service.front(job.id, scope)
    pages = [
        served.client.front(job.id, Scope.ALL, after=points[n].digest, limit=1100) for n in (0, 1100, 2200)
    ]
    assert [len(page.points) for page in pages] == [1100, 1100, 299]
    assert [p for page in pages for p in page.points] == list(served.service.points[1:])


def test_a_front_longer_than_a_message_is_of_one_job_whatever_is_submitted_meanwhile(served) -> None:
    served.service.points = tuple(point(width) for width in range(16, 2516))
    job = served.client.submit(SPEC)
    front, asked = served.service.front, []

    def front_then_submit(job_id, *arguments, **options):
        asked.append(job_id)
        found = front(job_id, *arguments, **options)
        served.service.submit(SPEC)
        return found

    served.service.front = front_then_submit
    assert len(served.client.front("latest", Scope.ALL).points) == 2500
    assert asked == [job.id] * 3


def test_a_front_comes_in_pages(served) -> None:
    served.service.points = tuple(point(width) for width in range(16, 2316))
    job = served.client.submit(SPEC)
    sizes, token = [], ""
    with grpc.insecure_channel(served.address) as channel:
        stub = rpc.SearchServiceStub(channel)
        while True:
            request = pb.QueryFrontRequest(job_id=job.id, page_size=1150, page_token=token)
            parts = list(stub.QueryFront(request, timeout=10, metadata=READS))
            assert [part.HasField("header") for part in parts] == [True] + [False] * (len(parts) - 1)
            sizes.append([len(part.points) for part in parts])
            token = parts[-1].next_page_token
            if not token:
                break
        with pytest.raises(grpc.RpcError, match="page_size"):
            list(
                stub.QueryFront(pb.QueryFrontRequest(job_id=job.id, page_size=-1), timeout=10, metadata=READS)
            )
    assert sizes == [[1000, 150], [1000, 150], [0]] or sizes == [[1000, 150], [1000, 150]]


def test_measurements_come_back_whole_and_in_order(served) -> None:
    target = Target("phone", workload=Workload(Phase.DECODE, 2, 300))
    taken = Measurement(
        "", target, 5.0, 0.1, 0.01, 9.0, 2.0, 1.1, 5, 10, 1, True, attention="flash", measured_at=3.5
    )
    served.service.measured[target] = [
        (architecture, replace(taken, digest=architecture.digest, latency_ms=architecture.width / 7))
        for architecture in (point(width).architecture for width in range(16, 1016))
    ]
    assert served.client.measurements(target) == served.service.measurements(target)
    assert served.client.measurements(Target("nobody")) == []


def test_what_sessions_differ_by_comes_back(served) -> None:
    target = Target("phone")
    assert served.client.session_error(target) == served.service.session_error(target)


def test_a_repeated_submission_makes_one_job(served) -> None:
    first = served.client.submit(SPEC, key="monday")
    assert served.client.submit(SPEC, key="monday") == first
    assert served.client.submit(SPEC).id != first.id
    assert len(served.service.stored) == 2


def test_a_submission_is_repeated_where_the_service_was_away(served) -> None:
    """The channel's own retries carry the key of the first try."""
    served.service.error = ServiceUnavailable("starting")
    timer = threading.Timer(0.5, lambda: setattr(served.service, "error", None))
    timer.start()
    job = served.client.submit(SPEC)
    timer.join()
    assert list(served.service.stored) == [job.id]


def test_a_space_file_travels_and_its_path_does_not(served, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "{name: mine, width: [16], depth: [1], layer: {mixer: [none], heads: [1], ratio: [1]}}"
    )
    (tmp_path / "job.yaml").write_text("{space: mine.yaml, task: text, targets: [{device: local-cpu}]}")
    served.client.submit(tmp_path / "job.yaml")
    spec, _ = served.service.submissions[-1]
    assert isinstance(spec.space, dict)
    assert spec.space["name"] == "mine"


def test_jobs_come_in_pages(served) -> None:
    ids = [served.client.submit({**SPEC, "name": f"j{n}"}).id for n in range(7)]
    assert [job.id for job in served.client.jobs()] == ids[::-1]
    assert [job.id for job in served.client.jobs(3)] == ids[:3:-1]
    assert [job.id for job in served.client.jobs(2, before=ids[3])] == [ids[2], ids[1]]
    with grpc.insecure_channel(served.address) as channel:
        stub = rpc.SearchServiceStub(channel)
        sizes, token = [], ""
        while True:
            page = stub.ListJobs(pb.ListJobsRequest(page_size=3, page_token=token), timeout=10)
            sizes.append(len(page.jobs))
            token = page.next_page_token
            if not token:
                break
    assert sizes == [3, 3, 1]


def test_a_mask_leaves_fields_out(served) -> None:
    job = served.client.submit(SPEC)
    with grpc.insecure_channel(served.address) as channel:
        stub = rpc.SearchServiceStub(channel)
        request = pb.ListJobsRequest()
        request.read_mask.paths[:] = ["id", "status"]
        listed = stub.ListJobs(request, timeout=10).jobs[0]
        assert listed == pb.Job(id=job.id, status=pb.JOB_STATUS_QUEUED)
        query = pb.QueryFrontRequest(job_id=job.id)
        query.read_mask.paths[:] = ["digest"]
        points = [p for part in stub.QueryFront(query, timeout=10, metadata=READS) for p in part.points]
        assert points == [pb.Point(digest=p.digest) for p in served.service.points]
        request.read_mask.paths[:] = ["owner.password"]
        with pytest.raises(grpc.RpcError, match="accepted: id, spec_json"):
            stub.ListJobs(request, timeout=10)


@pytest.mark.parametrize("size", [-1, 501])
def test_a_page_has_its_limits(served, size: int) -> None:
    with grpc.insecure_channel(served.address) as channel, pytest.raises(grpc.RpcError) as caught:
        rpc.SearchServiceStub(channel).ListJobs(pb.ListJobsRequest(page_size=size), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


# Watching
def test_watch_gives_what_is_stored_then_what_happens(served) -> None:
    job = served.client.submit(SPEC)
    served.client.resume(job.id)
    served.service.report(job.id, progress(0))
    events = served.client.watch(job.id)
    assert next(events).sequence == 1
    served.service.report(job.id, progress(1))
    assert next(events).data == {"loss": 0.5}
    served.service.set_status(job.id, JobStatus.SUCCEEDED)
    assert list(events) == []
    assert [event.sequence for event in served.client.watch(job.id, after=1)] == [2]
    assert served.client.events(job.id, 1) == served.service.events(job.id, 1)


class Relay:
    """A TCP relay whose connections can be cut: the network between a client and its service."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._upstream = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._upstream)
                self._connections += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._connections.clear()

    def close(self) -> None:
        self._listener.close()
        self.cut()


@contextmanager
def relayed(address: str) -> Iterator[Relay]:
    relay = Relay(address)
    try:
        yield relay
    finally:
        relay.close()


def test_watch_reconnects_and_misses_no_event(served) -> None:
    job = served.client.submit(SPEC)
    served.client.resume(job.id)
    seen: list[int] = []
    with relayed(served.address) as relay, RemoteService(relay.address) as client:
        events = client.watch(job.id)
        for n in range(12):
            served.service.report(job.id, progress(n))
            if n % 4 == 1:
                relay.cut()
            seen.append(next(events).sequence)
        served.service.set_status(job.id, JobStatus.SUCCEEDED)
        seen += [event.sequence for event in events]
    assert seen == list(range(1, 13))


def test_watch_outlives_a_restart_of_the_service(tmp_path: Path) -> None:
    service = MemoryService()
    first = GrpcServer(service, "127.0.0.1:0", tmp_path)
    address = first.start()
    with RemoteService(address) as client:
        job = client.submit(SPEC)
        client.resume(job.id)
        service.report(job.id, progress(0))
        events = client.watch(job.id)
        assert next(events).sequence == 1
        first.stop()
        service.report(job.id, progress(1))
        service.set_status(job.id, JobStatus.SUCCEEDED)
        with GrpcServer(service, address, tmp_path):
            assert [event.sequence for event in events] == [2]


def test_watch_gives_up_after_its_patience(tmp_path: Path) -> None:
    service = MemoryService()
    server = GrpcServer(service, "127.0.0.1:0", tmp_path)
    address = server.start()
    with RemoteService(address, patience=0.5) as client:
        job = client.submit(SPEC)
        client.resume(job.id)
        service.report(job.id, progress(0))
        events = client.watch(job.id)
        next(events)
        server.stop()
        with pytest.raises(ServiceUnavailable):
            next(events)


# Extraction
def test_extraction_brings_every_byte(served, tmp_path: Path) -> None:
    job = served.client.submit(SPEC)
    manifest = served.client.extract(job.id, "ab", tmp_path / "deep" / "out")
    assert manifest == {"job": job.id, "digest": "ab", "größe": [1, 2.5, None]}
    for name, content in served.service.files.items():
        assert (tmp_path / "deep" / "out" / name).read_bytes() == content
    (scratch,) = (tmp_path / "scratch").iterdir()
    assert list(scratch.iterdir()) == []
    with pytest.raises(InvalidSpec, match="has something in it"):
        served.client.extract(job.id, "ab", tmp_path / "deep" / "out")
    with pytest.raises(NoSuchJob):
        served.client.extract("missing", "ab", tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "", ".hidden", "a/b", "a\0b", "manifest.json"])
def test_a_service_cannot_write_outside_the_clients_folder(tmp_path: Path, name: str) -> None:
    parts = [
        pb.ExtractModelResponse(manifest_json="{}"),
        pb.ExtractModelResponse(file=pb.FileHeader(name="manifest.json", size_bytes=0, sha256=EMPTY)),
        pb.ExtractModelResponse(file=pb.FileHeader(name=name, size_bytes=0, sha256=EMPTY)),
    ]
    with pytest.raises(ModelRejected, match="accepted: a new, plain name"):
        receive_folder(parts, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _broken(parts: list[pb.ExtractModelResponse], how: str) -> list[pb.ExtractModelResponse]:
    chunk = next(n for n, part in enumerate(parts) if part.WhichOneof("part") == "chunk")
    if how == "flipped":
        parts[chunk] = pb.ExtractModelResponse(chunk=parts[chunk].chunk[:-1] + b"?")
    elif how == "short":
        del parts[chunk]
    elif how == "long":
        parts.insert(chunk, parts[chunk])
    elif how == "no manifest":
        del parts[0]
    elif how == "stray":
        parts.insert(1, parts[chunk])
    return parts


@pytest.mark.parametrize("how", ["flipped", "short", "long", "no manifest", "stray"])
def test_what_arrives_broken_is_not_kept(tmp_path: Path, how: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.onnx").write_bytes(bytes(300_000))
    with pytest.raises(ModelRejected):
        receive_folder(_broken(list(send_folder({}, source)), how), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


# Standard services
def test_health_and_reflection(served) -> None:
    with grpc.insecure_channel(served.address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        for name in ("", "nas.rpc.v1.SearchService"):
            status = check(
                health_pb2.HealthCheckRequest(service=name), timeout=10, wait_for_ready=True
            ).status
            assert status == health_pb2.HealthCheckResponse.SERVING
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([request]), timeout=10
        )
        names = {service.name for service in next(answers).list_services_response.service}
    assert {"nas.rpc.v1.SearchService", "grpc.health.v1.Health"} <= names


def test_an_address_in_use_is_said(served, tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="cannot listen on"):
        GrpcServer(served.service, served.address, tmp_path).start()


def test_a_request_beyond_the_limit_is_refused(served) -> None:
    pages = ["x" * 4_000] * 100
    spec = load_job_spec({**SPEC, "task": {"name": "text", "note": [pages] * 5}})
    with pytest.raises(Exception, match="larger than max"):
        served.client.submit(spec)
    with pytest.raises(InvalidSpec, match="accepted: at most 262144"):
        served.client.submit({**SPEC, "task": {"name": "text", "note": pages}})
    assert served.service.stored == {}
