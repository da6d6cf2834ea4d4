"""The gateway between pages and a real service, asked as pages ask and as others might."""

from __future__ import annotations

import dataclasses
import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from page_in_python import CAPABILITIES, MEASUREMENT, Page

from nas.service.server.certificates import make_certificates
from workers.gateway import phone
from workers.gateway.server import Gateway
from workers.measurement import Measurement
from workers.models import model_file
from workers.request import MeasurementFailure
from workers.server import WorkerServer
from workers.target import Phase, Target, Workload

TARGET = Target("pocket", "onnxruntime-web", workload=Workload(Phase.DECODE, tokens=64))


@pytest.fixture
def service(make_server: Callable[..., WorkerServer]) -> WorkerServer:
    return make_server(no_worker_seconds=20.0)


@pytest.fixture
def gateway(service: WorkerServer) -> Iterator[Gateway]:
    with Gateway(service.address, "127.0.0.1:0", device="pocket") as opened:
        yield opened


@pytest.fixture
def page(gateway: Gateway) -> Iterator[Page]:
    opened = Page(gateway.link())
    yield opened
    opened.close()


@pytest.fixture
def measure(service: WorkerServer, make_request) -> Iterator[Callable[..., Future]]:
    """Asks the service for a measurement; its outcomes come later."""
    with ThreadPoolExecutor(1) as threads:
        given = threading.Event()

        def ask(**fields: object) -> Future:
            request = make_request(target=TARGET, **fields)
            return threads.submit(lambda: list(service.measure([request], given.is_set)))

        yield ask
        given.set()


