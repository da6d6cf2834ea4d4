"""Results of benchmarks as people read them in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from statistics import median
from typing import Any

from rich.text import Text

from nas.cli.plain_table import PlainTable
from nas.report.numbers import readable_bytes

__all__ = [
    "attention_tables",
    "export_tables",
    "mixing_tables",
    "predictor_table",
    "profiled_table",
    "ranking_tables",
    "search_table",
    "start_table",
]

SCORES = ("±10%", "±5%", "MAPE", "Spearman", "coverage 90%", "fit ms", "predict/s")


def predictor_table(result: Mapping[str, Any]) -> PlainTable:
    """One row for each way of handling drift, predictor and number of samples: each device, then the mean."""
    table = PlainTable(
        "drift",
        "predictor",
        "samples",
        "device",
        *SCORES,
        right=("samples", *SCORES),
        keep=("predictor", "samples", "device", "±10%", "MAPE", "drift", "±5%", "Spearman", "coverage 90%"),
    )
    table.title = Text(f"{result['table']}, {result['seeds']} seeds")
    for (drift, name, samples), rows in groupby(sorted(result["rows"], key=_setting), key=_setting):
        for row in rows:
            table.add_row(drift, name, str(samples), row["device"], *_scores(row), style="dim")
        for mean in result["means"]:
            if _setting(mean) == (drift, name, samples):
                table.add_row(drift, name, str(samples), "mean", *_scores(mean), style="bold")
    return table


def profiled_table(result: Mapping[str, Any]) -> PlainTable:
    """One row a target: what was measured on it."""
    numbers = ("learned", "of them blocks", "held out", "least ms", "most ms", "noisy", "corrected")
    table = PlainTable("target", *numbers, right=numbers)
    for target in result["targets"]:
        table.add_row(
            target["target"],
            str(target["learned"]),
            str(target["single_blocks"]),
            str(target["held_out"]),
            f"{target['least_ms']:.2f}",
            f"{target['most_ms']:.2f}",
            str(target["noisy"]),
            str(target["corrected"]),
        )
    return table


def _setting(row: Mapping[str, Any]) -> tuple[str, str, int]:
    return row["drift"], row["predictor"], row["samples"]


def _scores(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['within_10']:.1%}",
        f"{row['within_5']:.1%}",
        f"{100 * row['mape']:.2f}",
        f"{row['spearman']:.3f}",
        f"{row['coverage_90']:.1%}",
        f"{row['fit_ms']:.1f}",
        f"{row['predict_per_s']:,.0f}",
    ]


def mixing_tables(result: Mapping[str, Any]) -> list[PlainTable]:
    """What a mixed front is worth over each other, and what placements of softmax score."""
    fronts = PlainTable("front", "hypervolume", "mixed over it", right=("hypervolume", "mixed over it"))
    fronts.title = Text(f"{result['task']}, {result['tokens']} tokens, members trained alone")
    for name, volumes in result["volumes"].items():
        ratio = result["ratios"].get(name)
        fronts.add_row(
            name, f"{sum(volumes) / len(volumes):.3f}", "–" if ratio is None else _with_error(ratio)
        )
    placed = PlainTable("placement", result["metric"], "layers", right=(result["metric"],))
    for name, found in result["placements"].items():
        layers = "; ".join(",".join(map(str, at)) for at in found["layers"])
        placed.add_row(name, _with_error(found["test"]), layers)
    return [fronts, placed]


def _with_error(value: Mapping[str, float | None]) -> str:
    error = value["standard_error"]
    return f"{value['mean']:.3f}" + ("" if error is None else f" ± {error:.3f}")


def ranking_tables(result: Mapping[str, Any]) -> list[PlainTable]:
    """How well each score ranks, and every model alone and before."""
    names = ("tau", "better half", "Spearman", "better half ")
    scores = PlainTable("score", *names, right=names)
    seeds = "" if result["seed_error"] is None else f", standard error of seeds {result['seed_error']:.4f}"
    scores.title = Text(
        f"{result['alone']} models of {result['job']}, {result['steps']} steps alone: they span "
        f"{result['spread']:.3f} {result['metric']}, the better half {result['spread_upper']:.3f}{seeds}"
    )
    keys = ("tau", "tau_upper", "spearman", "spearman_upper")
    for row in result["scores"]:
        scores.add_row(row["score"], *("–" if row[key] is None else f"{row[key]:.2f}" for key in keys))
    numbers = ("alone", "supernet", "worse by", "predicted by the others")
    models = PlainTable("digest", *numbers, "", right=numbers)
    for row in sorted(result["models"], key=lambda row: row["alone"]):
        models.add_row(
            row["digest"][:8],
            f"{row['alone']:.3f}",
            f"{row['supernet']:.3f}",
            f"{row['worse_in_supernet']:.1%}",
            f"{row['predicted']:.3f}±{row['predicted_std']:.3f}",
            f"★ {row['preset']}" if row["preset"] else "",
        )
    models.caption = Text("\n".join(_ranking_notes(result)))
    return [scores, models]


def _ranking_notes(result: Mapping[str, Any]) -> list[str]:
    """What stands below the models."""
    notes = [f"the largest is {result['largest']['worse_in_supernet']:.1%} worse in the supernet than alone"]
    if result["granularities"]:
        gaps = ", ".join(f"{row['preset']} {row['worse_in_supernet']:.1%}" for row in result["granularities"])
        notes.append(f"MatFormer's granularities are worse there by: {gaps}")
    for row in result["mixed"]:
        better = row["better"]
        told = f"{better['supernet']:+.4f} in the supernet, {better['alone']:+.4f} alone"
        notes.append(
            f"{row['preset']} is better than {row['beside']}, as large, by {told} {result['metric']}"
        )
    if result.get("held_out") is not None:
        notes.append(_held_out(result["held_out"]))
    return notes


def _held_out(told: Mapping[str, Any]) -> str:
    """Of models that were predicted from others."""
    taus = {
        of: " and ".join(_or_dash(told[of][key], "{:.2f}".format) for key in ("tau", "tau_upper"))
        for of in ("predicted", "supernet")
    }
    return (
        f"predicted from {told['taught']} models the {told['held_out']} others rank with tau "
        f"{taus['predicted']} (supernet {taus['supernet']}); they are off by {told['error']:.3f}, "
        f"{told['deviation']:.3f} is stated, {told['within_one']:.0%} are within one such deviation, "
        f"{told['within_two']:.0%} within two"
    )


def export_tables(result: Mapping[str, Any]) -> list[PlainTable]:
    """Every model in every engine, in every format, within budgets; and what was wanted of it."""
    decoded = [f"token\nat {tokens}\nms" for tokens in result["contexts"]]
    numbers = ("size", "seconds", "difference", "loss", "change", "prefill\nms", *decoded, "memory")
    engines = PlainTable("model", "engine", *numbers, right=numbers)
    engines.title = Text(f"models of {result['job']} on {result['device']}, prefill of {result['prefill']}")
    for row in result["engines"]:
        name = row["digest"][:8], f"{row['runtime']}/{row['dtype']}"
        known = {key: row.get(key) for key in ("difference", "loss", "prefill_ms")}
        change = None if row.get("loss") is None else row["loss"] - row["loss_before"]
        engines.add_row(
            *name,
            _or_dash(row.get("bytes"), readable_bytes),
            _or_dash(row.get("seconds_to_convert"), "{:.1f}".format),
            _or_dash(known["difference"], "{:.1e}".format),
            _or_dash(known["loss"], "{:.4f}".format),
            _or_dash(change, "{:+.4f}".format),
            _or_dash(known["prefill_ms"], "{:.2f}".format),
            *(_or_dash(row.get("decode_ms", {}).get(str(n)), "{:.3f}".format) for n in result["contexts"]),
            _or_dash(row.get("peak_memory_bytes"), readable_bytes),
        )
    formats = PlainTable("model", "format", "size", "seconds", "difference", right=("size", "seconds"))
    for row in result["formats"]:
        formats.add_row(
            row["digest"][:8],
            row["format"],
            _or_dash(row.get("bytes"), readable_bytes),
            _or_dash(row.get("seconds_to_convert"), "{:.1f}".format),
            _or_dash(row.get("difference"), "{:.1e}".format),
        )
    columns = ("asked ms", "predicted", "said", "measured", "off")
    budgets = PlainTable(*columns, "model", right=columns)
    budgets.title = Text(result["target"])
    for row in result["budgets"]:
        times = (f"{row[key]:.3f}" for key in ("asked_ms", "predicted_ms", "said_ms", "measured_ms"))
        budgets.add_row(*times, f"{row['off']:.1%}", row["digest"][:8])
    goals = PlainTable("", "goal", "found", "at most", right=("found", "at most"))
    for goal in result["goals"]:
        found = _or_dash(goal["value"], "{:.3g}".format)
        goals.add_row("✔" if goal["met"] else "✘", goal["name"], found, f"{goal['limit']:g}")
    failed = [row for row in (*result["engines"], *result["formats"]) if "failed" in row]
    if failed:
        goals.caption = Text(
            "\n".join(f"{row.get('format') or row['runtime']}: {row['failed']}" for row in failed)
        )
    return [engines, formats, budgets, goals]


def _or_dash(value: Any, written: Callable[[Any], str]) -> str:
    return "–" if value is None else written(value)


def start_table(result: Mapping[str, Any]) -> PlainTable:
    """One row a level and model: what it takes, and how much worse than the parent it predicts."""
    columns = ("of parent", "ms", "perplexity", "over parent", "healed", "over parent ", "said ms", "seconds")
    settings, parent = result["settings"], result["rows"][0]["perplexity"]
    also = [f"ms at {workload}" for workload in settings["also"]]
    table = PlainTable("level", "model", *columns, *also, right=[*columns, *also])
    tokens, steps = settings["evaluated"], settings["heal"]
    healing = f", healed for {steps} steps" if steps else ""
    table.title = Text(f"{result['target']}, {tokens:,} tokens of test text{healing}")
    for row in result["rows"]:
        plain, healed = row["perplexity"], row.get("healed")
        table.add_row(
            _or_dash(row["level"], "{}%".format),
            row["model"],
            f"{row['of_parent']:.1%}",
            f"{row['latency_ms']:,.1f}",
            _or_dash(plain, "{:,.4g}".format),
            _or_dash(None if plain is None else plain / parent, "{:,.3g}".format),
            _or_dash(healed, "{:,.4g}".format),
            _or_dash(None if healed is None else healed / parent, "{:,.3g}".format),
            _or_dash(row.get("said_ms"), "{:,.1f}".format),
            _or_dash(row.get("seconds"), "{:,.0f}".format),
            *(f"{ms:,.1f}" for ms in row["also_ms"].values()),
        )
    return table


def attention_tables(result: Mapping[str, Any]) -> list[PlainTable]:
    """One for each sight, a row a mixer."""
    settings, tables = result["settings"], []
    lengths = settings["tokens"]
    for sight in dict.fromkeys(row["sight"] for row in result["rows"]):
        columns = ("error", *(f"N {n:,}" for n in lengths), "growth", "overtakes\nsoftmax at")
        table = PlainTable("mixer", *columns, right=columns, keep=("mixer", "overtakes\nsoftmax at"))
        where = f"D {settings['width']}, {settings['heads']} heads, {settings['engine']}, 1 thread, ms"
        table.title = Text(f"{sight}: {where}")
        for row in result["rows"]:
            if row["sight"] != sight:
                continue
            found, overtakes = row["latency_ms"], row.get("efficiency_length")
            always = overtakes is not None and overtakes <= lengths[0]
            table.add_row(
                row["mixer"],
                _or_dash(row.get("error"), "{:.0e}".format),
                *(_or_dash(found.get(n), "{:,.3g}".format) for n in lengths),
                _or_dash(row["growth"], "{:.1f}×".format),
                f"≤ {lengths[0]}" if always else _or_dash(overtakes, "{:,.0f}".format),
            )
        tables.append(table)
    return tables


def search_table(result: Mapping[str, Any]) -> PlainTable:
    """One row a strategy: median (least to most) hypervolume after each budget, and what thinking cost."""
    budgets = [f"after {budget}" for budget in result["budgets"]]
    table = PlainTable("strategy", *budgets, "ms/evaluation", right=(*budgets, "ms/evaluation"))
    best = result["best_known"]
    table.title = Text(f"{result['problem']}, hypervolume" + (f" (best known {best:.4f})" if best else ""))
    for name, found in result["strategies"].items():
        spread = zip(found["median"], found["least"], found["most"], strict=True)
        cells = [
            Text(f"{middle:.4f}").append(f" ({least:.4f} to {most:.4f})", "dim")
            for middle, least, most in spread
        ]
        cost = median(run["processor_ms_per_evaluation"] for run in found["runs"])
        table.add_row(name, *cells, f"{cost:.2f}")
    runs = [run for found in result["strategies"].values() for run in found["runs"]]
    if failed := sum(run["failed"] for run in runs):
        raised = f", the first with {result['error']}" if result["error"] else ""
        evaluations = sum(run["evaluations"] for run in runs)
        table.caption = Text(f"{failed} of {evaluations} evaluations failed{raised}")
    return table
