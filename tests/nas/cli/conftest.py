import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from nas.cli.main import main


@dataclass(frozen=True)
class Answer:
    """What an invocation left."""

    code: int
    out: str
    err: str


@pytest.fixture
def nas(tmp_path, monkeypatch, capsys) -> Callable[..., Answer]:
    """Run a command line in this process, in an empty folder with a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["nas", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Answer(int(ended.value.code or 0), captured.out, captured.err)

    return run
