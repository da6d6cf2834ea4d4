"""How the latency of one layer grows with the sequence, for each token mixer of a space.

A layer is what a model runs: norm, projections, rotary positions, mixer, residual. It is exported to
ONNX and run by onnxruntime on one thread. Times are processor time relative to a reference model; it and
every length are called in turns, so that ratios hold on a busy machine: timed one length after another, a
mixer once seemed to grow 6.5× that grows 4.0×. Softmax is masked whole here; `benchmarks/kernels.py` has it
at its best.

    python benchmarks/mixers.py                     # about 3 minutes
    python benchmarks/mixers.py --widths 256 --mixers softmax linear --lengths 1024 4096
    python benchmarks/mixers.py --dynamo            # by torch.export instead of tracing; adds a minute

Exits with 1 where a goal is missed: from N = 1024 to N = 4096 every mixer but softmax grows at most
5×, and at N = 4096 it is faster than softmax.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import torch
from onnxscript import optimizer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from nas.export.carried import with_carried
from nas.export.library import OPSET
from nas.export.reference import reference_model
from searchspaces import NO_MIXER, Architecture, Layer, load_space
from searchspaces.blocks import mix_tokens, positioned
from searchspaces.rotary import rotary
from searchspaces.submodel import Submodel
from workers.clocks import ProcessorClocks
from workers.timing import calibrate

LARGEST_GROWTH = 5.0
SECONDS, FEWEST = 4.0, 5
"""Of turns a mixer, and how many there are at least."""


class OneLayer(nn.Module):
    """x (B, N, D) → x plus what the token mixer adds."""

    def __init__(self, mixer: str, width: int, heads: int, conv: int) -> None:
        super().__init__()
        self.layer, self.head_size = Layer(mixer, heads, conv=conv), width // heads
        torch.manual_seed(0)
        self.weights = Submodel(Architecture(2, width, (self.layer,))).layers[0]

    def forward(self, x: Tensor) -> Tensor:
        turns = rotary(torch.arange(x.shape[1]), self.head_size) if positioned(self.layer) else None
        return x + mix_tokens(x, self.layer, dict(self.weights.named_parameters()), turns)


def exported(model: OneLayer, width: int, dynamo: bool) -> bytes:
    """An ONNX file of any batch and length."""
    example, file = torch.zeros(2, 320, width), io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        if dynamo:
            sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
            torch.onnx.export(
                model, (example,), file, dynamo=True, input_names=["x"], dynamic_shapes=[sizes], verbose=False
            )
            return file.getvalue()
        axes = {0: "batch", 1: "length"}
        torch.onnx.export(
            model,
            (example,),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": axes, "y": axes},
        )
    traced = with_carried(onnx.load_model_from_string(file.getvalue()), OPSET)
    return bytes(optimizer.optimize(traced).SerializeToString())


def session_of(file: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def latencies(model: OneLayer, width: int, lengths: list[int], dynamo: bool) -> tuple[list[float], float]:
    """Each length's time over the reference's, which is of 1024 tokens, and the last one's over that of the
    length before; the export's outputs are checked."""
    session, reference = session_of(exported(model, width, dynamo)), session_of(reference_model())
    tokens = {"tokens": np.zeros((1, 1024), dtype=np.int64)}
    calls: list[Callable[[], object]] = [lambda: reference.run(None, tokens)]
    for length in lengths:
        x = np.random.default_rng(length).standard_normal((1, length, width)).astype(np.float32)
        with torch.inference_mode():
            wanted = model(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, atol=1e-4)
        calls.append(lambda x=x: session.run(None, {"x": x}))
    turns, end = [], time.monotonic() + SECONDS
    while len(turns) < FEWEST or time.monotonic() < end:
        turns.append([_timed(call) for call in calls])
    taken = np.array(turns)
    ratios = np.median(taken[:, 1:] / taken[:, :1], axis=0)
    growth = float(np.median(taken[:, -1] / taken[:, -2])) if len(lengths) > 1 else float("nan")
    return ratios.tolist(), growth


def _timed(call: Callable[[], object]) -> float:
    begun = time.thread_time()
    call()
    return time.thread_time() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--space", default="hybrid-lm", help="whose mixers; default %(default)s")
    parser.add_argument("--mixers", nargs="+", help="options instead of the space's")
    parser.add_argument("--widths", nargs="+", type=int, default=[128, 256], help="D; default %(default)s")
    parser.add_argument("--heads", type=int, default=4, help="H; default %(default)s")
    parser.add_argument("--conv", type=int, default=0, help="taps of short convolutions; default %(default)s")
    parser.add_argument(
        "--lengths", nargs="+", type=int, default=[256, 1024, 4096], help="N; default %(default)s"
    )
    parser.add_argument("--dynamo", action="store_true", help="export by torch.export instead of tracing")
    asked = parser.parse_args()
    mixers = asked.mixers or [x for x in load_space(asked.space).spec.layer.mixer if x != NO_MIXER]
    torch.set_num_threads(1)

    tokens = {"tokens": np.zeros((1, 1024), dtype=np.int64)}
    reference = session_of(reference_model())
    reference_ms = calibrate(lambda: reference.run(None, tokens), ProcessorClocks.for_threads(1))
    console, missed = Console(), []
    for width in asked.widths:
        title = f"One layer, D {width}, H {asked.heads}, 1 thread, ms (reference model {reference_ms:.2f} ms)"
        table = Table("mixer", *(f"N {n}" for n in asked.lengths), "growth", "softmax takes", title=title)
        softmax: float | None = None
        for mixer in mixers:
            layer = OneLayer(mixer, width, asked.heads, asked.conv)
            ratios, growth = latencies(layer, width, asked.lengths, asked.dynamo)
            if mixer == "softmax":
                softmax = ratios[-1]
            elif asked.lengths[-2:] == [1024, 4096]:
                if growth > LARGEST_GROWTH:
                    missed.append(f"{mixer}, D {width}: grows {growth:.2f}× from 1024 to 4096")
                if softmax is not None and ratios[-1] >= softmax:
                    missed.append(f"{mixer}, D {width}: not faster than softmax at 4096")
            faster = f"{softmax / ratios[-1]:.1f}×" if softmax is not None else "-"
            table.add_row(mixer, *(f"{r * reference_ms:.2f}" for r in ratios), f"{growth:.2f}×", faster)
        console.print(table)
    for miss in missed:
        console.print(f"[red]missed[/red] {miss}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
