"""What a command is at, where nobody watches and on a terminal."""

import io

import pytest
from rich.console import Console

from nas.cli.activity import Activity


def test_lines_every_few_seconds_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("nas.cli.activity.time.monotonic", lambda: now)
    with Activity("reading") as activity:
        for now in (1.0, 4.9, 5.0, 9.9, 10.5):
            activity.update(f"model [{now}]")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["model [5.0]", "model [10.5]"]


def test_a_spinner_on_a_terminal_stands_still_while_something_else_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=60)
    monkeypatch.setattr("nas.cli.activity.error_console", lambda: console)
    with Activity("reading") as activity:
        activity.update("model [7]")
        with activity.paused():
            before = screen.getvalue()
            console.print("a job's own bar")
    assert "model [7]" in before
    assert "\x1b[?25h" in before, "the cursor is back"
