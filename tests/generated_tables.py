"""Tables in the formats of HW-GPT-Bench and HAT, made up by seed: what published tables show, on any machine.

A device's latency is a sum over blocks whose prices are a counted roofline's, times what all devices share,
times what is its own; each row is off by about 1%, and a stretch of the measured order is slower.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from predictors.design import Design
from predictors.prior import counted_prior
from predictors.tables import read_table

Row = dict[str, Any]

NOISE = 0.01
SLOWER = 1.22
"""By which a device is slower for a while."""


def write_table(path: Path, rows: Sequence[Row]) -> Path:
    """Rows as CSV, gzipped where the path ends so."""
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def hwgpt_table(path: Path, devices: Sequence[str], rows: int = 600, seed: int = 0) -> Path:
    """One file, a column a device, each measured in its own order and slower for a tenth of the time."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(rows):
        depth = int(rng.choice([6, 8, 10]))
        heads, ratios = rng.choice([2, 4, 6], depth), rng.choice([2, 3, 4], depth)
        made.append(
            {
                "embed_dim": int(rng.choice([192, 384, 768])),
                "n_layer": depth,
                "n_head": "-".join(map(str, heads)),
                "mlp_ratio": "-".join(map(str, ratios)),
                "bias": int(rng.integers(2)),
                "perplexity": round(20 + 100 / (depth + heads.mean() + ratios.mean()), 4),
            }
        )
    for device in devices:
        for row, latency in zip(made, rng.uniform(1, 2, rows), strict=True):
            row[f"{device}:latency_ms"] = latency  # until it is known what the rows contain
    table = read_table(write_table(path, made))
    latencies = _latencies(table.design, [table.devices[d].population for d in devices], rng)
    for device, latency in zip(devices, latencies, strict=True):
        order = rng.permutation(rows)
        slow = (order > 0.4 * rows) & (order < 0.5 * rows)
        for row, ms, place, factor in zip(made, latency, order, np.where(slow, SLOWER, 1.0), strict=True):
            row[f"{device}:latency_ms"] = ms * factor
            row[f"{device}:order"] = int(place)
    return write_table(path, made)


def hat_tables(folder: Path, devices: Sequence[str], rows: int = 1500, seed: int = 0) -> list[Path]:
    """A file a device, in measured order; each is slower from row 1,263 to row 1,500, or to its end."""
    rng = np.random.default_rng(seed)
    paths, latencies = [folder / f"{device}.csv" for device in devices], []
    made = {path: [_hat_row(rng) for _ in range(rows)] for path in paths}
    table = read_table(*(write_table(path, made[path]) for path in paths))
    latencies = _latencies(table.design, [table.devices[d].population for d in devices], rng)
    slow = (np.arange(rows) >= 1263) & (np.arange(rows) < 1500)
    for path, latency in zip(paths, latencies, strict=True):
        for row, ms in zip(made[path], latency * np.where(slow, SLOWER, 1.0), strict=True):
            row |= {"latency_mean_encoder": 0.1 * ms, "latency_mean_decoder": 0.9 * ms}
        write_table(path, made[path])
    return paths


def _hat_row(rng: np.random.Generator) -> Row:
    layers = int(rng.integers(1, 7))

    def mean(options: Sequence[int], of: int) -> float:
        return float(rng.choice(options, of).mean())

    return {
        "encoder_embed_dim": int(rng.choice([512, 640])),
        "encoder_layer_num": 6,
        "encoder_ffn_embed_dim_avg": mean([1024, 2048, 3072], 6),
        "encoder_self_attention_heads_avg": mean([4, 8], 6),
        "decoder_embed_dim": int(rng.choice([512, 640])),
        "decoder_layer_num": layers,
        "decoder_ffn_embed_dim_avg": mean([1024, 2048, 3072], layers),
        "decoder_self_attention_heads_avg": mean([4, 8], layers),
        "decoder_ende_attention_heads_avg": mean([4, 8], layers),
        "decoder_arbitrary_ende_attn_avg": mean([1, 2, 3], layers),
        "latency_mean_encoder": rng.uniform(1, 2),
        "latency_mean_decoder": rng.uniform(1, 2),
    }


def _latencies(
    design: Design, populations: Sequence[np.ndarray], rng: np.random.Generator
) -> list[np.ndarray]:
    """(n,) ms of each device's rows."""
    shared = np.exp(0.4 * rng.standard_normal(len(design.names)))
    made = []
    for number, rows in enumerate(populations):
        own = np.exp(0.05 * rng.standard_normal(len(shared)))
        exact = design.counts(rows) @ (counted_prior(design).mean * shared * own) * (number + 1)
        made.append(exact / exact.mean() * 10 * np.exp(NOISE * rng.standard_normal(len(rows))))
    return made
