"""Tables of any width: columns are left out whole, what people wrote is shown as it is."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from nas.cli.output import result_console
from nas.cli.plain_table import PlainTable

DIGEST = "3b1f0c9a"


def shown(table: PlainTable, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, emoji=False)
    console.print(table)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def table(**options) -> PlainTable:
    made = PlainTable("digest", "layers", "asked\nms", "measured\nms", "", **options)
    made.add_row(DIGEST, Text("S▃ L▅ n▁ "), "≤ 8", "7.25±0.02", "★ softmax-L3")
    made.add_row("ffff0000", Text("S▃ S▃ S▃ "), "≤ 8", "12.5", style="dim")
    return made


@pytest.mark.parametrize("width", range(12, 80, 4))
def test_a_column_is_whole_or_left_out(width: int) -> None:
    lines = shown(table(keep=("digest", "measured\nms", "layers")), width)
    rows = [line for line in lines if DIGEST in line]
    assert len(rows) == 1
    assert all(len(line) <= width for line in lines)
    assert not any("…" in line for line in lines)
    assert ("7.25±0.02" in rows[0]) == (width >= 18)
    left_out = " ".join(" ".join(lines).split()).partition("too narrow for: ")[2]
    assert ("S▃ L▅ n▁" in rows[0]) == ("layers" not in left_out)


def test_the_most_needed_columns_stay() -> None:
    assert shown(table(keep=("digest", "measured\nms", "layers")), 20)[2] == f"{DIGEST} 7.25±0.02"
    assert "asked ms" in shown(table(keep=("digest", "measured\nms", "layers")), 20)[-1]


def test_no_line_ends_in_blanks() -> None:
    assert all(line == line.rstrip() for width in (30, 60, 10_000) for line in shown(table(), width))


def test_what_people_wrote_is_no_markup() -> None:
    made = PlainTable("space", "description", prose=("description",))
    made.add_row("[bold]x[/]", "a :x: of [red]mine")
    assert shown(made, 60)[1] == "[bold]x[/] a :x: of [red]mine"


def test_prose_alone_is_folded_by_words() -> None:
    made = PlainTable("space", "description", prose=("description",))
    made.add_row("tiny", "one two three four five six seven eight nine ten")
    lines = shown(made, 34)
    assert len(lines) == 3
    assert " ".join(" ".join(lines[1:]).split()) == "tiny one two three four five six seven eight nine ten"


def test_a_pipe_gets_whole_rows(capsys: pytest.CaptureFixture[str]) -> None:
    made = PlainTable("name", "text")
    made.add_row("x" * 300, "y" * 300)
    result_console().print(made)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"{'x' * 300} {'y' * 300}"
