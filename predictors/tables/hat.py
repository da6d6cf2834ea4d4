"""Tables of HAT (Wang et al., 2020): encoder-decoder transformers, a file a device, in measured order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from predictors.design import Design, Matrix
from predictors.errors import PredictorError
from predictors.tables.columns import Columns, numbers
from predictors.tables.table import Table, device_rows
from searchspaces.costs import WORK
from searchspaces.encoding import Population

__all__ = ["REQUIRED", "HatDesign", "table"]

FEATURES = (
    "encoder_embed_dim",
    "encoder_layer_num",
    "encoder_ffn_embed_dim_avg",
    "encoder_self_attention_heads_avg",
    "decoder_embed_dim",
    "decoder_layer_num",
    "decoder_ffn_embed_dim_avg",
    "decoder_self_attention_heads_avg",
    "decoder_ende_attention_heads_avg",
    "decoder_arbitrary_ende_attn_avg",
)
LATENCIES = ("latency_mean_encoder", "latency_mean_decoder")
REQUIRED = FEATURES + LATENCIES
TOKENS = 30
"""Source and target length of HAT's latency measurements; the decoder takes one token at a time."""
HEADS_WIDTH = 512
"""Width of all heads together, whatever the model's width."""


class HatDesign(Design):
    """What averages over layers still tell: layers × their average is the sum over layers.

    Args:
        options: (distinct values,) of each of `FEATURES`; a population holds their indices.
    """

    def __init__(self, options: Mapping[str, np.ndarray[tuple[int], np.dtype[np.float64]]]) -> None:
        self._options = options
        terms: list[tuple[str, str, float]] = [("base", "base", 0.0)]
        for side, kinds in (
            ("encoder", ("layer", "ffn", "heads")),
            ("decoder", ("layer", "ffn", "heads", "cross", "arbitrary")),
        ):
            widths = options[f"{side}_embed_dim"].tolist()
            terms += [(side, kind, width) for kind in kinds for width in widths]
        self._terms = terms
        self.names = tuple(f"{side}/{kind}/d{width:g}" for side, kind, width in terms)
        self.families = tuple(f"{side}/{kind}" for side, kind, _ in terms)

    def values(self, population: Population) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
        """(n,) of each feature."""
        return {name: self._options[name][population[:, i]] for i, name in enumerate(FEATURES)}

    def counts(self, population: Population) -> Matrix:
        """(n, terms): layers, and sums over layers of F/1024, heads and attended encoder layers, each in the
        column of its side's width."""
        value = self.values(population)
        per_layer = {
            ("encoder", "layer"): np.ones(len(population)),
            ("encoder", "ffn"): value["encoder_ffn_embed_dim_avg"] / 1024,
            ("encoder", "heads"): value["encoder_self_attention_heads_avg"],
            ("decoder", "layer"): np.ones(len(population)),
            ("decoder", "ffn"): value["decoder_ffn_embed_dim_avg"] / 1024,
            ("decoder", "heads"): value["decoder_self_attention_heads_avg"],
            ("decoder", "cross"): value["decoder_ende_attention_heads_avg"],
            ("decoder", "arbitrary"): value["decoder_arbitrary_ende_attn_avg"],
        }
        columns = [np.ones(len(population))]
        for side, kind, width in self._terms[1:]:
            of_width = value[f"{side}_embed_dim"] == width
            columns.append(per_layer[side, kind] * value[f"{side}_layer_num"] * of_width)
        return np.stack(columns, axis=1)

    @property
    def work(self) -> Matrix:
        """(terms, len(WORK)); a decoder's is that of `TOKENS` steps."""
        table = np.zeros((len(self._terms), len(WORK)))
        for row, (side, kind, width) in zip(table, self._terms, strict=True):
            calls = {"layer": 20, "base": 10}.get(kind, 0) * (TOKENS if side == "decoder" else 1)
            attended = TOKENS * TOKENS * HEADS_WIDTH / 8
            macs = {
                "layer": TOKENS * 4 * width * HEADS_WIDTH * (2 if side == "decoder" else 1),
                "ffn": TOKENS * 2 * width * 1024,
                "arbitrary": TOKENS * 2 * width * HEADS_WIDTH,
            }.get(kind, 0)
            row[WORK.index("calls")] = calls
            row[WORK.index("matmul_macs")] = macs
            row[WORK.index("weight_elements")] = macs * (1 if side == "decoder" else 1 / TOKENS)
            if kind in ("heads", "cross"):
                row[WORK.index("attention_macs")] = 2 * attended
                row[WORK.index("attention_elements")] = 2 * attended
        return table

    def flat(self, population: Population) -> Matrix:
        """(n, 10) HAT's own features."""
        return np.stack(list(self.values(population).values()), axis=1)


def table(files: Mapping[Path, Columns]) -> Table:
    """The table of one or more files; latency is the encoder's and the decoder's together.

    Raises:
        PredictorError: a file lacks a column, or nothing is usable.
    """
    notes: list[str] = []
    features: dict[Path, Matrix] = {}
    for path, columns in files.items():
        missing = [name for name in REQUIRED if name not in columns]
        if missing:
            raise PredictorError(f"{path}: no columns {missing}")
        features[path] = np.stack([numbers(columns, name) for name in FEATURES], axis=1)
    readable = {path: np.isfinite(x).all(1) & (x > 0).all(1) for path, x in features.items()}
    everything = np.concatenate([features[path][readable[path]] for path in files])
    if not len(everything):
        raise PredictorError(f"{', '.join(map(str, files))}: no row's architecture can be read")
    options = {name: np.unique(everything[:, i]) for i, name in enumerate(FEATURES)}
    rows = {}
    for path, columns in files.items():
        kept = readable[path]
        device = path.name.removesuffix(".gz").removesuffix(".csv")
        if device in rows:
            raise PredictorError(f"{path}: a second file of device {device}; accepted: one file per device")
        if not kept.all():
            notes.append(f"{device}: {(~kept).sum()} rows whose architecture cannot be read are left out")
        population = np.stack(
            [np.searchsorted(options[name], features[path][kept, i]) for i, name in enumerate(FEATURES)],
            axis=1,
        )
        parts = np.stack([numbers(columns, name)[kept] for name in LATENCIES])
        latency = np.where((parts >= 0).all(0) | np.isnan(parts).any(0), parts.sum(0), -1.0)
        found = device_rows(device, population, latency, np.arange(len(latency), dtype=float), notes)
        if found is not None:
            rows[device] = found
    if not rows:
        raise PredictorError(f"no device is usable: {'; '.join(notes)}")
    return Table(", ".join(path.name for path in files), HatDesign(options), rows, tuple(notes))