def until(true: Callable[[], bool], seconds: float = 10.0) -> float:
    """How long it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


def test_a_page_is_a_worker_from_its_link_to_its_answer(service, page, measure, make_request) -> None:
    assert page.join() == (201, {"device": "pocket"})
    heard = page.open_stream()
    assert next(heard) == ("welcome", {"device": "pocket"})
    (device,) = service.devices()
    assert (device.name, device.capabilities.hardware) == ("pocket", "Pocket 3")
    asked = measure(reference_ms=None)
    name, lease = next(heard)
    assert name == "lease"
    assert lease["workload"] == {"phase": "decode", "batch": 1, "tokens": 64}
    assert lease["beside"] == {"phase": "prefill", "batch": 1, "tokens": 1}
    assert lease["in_a_row"]
    request = make_request()
    for which, bytes_ in (("model", request.model), ("reference", request.reference)):
        assert lease[which] == dataclasses.asdict(model_file(bytes_))
        status, headers, body = page.ask("GET", f"/models/{lease[which]['sha256']}")
        assert (status, body) == (200, bytes_)
        assert headers["content-type"] == "application/octet-stream"
    status, _, _ = page.ask("POST", "/answer", {"lease_id": lease["lease_id"], "measurement": MEASUREMENT})
    assert status == 204
    (measured,) = asked.result(10)
    assert isinstance(measured, Measurement)
    assert (measured.target, measured.latency_ms, measured.calls) == (TARGET, 2.0, 4)
    assert measured.conditions == "clock ticks of 5 µs"


def test_a_failure_comes_through_with_its_reason(page, measure) -> None:
    page.join()
    heard = page.open_stream()
    next(heard)
    asked = measure()
    _, lease = next(heard)
    failure = {"reason": "no operator Sphere", "retryable": False}
    page.ask("POST", "/answer", {"lease_id": lease["lease_id"], "failure": failure})
    (outcome,) = asked.result(10)
    assert isinstance(outcome, MeasurementFailure)
    assert "no operator Sphere" in outcome.reason


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"measurement": 3},
        {"measurement": {**MEASUREMENT, "latency_ms": "fast"}},
        {"measurement": {**MEASUREMENT, "latency_ms": -1.0}},
        {"measurement": {**MEASUREMENT, "repeats": 0.5}},
        {"failure": {"retryable": True}},
    ],
)
def test_an_answer_that_cannot_be_is_refused_and_nobody_waits_for_another(page, measure, told) -> None:
    page.join()
    heard = page.open_stream()
    next(heard)
    measure()
    _, lease = next(heard)
    status, _, body = page.ask("POST", "/answer", {"lease_id": lease["lease_id"], **told})
    assert status == 400
    assert body["error"]
    name, again = next(heard)
    assert name == "lease"  # the measurement is to be taken once more
    assert again["lease_id"] != lease["lease_id"]


def test_a_closed_tab_puts_its_lease_back_at_once(service, gateway, page, measure) -> None:
    page.join()
    heard = page.open_stream()
    next(heard)
    asked = measure()
    next(heard)
    page.close()
    assert until(lambda: not service.devices()) < 3.0
    other = Page(gateway.link())
    assert other.join()[0] == 201
    heard = other.open_stream()
    next(heard)
    _, lease = next(heard)
    other.ask("POST", "/answer", {"lease_id": lease["lease_id"], "measurement": {**MEASUREMENT}})
    (measured,) = asked.result(10)
    assert isinstance(measured, Measurement)
    other.close()


def test_a_page_that_falls_silent_is_gone(service, page, monkeypatch) -> None:
    monkeypatch.setattr(phone, "SILENT_SECONDS", 1.0)
    page.join()
    heard = page.open_stream()
    next(heard)
    for _ in range(4):
        time.sleep(0.4)
        assert page.ask("POST", "/alive")[0] == 204
    assert service.devices()
    name, over = next(heard)
    assert (name, over["again"]) == ("over", False)
    assert "silent" in over["reason"]
    until(lambda: not service.devices())
    assert page.ask("POST", "/alive")[0] == 401


def test_what_is_cancelled_is_told(page, service, measure, make_request) -> None:
    page.join()
    heard = page.open_stream()
    next(heard)
    outcomes = service.measure([make_request(target=TARGET)])
    drawing = threading.Thread(target=lambda: next(outcomes, None), daemon=True)
    drawing.start()
    _, lease = next(heard)
    stopped = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(lambda: list(service.measure([make_request("b", target=TARGET)], stopped.is_set)))
        page.ask("POST", "/answer", {"lease_id": lease["lease_id"], "measurement": MEASUREMENT})
        _, second = next(heard)
        stopped.set()
        assert next(heard) == ("cancel", {"lease_id": second["lease_id"]})
    answer = {"lease_id": second["lease_id"], "measurement": MEASUREMENT}
    assert page.ask("POST", "/answer", answer)[0] == 400


def test_a_link_admits_one_browser_once(gateway, page) -> None:
    link = gateway.link()
    first, second = Page(link), Page(link)
    assert gateway.admits(link)
    assert first.join()[0] == 201
    assert not gateway.admits(link)
    status, body = second.join()
    assert status == 403
    assert "used before" in body["error"]
    assert Page(page.url + "/#guessed").join()[0] == 403
    first.close()


def test_a_browser_that_was_admitted_joins_again_without_a_link(service, page) -> None:
    page.join()
    next(page.open_stream())
    page.close()
    until(lambda: not service.devices())
    page.secret = ""
    assert page.ask("GET", "/settings")[2]["admitted"] is True
    assert page.join()[0] == 201
    heard = page.open_stream()
    assert next(heard)[0] == "welcome"
    # In another tab: the one before ends.
    assert page.join()[0] == 201
    assert next(heard)[0] == "over"


def test_who_did_not_join_gets_nothing(page) -> None:
    for method, path in (("GET", "/leases"), ("GET", "/models/" + "0" * 64), ("POST", "/alive")):
        status, _, body = page.ask(method, path)
        assert (status, "join" in body["error"]) == (401, True)
    page.join()
    status, _, _ = page.ask("GET", "/models/" + "0" * 64)
    assert status == 502


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"device": "two words"}, "two words"),
        ({"threads": 0}, "threads"),
        ({"runtimes": [{**CAPABILITIES["runtimes"][0], "name": "torch"}]}, "torch"),
        ({"runtimes": [{**CAPABILITIES["runtimes"][0], "phases": ["dream"]}]}, "dream"),
        ({"accelerators": "many"}, "accelerators"),
        ({"cpu_model": None}, "cpu_model"),
    ],
)
def test_what_a_page_says_wrong_is_said_and_its_link_still_admits(page, changes, said: str) -> None:
    status, body = page.join(**changes)
    assert status == 400
    assert said in body["error"]
    assert page.join()[0] == 201


def test_a_name_of_another_machine_is_refused_with_the_service_s_words(gateway, page) -> None:
    page.join()
    assert next(page.open_stream())[0] == "welcome"
    other = Page(gateway.link())
    other.join(cpu_model="Pocket 4")
    name, over = next(other.open_stream())
    assert (name, over["again"]) == ("over", False)
    assert "Pocket 3" in over["reason"]
    other.close()


def test_a_service_that_is_not_there_is_tried_again() -> None:
    with Gateway("127.0.0.1:9", "127.0.0.1:0") as gateway:
        page = Page(gateway.link())
        page.join()
        name, over = next(page.open_stream())
        assert (name, over["again"]) == ("over", True)
        assert "service" in over["reason"]


def test_every_answer_isolates_the_page_and_runs_no_strangers_code(page) -> None:
    for path in ("/", "/static/main.js", "/static/measureworker.js", "/nowhere"):
        _, headers, _ = page.ask("GET", path)
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert "script-src 'self' 'wasm-unsafe-eval';" in headers["content-security-policy"]


def test_plain_http_and_other_sites_are_refused(page) -> None:
    told = {**CAPABILITIES, "link": page.secret}
    status, _, body = page.ask("POST", "/join", told, host="192.168.0.7:7073")
    assert (status, "HTTPS" in body["error"]) == (403, True)
    assert page.ask("POST", "/join", told, origin="https://evil.example")[0] == 403
    with pytest.raises(ValueError, match="HTTPS"):
        Gateway("127.0.0.1:7071", "0.0.0.0:0")


def test_beyond_this_machine_only_https_is_spoken(service, tmp_path) -> None:
    made = make_certificates(tmp_path, ["localhost", "127.0.0.1"])
    certificate, key = made["server.pem"], made["server.key"]
    with Gateway(service.address, "0.0.0.0:0", certificate=certificate, key=key) as gateway:
        link = gateway.link("localhost")
        assert link.startswith("https://localhost:")
        host = link.removeprefix("https://").partition("/")[0]
        plain = http.client.HTTPConnection(host, timeout=10)
        plain.request("GET", "/")
        with pytest.raises((http.client.HTTPException, OSError)):
            plain.getresponse()
        trusted = ssl.create_default_context(cafile=str(made["authority.pem"]))
        secure = http.client.HTTPSConnection(host, timeout=10, context=trusted)
        secure.request("GET", "/settings")
        assert secure.getresponse().status == 200
        secure.close()
