"""The page in a browser."""

from __future__ import annotations

import json
import re
import zipfile

import pytest

from nas.front import Scope
from nas.job import Event, EventKind, JobStatus
from nas.spec import StageName

pytestmark = pytest.mark.job


def drawn(page) -> None:
    """Wait until the front and every candidate behind it are drawn."""
    page.wait_for_selector(".plot[data-drawn=cloud]")


def test_jobs_say_where_they_stand_and_why(site, tab) -> None:
    page = tab()
    page.locator(".job", has_text=site.ids["failed"]).locator(".reason").wait_for()
    assert page.locator(".job").count() == len(site.ids)
    # A name is text, never HTML.
    assert page.locator(".reason").inner_text() == "<b>disk</b> & memory ran out"
    page.locator(".job", has_text=site.ids["shown"]).get_by_text("hypervolume").wait_for()


def test_a_front_answers_to_budget_table_and_target_and_keeps_it_in_its_address(site, tab) -> None:
    job = site.ids["two"]
    page = tab(f"jobs/{job}")
    drawn(page)
    before = page.locator("#budget-says").inner_text()
    page.locator("#budget").fill("300")
    assert page.locator("#budget-says").inner_text() != before
    asked = float(re.search(r"budget=([\d.]+)", page.url)[1])
    chosen = page.locator("tr.chosen").get_attribute("data-id")
    front = site.service.front(job)
    latency = next(o for o in front.objectives if o.name.startswith("latency_ms"))
    within = [p for p in front.points if p.value(latency) <= asked * (1 + 1e-6)]
    assert chosen == min(within, key=lambda p: p.validation).digest
    rows = page.locator("tbody tr[data-id]")
    everything = rows.count()
    page.get_by_placeholder("Filter").fill("softmax-L4")
    assert 0 < rows.count() < everything
    page.reload()
    drawn(page)
    assert page.locator("tbody tr[data-id]").count() < everything
    page.get_by_placeholder("Filter").fill("")
    page.locator("#target").select_option(str(front.targets[1]))
    page.wait_for_url(re.compile("target=server"))
    page.locator("#target").select_option("robust")
    page.locator("h2", has_text="latency").first.wait_for()
    page.wait_for_url(re.compile("view=robust"))
    page.locator("th button", has_text="worst latency").wait_for()


def test_a_point_is_drawn_layer_by_layer_beside_another(site, tab) -> None:
    front = site.service.front(site.ids["shown"])
    one, other = front.members()[0].digest, front.members()[-1].digest
    page = tab(f"jobs/{site.ids['shown']}/points/{one}")
    page.locator(".layers li").first.wait_for()
    page.locator("#compare").select_option(other)
    page.locator(".layers").nth(1).wait_for()
    assert f"compare={other}" in page.url
    assert page.locator(".layers li.differs").count() > 0


@pytest.mark.slow
def test_numbers_leave_the_page_as_csv_json_and_svg(site, tab, tmp_path) -> None:
    page = tab(f"jobs/{site.ids['shown']}", accept_downloads=True)
    drawn(page)
    for kind, begins in (("CSV", "digest,"), ("JSON", "["), ("SVG", "<svg")):
        with page.expect_download() as saved:
            page.get_by_role("button", name=f"Quality over latency as {kind}").click()
        saved.value.save_as(tmp_path / kind)
        assert (tmp_path / kind).read_text(encoding="utf-8").startswith(begins)
    rows = json.loads((tmp_path / "JSON").read_text(encoding="utf-8"))
    assert len(rows) == len(site.service.front(site.ids["shown"]).points)


def test_events_move_the_page_as_they_happen(site, tab) -> None:
    job = site.ids["waiting"]
    store = site.service._store
    assert store.claim(job, "a process", 600.0)  # without one that holds it, a running job is abandoned
    store.set_job(job, JobStatus.RUNNING, StageName.TRAIN)
    store.append_event(job, Event(EventKind.STAGE, StageName.TRAIN, "started"))
    page = tab(f"jobs/{job}")
    store.append_event(job, Event(EventKind.PROGRESS, StageName.TRAIN, "step 3", 3.0, 8.0))
    page.get_by_text("3/8").wait_for()
    store.set_job(job, JobStatus.CANCELLED, StageName.TRAIN)
    store.append_event(job, Event(EventKind.STATUS, StageName.TRAIN, "cancelled"))
    page.locator("h1 .chip.cancelled").wait_for()
    store.release(job, "a process")


