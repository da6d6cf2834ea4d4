import io
from dataclasses import replace

import pytest
from rich.console import Console

from nas.cli.progress import LiveView, PlainView, StageProgress
from nas.job import Event, EventKind
from nas.spec import StageName

TRAIN, SEARCH = StageName.TRAIN, StageName.SEARCH


def started(stage: StageName, time: float) -> Event:
    return Event(EventKind.STAGE, stage, "started", time=time)


def ended(stage: StageName, time: float) -> Event:
    return Event(EventKind.STAGE, stage, "ended", time=time)


def progress(stage: StageName, done: float, total: float, time: float, message: str = "") -> Event:
    return Event(EventKind.PROGRESS, stage, message, done, total, time=time)


def after(*events: Event) -> StageProgress:
    stage = StageProgress(TRAIN)
    for event in events:
        stage.update(event)
    return stage


def test_remaining_time_follows_the_pace_since_counting_began():
    stage = after(started(TRAIN, 100.0), progress(TRAIN, 0, 100, 110.0), progress(TRAIN, 25, 100, 120.0))
    assert stage.remaining(120.0) == pytest.approx(30.0)
    assert stage.elapsed(120.0) == pytest.approx(20.0)


def test_work_done_before_a_resume_does_not_flatter_the_pace():
    stage = after(started(TRAIN, 0.0), progress(TRAIN, 50, 100, 10.0), progress(TRAIN, 60, 100, 20.0))
    assert stage.remaining(20.0) == pytest.approx(40.0)


@pytest.mark.parametrize("second", [(5, 100), (60, 40)])
def test_the_estimate_starts_afresh_when_a_stage_counts_something_else(second):
    done, total = second
    stage = after(
        started(TRAIN, 0.0),
        progress(TRAIN, 0, 100, 0.0),
        progress(TRAIN, 50, 100, 10.0),
        progress(TRAIN, done, total, 11.0),
    )
    assert stage.remaining(11.0) is None


def test_a_stage_begun_again_counts_from_then():
    stage = after(started(TRAIN, 0.0), progress(TRAIN, 9, 10, 50.0), started(TRAIN, 1000.0))
    assert stage.elapsed(1002.0) == pytest.approx(2.0)
    assert stage.running


def test_an_ended_stage_keeps_what_it_took_and_has_nothing_left():
    stage = after(started(TRAIN, 0.0), progress(TRAIN, 3, 10, 5.0), ended(TRAIN, 7.0))
    assert stage.elapsed(1e6) == pytest.approx(7.0)
    assert stage.remaining(8.0) is None
    assert stage.done == stage.total


def plain(*events: Event, past: int = 0) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    with PlainView(console, past) as view:
        for number, event in enumerate(events, 1):
            view.show(replace(event, sequence=number))
    return console.file.getvalue().splitlines()


def test_plain_lines_tell_beginnings_ends_and_notes_and_are_rare_between():
    lines = plain(
        started(SEARCH, 0.0),
        *(progress(SEARCH, i, 20, float(i), "best 2.31") for i in range(1, 21)),
        Event(EventKind.NOTE, SEARCH, "evaluation of [abc] failed", time=20.5),
        ended(SEARCH, 21.0),
    )
    assert lines[0] == "search: started"
    assert lines[1] == "search: 5/20 · elapsed 0:05 · ETA 0:15 · best 2.31"
    assert lines[-2:] == ["search: evaluation of [abc] failed", "search: ended after 0:21"]
    assert len(lines) == 7


def test_a_resumed_jobs_past_is_not_told_again():
    past = [started(TRAIN, 1.0), ended(TRAIN, 5.0)]
    assert plain(*past, started(SEARCH, 100.0), past=2) == ["search: started"]


def test_a_service_whose_clock_is_behind_is_told_like_any_other():
    """It began at 0 s by the service's clock, which is far from this machine's, and spoke 5 s ago."""
    here = [1e9]
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    view = LiveView(console, past=1, clock=lambda: here[0])
    view.show(replace(started(TRAIN, 0.0), sequence=1))
    view.show(Event(EventKind.NOTE, TRAIN, "a note", sequence=2, time=20.0))
    here[0] += 5
    shown = Console(file=io.StringIO(), width=120)
    shown.print(view.render())
    assert "0:25" in shown.file.getvalue()
    assert "a note" in console.file.getvalue()


def test_bars_show_every_stage_and_its_latest_message():
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    view = LiveView(console, clock=lambda: 30.0)
    with view:
        view.show(started(StageName.PROFILE, 0.0))
        view.show(ended(StageName.PROFILE, 10.0))
        view.show(started(TRAIN, 10.0))
        view.show(progress(TRAIN, 0, 40, 10.0))
        view.show(progress(TRAIN, 20, 40, 30.0, "loss 1.9"))
    shown = Console(file=io.StringIO(), width=120)
    shown.print(view.render())
    rows = shown.file.getvalue().splitlines()
    assert [row.split()[1] for row in rows] == [str(stage) for stage in StageName]
    assert "✔" in rows[0]
    assert "0:10" in rows[0]
    assert all(part in rows[1] for part in ("20/40", "0:20", "ETA 0:20", "loss 1.9"))
