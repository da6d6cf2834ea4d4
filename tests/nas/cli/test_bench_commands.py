"""`nas bench`, thin over functions that are tested beside them."""

import csv
import json
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[4] / "shared"


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
def test_strategies_are_compared(nas, tmp_path):
    problem = SHARED / "benchmarks" / "search_problem.py"
    arguments = [
        "--problem",
        str(problem),
        "--strategies",
        "random,local",
        "--budgets",
        "10,20",
        "--seeds",
        "2",
    ]
    answer = nas("bench", "search", *arguments, "--json", "out.json", "--plot", "curves.html")
    assert answer.code == 0, answer.err
    written = json.loads((tmp_path / "out.json").read_text())
    assert list(written["strategies"]) == ["random", "local"]
    assert all(f"{found['median'][0]:.4f}" in answer.out for found in written["strategies"].values())
    assert "<html" in (tmp_path / "curves.html").read_text()[:200]


def test_predictors_are_judged_on_a_table(nas, tmp_path):
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
    arguments = ["--table", "table.csv", "--samples", "3", "--seeds", "1", "--predictors", "macs,additive"]
    answer = nas("bench", "predictor", *arguments, "--json", "out.json")
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
