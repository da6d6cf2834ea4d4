"""What a newcomer may type: the one message that it gets, and the exit code."""

from __future__ import annotations

import pytest

from tests.nas.cli.conftest import nas

__all__ = ["nas"]

MOST = 2**31 - 1

CASES: dict[str, tuple[list[str], int, str]] = {
    "a target of more tokens than any message holds": (
        ["measurements", "phone/openvino/fp32/1t/prefill/b1/n99999999999999999999"],
        2,
        f"tokens is 99999999999999999999; accepted: 1 to {MOST}",
    ),
    "a target of nothing": (
        ["measurements", "phone/openvino/fp32/0t/prefill/b1/n64"],
        2,
        f"threads is 0; accepted: 1 to {MOST}",
    ),
    "a reason of 100 KB": (
        ["measurements", "forget", "phone/openvino/fp32/1t/prefill/b1/n64", "--why", "w" * 100_000],
        2,
        "why: a text of 100000 characters; accepted: at most 4096",
    ),
    "a service by its URL": (
        ["--server", "http://lab:7070", "jobs"],
        2,
        "server: 'http://lab:7070' is not an address; accepted: HOST:PORT, with a port from 1 to 65535",
    ),
    "a service without a host": (["--server", ":7070", "jobs"], 2, "':7070' is not an address"),
    "a worker for a name that there cannot be": (
        ["worker", "--connect", "nowhere..:1"],
        2,
        "'nowhere..:1' is not an address",
    ),
    "a table that never ends": (
        ["bench", "predictor", "--table", "/dev/zero"],
        2,
        "/dev/zero: is not a regular file; accepted: a table in CSV",
    ),
    "a port that there is not": (["--server", "lab:99999", "health"], 2, "'lab:99999' is not an address"),
    "a limit that is none": (["serve", "--most-tokens", "inf"], 2, "--most-tokens"),
    "as much memory as there never was": (["serve", "--most-memory", "inf"], 2, "--most-memory"),
    "an export into a folder that is not there": (
        ["export", "latest", "--to", "parquet", "--out", "nowhere/points.parquet"],
        2,
        "--out: nowhere/points.parquet would lie in nowhere; accepted: a file in a folder that exists",
    ),
    "a study in a file that is something else": (
        ["export", "latest", "--to", "optuna", "--out", "notes.txt"],
        2,
        "--out: notes.txt is no SQLite database; accepted: one, or a new file",
    ),
    "an export under a name that no folder takes": (
        ["export", "latest", "--to", "parquet", "--out", "x" * 300],
        2,
        "cannot be written: File name too long; accepted: a file",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_command_is_answered_with_one_message(case: str, nas, tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("no database\n" * 10)
    arguments, code, message = CASES[case]
    answer = nas(*arguments)
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err
    assert "Traceback" not in answer.err
