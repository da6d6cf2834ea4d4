"""A real browser as a phone: it joins, measures real models, and says what keeps it from that."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from nas.testing.models import VOCABULARY, build_model
from workers.gateway.server import Gateway
from workers.measurement import Measurement
from workers.request import MeasurementFailure, MeasurementRequest
from workers.target import Target, Workload
from workers.timing import TimingProtocol

pytestmark = pytest.mark.job

QUICK = TimingProtocol(warm_up=1, min_repeats=3, max_repeats=5, goal_error=0.5, max_seconds=0.5)
LONG = TimingProtocol(min_repeats=2000, max_repeats=2000, max_seconds=60.0)
SWIFTSHADER = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")


@pytest.fixture
def measure(service) -> Iterator[Callable[..., Future]]:
    """Asks the service for a measurement; its outcome comes later."""
    given = threading.Event()
    with ThreadPoolExecutor(1) as threads:

        def ask(
            model: bytes | None = None, protocol=QUICK, runtime="onnxruntime-web", threads_=1, device="pocket"
        ) -> Future:
            target = Target(device, runtime, threads=threads_, workload=Workload(tokens=64))
            file = build_model(width=64, layers=4) if model is None else model
            reference = build_model(width=64, layers=2)
            request = MeasurementRequest(
                "a", target, file, reference, vocabulary=VOCABULARY, protocol=protocol
            )
            return threads.submit(lambda: next(iter(service.measure([request], given.is_set))))

        yield ask
        given.set()


def until(true: Callable[[], bool], seconds: float = 30.0) -> float:
    """How long it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_phone_joins_and_measures(service, joined, measure) -> None:
    page = joined()
    (device,) = service.devices()
    (wasm,) = device.capabilities.runtimes
    assert (device.name, wasm.name, wasm.dtypes) == ("pocket", "onnxruntime-web", ("fp32",))
    assert device.capabilities.threads > 1  # the page is isolated
    assert "#" not in page.url  # the link's secret is nobody's to see
    for threads in (1, 2):
        outcome = measure(threads_=threads).result(60)
        assert isinstance(outcome, Measurement), outcome
        assert outcome.target.threads == threads
        assert 0 < outcome.latency_ms < 1000
        assert "clock ticks of 5 µs" in outcome.conditions
    page.locator("#log li", has_text="ms").first.wait_for()


@pytest.mark.parametrize(
    ("model", "hardware"), [("", "a browser on Windows"), ("Pocket 3", "Pocket 3")], ids=["unknown", "known"]
)
def test_an_update_of_the_system_makes_no_other_machine(service, joined, model: str, hardware: str) -> None:
    for version in ("15.0", "19.0"):
        said = {"platform": "Windows", "platformVersion": version, "model": model, "architecture": "arm"}
        page = joined(before=f"NavigatorUAData.prototype.getHighEntropyValues = async () => ({said})")
        (device,) = service.devices()
        assert device.capabilities.system == f"Windows {version}"
        assert device.capabilities.hardware == hardware
        page.context.close()
        until(lambda: not service.devices())


def test_a_broken_model_fails_with_its_reason_and_the_next_is_measured(joined, measure) -> None:
    joined()
    outcome = measure(b"no model").result(60)
    assert isinstance(outcome, MeasurementFailure)
    assert "does not load the model" in outcome.reason
    assert isinstance(measure().result(60), Measurement)


@pytest.mark.slow
def test_a_model_that_arrives_damaged_is_not_measured(joined, measure) -> None:
    page = joined()
    page.route("**/models/*", lambda route: route.fulfill(body=b"something else"))
    asked = measure()
    page.locator("#log li.failed", has_text="arrived damaged").first.wait_for()
    page.unroute("**/models/*")
    # Playwright answers routes while it waits: the service asks again, and the model arrives.
    page.locator("#log li:not(.failed)").first.wait_for()
    assert isinstance(asked.result(60), Measurement)


def test_a_tab_that_is_closed_while_it_measures_puts_its_lease_back(service, joined, measure) -> None:
    page = joined()
    asked = measure(protocol=LONG)
    page.locator("#state[data-state=measuring]").wait_for()
    until(lambda: service.devices()[0].busy)
    page.context.close()
    assert until(lambda: not service.devices()) < 5.0
    assert not asked.done()
    again = joined()
    again.locator("#state[data-state=measuring]").wait_for()


