"""What `--help` and docs/commands.md say of every command."""

import re
from pathlib import Path

import pytest
import typer

from nas.cli.main import app

COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(nas, command):
    answer = nas(command, "--help")
    assert answer.code == 0
    assert "Usage: nas" in answer.out


def every_command(group=None, path=("nas",)):
    """Of groups too, by what is written to ask for it."""
    command = typer.main.get_command(app) if group is None else group
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from every_command(inner, (*path, name))


def test_help_is_as_wide_as_the_terminal(nas, monkeypatch):
    for path, command in every_command():
        paragraphs = command.help.split("\n\n")
        broken = [text for text in paragraphs if "\n" in text and not text.startswith("[dim]")]
        assert not broken, path
    monkeypatch.setenv("COLUMNS", "100")
    lines = [line.strip() for line in nas("bench", "devices", "--help").out.splitlines()]
    told = lines[lines.index(next(line for line in lines if line.startswith("Profile real"))) :]
    assert len(told[0]) > 80, "the first line is full"
    examples = [line for line in told if line.startswith("nas bench devices")]
    assert len(examples) == 2, "a line each"


def test_every_command_shows_how_it_is_written():
    without = {path for path, command in every_command() if "[dim]nas " not in command.help}
    assert not without


def test_measurements_say_that_they_take_a_target(nas):
    assert "Usage: nas measurements [OPTIONS] [TARGET | COMMAND" in nas("measurements", "--help").out
    assert "nas measurements local-cpu/" in nas("measurements", "--help").out


@pytest.mark.parametrize("path", [path for path, _ in every_command() if len(path) > 1], ids=" ".join)
def test_every_command_stands_in_its_documentation(path):
    said = (Path(__file__).parents[3] / "docs" / "commands.md").read_text()
    assert re.search(rf"`{' '.join(path[:3])}(?![\w-])", said) or path[-1] == "list"


def test_results_come_before_administration_in_the_help(nas):
    answer = nas("--help")
    places = [
        answer.out.index(f"│ {name} ") for name in ("search", "front", "measurements", "spaces", "token")
    ]
    assert places == sorted(places)