def test_a_form_says_what_is_wrong_beside_the_field_and_submits_what_is_right(site, tab, monkeypatch) -> None:
    monkeypatch.setattr(site.service, "resume", site.service.job)  # nobody has the device: nothing would run
    page = tab("new")
    page.get_by_label("Device").fill("two words")
    page.get_by_label("Training steps").fill("0")
    page.get_by_role("button", name="Submit").click()
    page.locator("#f-targets-0-device-problem:not(:empty)").wait_for()
    page.locator("#f-budget-train-steps-problem:not(:empty)").wait_for()
    assert page.locator("[aria-invalid=true]").count() == 2
    page.get_by_label("Device").fill("absent")
    page.get_by_label("Training steps").fill("10")
    page.get_by_label("Name").fill("from-a-form")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile(r"/jobs/from-a-form-"))
    job = page.url.rpartition("/")[2]
    assert site.service.job(job).spec.targets[0].device == "absent"


def test_a_model_is_cut_out_and_downloaded(site, tab, tmp_path, monkeypatch) -> None:
    def extract(job, digest, out):
        out.mkdir()
        (out / "model.onnx").write_bytes(digest.encode())
        return {}

    monkeypatch.setattr(site.service, "extract", extract)
    page = tab(f"jobs/{site.ids['shown']}", accept_downloads=True)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Extract and download").first.click()
    saved.value.save_as(tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        digest = archive.read("model.onnx").decode()
    assert digest in {point.digest for point in site.service.front(site.ids["shown"], Scope.SHOWN).points}


def test_a_job_that_ends_with_profiling_shows_its_predictors(site, tab) -> None:
    page = tab(f"jobs/{site.ids['profiled']}")
    page.locator("h2", has_text="Predictors").wait_for()
    assert "2.1%" in page.locator(".job-body").inner_text()
    assert "evaluated yet" not in page.locator(".job-body").inner_text()


def test_what_is_not_there_is_said(site, tab) -> None:
    page = tab("jobs/no-such-job")
    assert "no-such-job" in page.locator(".reason").inner_text()
    page = tab("elsewhere")
    assert "/elsewhere" in page.locator(".reason").inner_text()


VIEWS = ("", "new", "devices", "across", "jobs/{two}", "jobs/{shown}/points/{digest}")


def views(site) -> list[str]:
    digest = site.service.front(site.ids["shown"]).members()[0].digest
    return [path.format(**site.ids, digest=digest) for path in VIEWS]


def settled(page) -> None:
    """Wait until a view stands; a chart may still be coming."""
    page.locator("#view h1").first.wait_for()
    page.locator(".loading").wait_for(state="detached")


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_nothing_stands_in_anybodys_way(site, tab, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-core")
    page = tab("", color_scheme=scheme)
    for path in views(site):
        page.goto(site.url + path)
        settled(page)
        if path.startswith("jobs/two"):
            drawn(page)
        found = axe.Axe().run(page).response["violations"]
        assert [f"{path}: {v['id']}: {v['nodes'][0]['html'][:120]}" for v in found] == []


def test_a_narrow_screen_shows_all_without_scrolling_sideways(site, tab) -> None:
    page = tab("")
    page.set_viewport_size({"width": 390, "height": 844})
    for path in views(site):
        page.goto(site.url + path)
        settled(page)
        if path == "devices":
            page.locator("#target").wait_for()  # long names of targets, which come later
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


@pytest.mark.slow
def test_keys_alone_reach_and_move_the_budget(site, tab) -> None:
    page = tab(f"jobs/{site.ids['shown']}")
    drawn(page)
    before = page.locator("#budget-says").inner_text()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "budget":
            break
    assert page.evaluate("document.activeElement.id") == "budget"
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    assert page.locator("#budget-says").inner_text() != before
