"""A job's events as a bar for each stage: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from nas.job import Event, EventKind, Job
from nas.spec import StageName

__all__ = ["LINE_SECONDS", "JobProgress", "LiveView", "PlainView", "StageProgress", "View", "open_view"]

LINE_SECONDS = 5.0
"""Between two lines of progress, where there is no terminal."""


@dataclass
class StageProgress:
    """Where one stage stands. Times are seconds since the epoch, by the service's clock.

    A stage may count several things in turn (measuring, then searching again): whenever its count
    starts afresh, so does the estimate of the time left.

    Attributes:
        done, total: of the stage's present units of work.
        message: what it said last.
    """

    stage: StageName
    started: float | None = None
    ended: float | None = None
    done: float = 0.0
    total: float = 0.0
    message: str = ""
    _first: tuple[float, float] | None = field(default=None, repr=False)

    def update(self, event: Event) -> None:
        """Take in one event of this stage."""
        if event.kind is EventKind.STAGE and event.message == "ended":
            self.ended, self.done = event.time, self.total
        elif event.kind is EventKind.STAGE:
            self.started, self.ended, self._first = event.time, None, None
        elif event.kind is EventKind.PROGRESS:
            if self._first is None or event.total != self.total or event.done < self.done:
                self._first = (event.done, event.time)
            self.done, self.total, self.message = event.done, event.total, event.message

    @property
    def running(self) -> bool:
        """Begun and not ended."""
        return self.started is not None and self.ended is None

    def elapsed(self, now: float) -> float:
        """Seconds since it began, or that it took."""
        return 0.0 if self.started is None else max(0.0, (self.ended or now) - self.started)

    def remaining(self, now: float) -> float | None:
        """Estimated seconds left, from the pace since it began to count; None where nothing is known."""
        if not self.running or self._first is None or self.done <= self._first[0]:
            return None
        first_done, first_time = self._first
        pace = max(0.0, now - first_time) / (self.done - first_done)
        return pace * max(0.0, self.total - self.done)


class JobProgress:
    """The stages of a job, in order."""

    def __init__(self, stages: Iterable[StageName] = StageName) -> None:
        self.stages = {stage: StageProgress(stage) for stage in stages}

    def update(self, event: Event) -> StageProgress | None:
        """Take in an event; the stage that it tells of, if any."""
        stage = self.stages[event.stage] if event.stage else None
        if stage:
            stage.update(event)
        return stage


class View(Protocol):
    """Shows events as they come; a context manager."""

    def show(self, event: Event) -> None:
        """Take in one event."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_view(console: Console, job: Job) -> View:
    """Bars where `console` is a terminal, lines elsewhere. What had happened when `job` was asked for (a
    resumed job's past) moves the bars, but is not told again."""
    past, stages = job.last_event, job.spec.stages
    return LiveView(console, past, stages=stages) if console.is_terminal else PlainView(console, past)


class LiveView:
    """One bar a stage with elapsed time, estimated time left and the stage's latest message; notes
    scroll by above."""

    def __init__(
        self,
        console: Console,
        past: int = 0,
        clock: Callable[[], float] = time.monotonic,
        stages: Sequence[StageName] = tuple(StageName),
    ) -> None:
        self._progress = JobProgress(stages)
        self._past = past
        self._clock = clock
        # The service's clock may differ from this machine's: its time is that of the latest event, and
        # since then as much has passed there as here.
        self._told_at, self._heard_at = 0.0, clock()
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(get_renderable=self.render, console=console, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        """Move the bars; print a note above them."""
        self._progress.update(event)
        self._told_at, self._heard_at = event.time, self._clock()
        if event.kind is EventKind.NOTE and event.sequence > self._past:
            self._live.console.print(f"[dim]{event.stage or 'job'}[/]  {escape(event.message)}")

    def render(self) -> Table:
        """The bars as they stand."""
        now = self._told_at + self._clock() - self._heard_at
        table = Table.grid(padding=(0, 1))
        for column in range(7):
            table.add_column(justify="right" if column in (3, 4) else "left", no_wrap=True)
        for stage in self._progress.stages.values():
            table.add_row(*self._row(stage, now))
        return table

    def _row(self, stage: StageProgress, now: float) -> tuple[Text | ProgressBar | Spinner, ...]:
        remaining = stage.remaining(now)
        waiting = stage.started is None
        return (
            Text("✔", "green") if stage.ended else Text("·", "dim") if waiting else self._spinner,
            Text(f"{stage.stage:<7}", "dim" if waiting else "bold"),
            ProgressBar(
                total=stage.total or 1.0,
                completed=(stage.total or 1.0) if stage.ended else stage.done,
                width=24,
                pulse=stage.running and not stage.total,
                complete_style="cyan",
                finished_style="green",
            ),
            Text(_count(stage)),
            Text("" if waiting else _duration(stage.elapsed(now)), "dim"),
            Text("" if remaining is None else f"ETA {_duration(remaining)}", "cyan"),
            Text(stage.message, "dim", overflow="ellipsis"),
        )


class PlainView:
    """One line when a stage begins and ends, one every few seconds between, and one a note."""

    def __init__(self, console: Console, past: int = 0) -> None:
        self._progress = JobProgress()
        self._console = console
        self._past = past
        self._last_line = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, event: Event) -> None:
        """Print what is worth a line."""
        stage = self._progress.update(event)
        if event.sequence <= self._past:
            return
        if event.kind is EventKind.NOTE:
            self._print(f"{event.stage or 'job'}: {event.message}", event.time)
        elif event.kind is EventKind.STAGE and stage:
            took = f" after {_duration(stage.elapsed(event.time))}" if stage.ended else ""
            self._print(f"{stage.stage}: {event.message}{took}", event.time)
        elif event.kind is EventKind.PROGRESS and stage and event.time - self._last_line >= LINE_SECONDS:
            remaining = stage.remaining(event.time)
            parts = [
                f"{_count(stage)}",
                f"elapsed {_duration(stage.elapsed(event.time))}",
                *([] if remaining is None else [f"ETA {_duration(remaining)}"]),
                *([stage.message] if stage.message else []),
            ]
            self._print(f"{stage.stage}: {' · '.join(parts)}", event.time)

    def _print(self, line: str, at: float) -> None:
        self._last_line = at
        self._console.print(line, markup=False, soft_wrap=True)


def _count(stage: StageProgress) -> str:
    return f"{stage.done:g}/{stage.total:g}" if stage.total else ""


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
