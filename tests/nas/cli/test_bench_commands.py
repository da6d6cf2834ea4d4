"""`nas bench`, thin over functions that are tested beside them."""

import csv
import json
import time
from pathlib import Path

import pytest

from nas.cli.bench import app


def test_strategies_are_compared_on_the_problem_that_ships(nas, tmp_path):
    arguments = ["--strategies", "random,local", "--budgets", "10,20", "--seeds", "2"]
    answer = nas("bench", "search", *arguments, "--out", "out.json", "--plot", "curves.html")
    assert answer.code == 0, answer.err
    written = json.loads((tmp_path / "out.json").read_text())
    assert list(written["strategies"]) == ["random", "local"]
    assert all(f"{found['median'][0]:.4f}" in answer.out for found in written["strategies"].values())
    assert "<html" in (tmp_path / "curves.html").read_text()[:200]
    again = json.loads(nas("bench", "search", *arguments, "--json").out)
    assert again["strategies"]["random"]["median"] == written["strategies"]["random"]["median"]


def lab_table(tmp_path: Path) -> None:
    """table.csv, of one device named lab."""
    rows = [
        {
            "embed_dim": width,
            "n_layer": 2,
            "n_head": "4-4",
            "mlp_ratio": f"{first}-{second}",
            "lab:latency_ms": width * (4 + first + second) / 100,
        }
        for width in (128, 256, 384, 512)
        for first in (2, 3, 4)
        for second in (2, 3, 4)
    ]
    with (tmp_path / "table.csv").open("w") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def test_predictors_are_scored_on_a_table(nas, tmp_path):
    lab_table(tmp_path)
    arguments = ["--table", "table.csv", "--samples", "3", "--seeds", "1", "--predictors", "macs,additive"]
    answer = nas("bench", "predictor", *arguments, "--out", "out.json")
    assert answer.code == 0, answer.err
    written = json.loads((tmp_path / "out.json").read_text())
    assert {row["predictor"] for row in written["rows"]} == {"macs", "additive"}
    assert "lab" in answer.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["search", "--strategies", "nothing"], "accepted: "),
        (["search", "--budgets", "many"], "--budgets"),
        (["predictor", "--table", "nowhere.csv"], "nowhere.csv"),
        (["predictor", "--table", "nowhere.csv", "--predictors", "nothing"], "accepted: "),
    ],
)
def test_mistakes_are_named(nas, arguments, told):
    answer = nas("bench", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert told in answer.err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--devices", "toaster"),
        ("--devices", ""),
        ("--prior-devices", "lab,toaster"),
        ("--samples", "0"),
        ("--samples", "1000"),
        ("--samples", "few"),
        ("--drift", "wish"),
        ("--drift", "controls"),
        ("--predictors", "tarot"),
    ],
)
def test_a_mistake_in_an_option_is_not_the_tables(nas, tmp_path, option, value):
    lab_table(tmp_path)
    answer = nas("bench", "predictor", "--table", "table.csv", option, value)
    assert (answer.code, answer.out) == (2, "")
    assert option in answer.err
    assert "--table" not in answer.err


BENCHES = [command.name or command.callback.__name__ for command in app.registered_commands]
NEEDED = {"predictor": ["--table", "table.csv"], "start": ["model"], "ranking": ["hybrid-lm"]}


@pytest.mark.parametrize(
    ("command", "option"),
    [*((name, "--out") for name in BENCHES), ("search", "--plot"), ("ranking", "--picture")],
)
def test_where_the_answer_cannot_be_written_is_told_before_anything_is_done(nas, tmp_path, command, option):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for out, code in (("folder", 2), ("file/deep/out.json", 7)):
        answer = nas("bench", command, *NEEDED.get(command, []), option, out)
        assert (answer.code, answer.out) == (code, "")
        assert out in answer.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"], "and nothing was made"


def test_real_targets_are_profiled_and_scored_and_never_measured_twice(nas, tmp_path):
    """Two targets, by this machine's own worker process."""
    (tmp_path / "tiny.yaml").write_text(
        "{name: tiny, vocabulary: 256, context: 64, width: [16], depth: [1, 2],"
        " layer: {mixer: [softmax, none], heads: [2], ratio: [1, 2]}}"
    )
    targets = [f"local-cpu/{name}/fp32/1t/prefill/b1/n32" for name in ("onnxruntime", "torch")]
    arguments = ["--space", "tiny.yaml", "--targets", ",".join(targets), "--learn", "4", "--holdout", "3"]
    arguments += ["--samples", "2,4", "--seeds", "1", "--out", "out.json"]
    answer = nas("bench", "devices", *arguments)
    assert answer.code == 0, answer.err
    written = json.loads((tmp_path / "out.json").read_text())
    assert [(t["target"], t["learned"], t["held_out"]) for t in written["targets"]] == [
        (target, 4, 3) for target in targets
    ]
    assert {(row["device"], row["samples"]) for row in written["rows"]} == {
        (target, n) for target in targets for n in (2, 4)
    }
    assert all(target in answer.out for target in targets)
    before = [json.loads(nas("measurements", target, "--json").out) for target in targets]
    assert nas("bench", "devices", *arguments).code == 0
    assert [json.loads(nas("measurements", target, "--json").out) for target in targets] == before


@pytest.mark.slow
def test_a_space_is_judged_in_three_minutes(nas, tmp_path):
    """On two processors that nothing else uses."""
    begun = time.monotonic()
    answer = nas("bench", "ranking", "hybrid-lm", "--quick", "--out", "told.json", "--picture", "told.svg")
    assert answer.code == 0, answer.err
    assert time.monotonic() - begun < 180
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["alone"] == 12
    assert {row["score"] for row in told["scores"]} >= {
        "supernet",
        "predicted when delivered",
        "first gradient",
    }
    assert (tmp_path / "told.svg").read_text().count("<title>") >= 2 * 12
    again = nas("bench", "ranking", "hybrid-lm", "--quick", "--json")
    assert json.loads(again.out)["models"] == told["models"], "the same job, and nothing is trained twice"


@pytest.mark.slow
def test_models_are_exported_in_three_minutes(nas, tmp_path):
    """On two processors that nothing else uses; what is missed ends with 1."""
    begun = time.monotonic()
    answer = nas("bench", "export", "hybrid-lm", "--quick", "--out", "told.json")
    assert time.monotonic() - begun < 180
    told = json.loads((tmp_path / "told.json").read_text())
    assert answer.code == (0 if all(goal["met"] for goal in told["goals"]) else 1)
    assert {row["runtime"] for row in told["engines"]} >= {"onnxruntime", "torch"}
    assert len(told["budgets"]) == 4


def test_mixers_are_told_beside_softmax(nas, tmp_path):
    answer = nas("bench", "attention", "--quick", "--mixers", "pool", "--out", "out.json")
    assert answer.code == 0, answer.err
    assert "softmax" in answer.out
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert {row["mixer"] for row in rows} == {"softmax", "pool"}
    assert nas("bench", "attention", "--mixers", "flash").code == 2