def test_what_is_cancelled_stops(service, joined) -> None:
    page = joined()
    target = Target("pocket", "onnxruntime-web", workload=Workload(tokens=64))
    model = build_model()
    request = MeasurementRequest("a", target, model, model, vocabulary=VOCABULARY, protocol=LONG)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(lambda: list(service.measure([request], stop.is_set)))
        page.locator("#state[data-state=measuring]").wait_for()
        stop.set()
        page.locator("#state[data-state=free]").wait_for()
    assert page.locator("#log li").count() == 0


def show(page, state: str) -> None:
    """As if somebody looked at the page ("visible"), or nobody did ("hidden")."""
    page.evaluate(
        """(state) => {
          Object.defineProperty(document, "visibilityState", { get: () => state, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        state,
    )


def test_a_hidden_page_leaves_and_comes_back(service, joined, measure) -> None:
    page = joined()
    asked = measure(protocol=LONG)
    page.locator("#state[data-state=measuring]").wait_for()
    show(page, "hidden")
    page.locator("#state[data-state=over]").wait_for()
    until(lambda: not service.devices())
    show(page, "visible")
    page.locator("#state[data-state=measuring], #state[data-state=free]").wait_for()
    assert not asked.done() or "hidden" in asked.result().reason


class Held:
    """Requests of a page for a path: one is answered at once, but the page hears of it when it is let go."""

    def __init__(self, page, path: str, number: int = 1) -> None:
        self._page, self._left, self._held = page, number, None
        page.route(path, self._take)

    def _take(self, route) -> None:
        self._left -= 1
        if self._left == 0:
            self._held = route, route.fetch()
        else:
            route.continue_()

    def wait(self) -> None:
        """Until it was made. Playwright answers routes while it waits for the page."""
        until(lambda: self._held or self._page.wait_for_timeout(20))

    def let_go(self) -> None:
        """Have it hear, and wait for what the page makes of that."""
        route, answer = self._held
        with contextlib.suppress(Exception):  # the page may have given it up
            route.fulfill(response=answer)
        self._page.wait_for_timeout(500)


COUNTED = """(() => {
  let running = 0;
  window.most = 0;
  window.Worker = class extends Worker {
    constructor(...given) { super(...given); window.most = Math.max(window.most, ++running); }
    terminate() { super.terminate(); if (!this.over) running--; this.over = true; }
  };
})()"""
"""Of a page: how many threads measured at once."""


@pytest.mark.parametrize("how", ["cancelled", "left"])
def test_what_is_over_before_its_model_arrives_is_not_measured_beside_the_next(
    service, joined, measure, how: str
) -> None:
    page = joined(before=COUNTED)
    held = Held(page, "**/models/*", 2)  # the reference comes first
    target = Target("pocket", "onnxruntime-web", workload=Workload(tokens=64))
    models = build_model(width=64, layers=3), build_model(width=64, layers=2)
    request = MeasurementRequest("b", target, *models, vocabulary=VOCABULARY)
    over = threading.Event()
    threading.Thread(target=lambda: list(service.measure([request], over.is_set)), daemon=True).start()
    held.wait()
    if how == "left":
        show(page, "hidden")
        page.locator("#state[data-state=over]").wait_for()
        show(page, "visible")
    over.set()
    measure(protocol=LONG)
    until(lambda: page.evaluate("most"))
    held.let_go()
    assert page.evaluate("most") == 1
    page.locator("#state[data-state=measuring]", has_text="Measures a").wait_for(timeout=10_000)


def test_a_page_that_is_hidden_while_it_joins_leaves(service, tab, gateway) -> None:
    page = tab(gateway.link())
    held = Held(page, "**/join")
    page.get_by_role("button", name="Join").click()
    held.wait()
    show(page, "hidden")
    held.let_go()
    page.locator("#state[data-state=over]").wait_for(timeout=10_000)
    until(lambda: not service.devices())
    show(page, "visible")
    page.locator("#state[data-state=free]").wait_for()


def test_a_link_is_refused_the_second_time(gateway, joined, tab) -> None:
    link = gateway.link()
    joined(link)
    page = tab(link)
    page.get_by_role("button", name="Join").click()
    page.locator("#state[data-state=refused]").wait_for()
    assert "used before" in page.locator("#state").inner_text()
    page.goto("about:blank")
    page.goto(link.partition("#")[0])
    page.locator("#state", has_text="Scan its code again").wait_for()


def test_plain_http_admits_nobody_and_https_does(service, browser, tab, gateway, certificates) -> None:
    port = gateway.link().rpartition(":")[2].partition("/")[0]
    page = browser.new_page()
    answer = page.goto(f"http://phones.example:{port}/")
    assert answer.status == 403
    assert "HTTPS" in answer.text()
    page.close()
    files = {"certificate": certificates["server.pem"], "key": certificates["server.key"]}
    with Gateway(service.address, "0.0.0.0:0", **files) as secure:
        page = tab(secure.link("phones.example"), ignore_https_errors=True)
        assert page.evaluate("[isSecureContext, crossOriginIsolated]") == [True, True]
        page.get_by_role("button", name="Join").click()
        page.locator("#state[data-state=free]").wait_for()
        plain = browser.new_page()
        with pytest.raises(Exception, match=r"ERR_EMPTY_RESPONSE|ERR_CONNECTION"):
            plain.goto(page.url.replace("https:", "http:"))
        plain.close()
        page.close()


def test_without_isolation_there_is_one_thread_and_that_is_said(service, browser, gateway, tab) -> None:
    context = browser.new_context()
    page = context.new_page()

    def without(route) -> None:
        answer = route.fetch()
        kept = {name: value for name, value in answer.headers.items() if not name.startswith("cross-origin")}
        route.fulfill(response=answer, headers=kept)

    page.route("**/*", without)
    page.goto(gateway.link())
    page.locator(".warning", has_text="not isolated").wait_for()
    refused = page.evaluate(
        """async () => { const { loadEngine } = await import("/static/engine.js");
        return loadEngine("onnxruntime-web", 2, {}).then(() => "loaded", (error) => error.message); }"""
    )
    assert "2 threads were asked for" in refused
    context.close()


def test_what_a_browser_lacks_is_shown(tab, gateway) -> None:
    page = tab(
        gateway.link(), before="Object.defineProperty(Navigator.prototype, 'wakeLock', { value: undefined })"
    )
    page.locator(".warning", has_text="wake lock").wait_for()
    page.locator(".warning", has_text="only WebAssembly is measured").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_webgpu_measures_where_there_is_a_gpu_or_a_test_allows_less(
    service, launch, tab, measure, gateway
) -> None:
    computed = launch(*SWIFTSHADER)
    page = tab(gateway.link(), other=computed)
    page.locator(".warning", has_text="only WebAssembly is measured").wait_for()
    with Gateway(service.address, "127.0.0.1:0", device="gpu", fallback_adapters=True) as allowing:
        page = tab(allowing.link(), other=computed)
        if page.locator(".warning", has_text="No WebGPU here").count():
            pytest.skip("this Chromium has no SwiftShader")
        page.locator(".warning", has_text="computed by the processor here").wait_for()
        page.get_by_role("button", name="Join").click()
        page.locator("#state[data-state=free]").wait_for()
        (device,) = service.devices()
        assert [r.name for r in device.capabilities.runtimes] == ["onnxruntime-web", "onnxruntime-webgpu"]
        assert "swiftshader" in device.capabilities.hardware.lower()
        outcome = measure(runtime="onnxruntime-webgpu", device="gpu").result(120)
        assert isinstance(outcome, Measurement), outcome
        page.close()


def test_the_page_is_for_everyone(tab, gateway) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-core")
    for scheme in ("light", "dark"):
        page = tab(gateway.link(), color_scheme=scheme)
        page.get_by_role("button", name="Join").wait_for()
        # axe-core is put into the page as a script, which its policy forbids to strangers.
        found = axe.Axe().run(page).response["violations"]
        assert [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in found] == []
