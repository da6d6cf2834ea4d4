"""Attention as a model file has it, beside what else an engine could compute it by.

Attention alone, without projections, on one thread: processor time, every kernel of a row called in turns, so
that the ratios hold on a busy machine where times do not. For each length

- softmax on a prompt: torch's causal kernel, every form that exports have (`nas.export.attention`), and
  onnxruntime's own GroupQueryAttention, which keeps keys and values; what `Runtime.attention` says is marked;
- softmax on one token after N: what exports have, beside GroupQueryAttention;
- windows and sparse attention on a prompt, beside all scores masked, which few tokens might make faster.

    python benchmarks/kernels.py                    # about 15 minutes
    python benchmarks/kernels.py --quick            # N 256 and 1,024: under 3 minutes

Exits with 1 where a goal is missed: softmax on a prompt in onnxruntime takes at most 1.3× torch's causal
kernel, one token at most 1.1× the engine's own operator, and nothing more than 1.2× its best known form.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import parser
from onnx.inliner import inline_local_functions
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from nas.export.attention import ATTENTION_DOMAIN, FORMS, Form, form_of
from nas.export.library import IR_VERSION, OPSET
from searchspaces.mixers import parse_mixer
from searchspaces.mixers.heads import HeadMixer
from workers.runtimes import parse_runtime

LENGTHS, QUICK_LENGTHS = (256, 1024, 4096, 16384), (256, 1024)
LARGEST_WHOLE = 4096
"""Tokens beyond which all scores at once do not fit into memory beside their copies."""

WINDOWS = ("window:64", "window:256", "sparse")
PREFILL_GOAL, DECODE_GOAL, FORM_GOAL = 1.3, 1.1, 1.2
ERROR = 1e-4

Arrays = Mapping[str, NDArray[np.generic]]
Kernel = Callable[[], object]


def session(model: onnx.ModelProto, inputs: Arrays) -> Kernel:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    run = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    ).run
    return lambda: run(None, inputs)[0]


def compiled(model: onnx.ModelProto, inputs: Arrays) -> Kernel:
    import openvino

    core = openvino.Core()
    hints = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    read = core.read_model(model.SerializeToString())
    request = core.compile_model(read, "CPU", hints).create_infer_request()
    return lambda: request.infer(inputs, share_inputs=True, share_outputs=True)[0]


ENGINES = {"onnxruntime": session, "openvino": compiled}


def form_file(form: Form, heads: int, size: int) -> onnx.ModelProto:
    """q, k, v → mixed, (1, H, N, K) each."""
    function = form.function(heads, size, OPSET)
    shape = f"float[1, {heads}, n, {size}]"
    imports = ", ".join(f'"{domain}" : 1' for domain in (ATTENTION_DOMAIN, *form.domains))
    model = parser.parse_model(
        f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}, {imports}]>\n'
        f"attention ({shape} q, {shape} k, {shape} v) => ({shape} mixed) {{\n"
        f"mixed = {ATTENTION_DOMAIN}.{function.name}(q, k, v)\n}}"
    )
    model.functions.append(function)
    return inline_local_functions(model)


def grouped_query_file(heads: int, size: int) -> onnx.ModelProto:
    """onnxruntime's own: tokens (1, S, H·K) on top of a cache (1, H, T, K)."""
    rows, cache = f"float[1, s, {heads * size}]", f"float[1, {heads}, t, {size}]"
    kept = f"float[1, {heads}, u, {size}]"
    return parser.parse_model(
        f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}, "com.microsoft" : 1]>\n'
        f"attention ({rows} q, {rows} k, {rows} v, {cache} past_k, {cache} past_v,\n"
        f"int32[1] last, int32 total)\n=> ({rows} mixed, {kept} next_k, {kept} next_v) {{\n"
        "mixed, next_k, next_v = "
        f"com.microsoft.GroupQueryAttention<num_heads = {heads}, kv_num_heads = {heads}>"
        "(q, k, v, past_k, past_v, last, total)\n}"
    )


def traced(compute: Callable[..., object], inputs: Mapping[str, Tensor]) -> onnx.ModelProto:
    """A computation of torch's as exports have it, of fixed sizes."""
    import io
    import warnings

    class Traced(torch.nn.Module):
        def forward(self, *values: Tensor) -> object:
            return compute(*values)

    file = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        names = list(inputs)
        torch.onnx.export(
            Traced(), tuple(inputs.values()), file, dynamo=False, opset_version=OPSET, input_names=names
        )
    return onnx.load_model_from_string(file.getvalue())


def ratios(kernels: Mapping[str, Kernel], reference: str, seconds: float) -> dict[str, float]:
    """Median of each kernel's processor time over that of `reference` in the same turn."""
    taken: dict[str, list[float]] = {name: [] for name in kernels}
    for call in kernels.values():
        call()
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(taken[reference]) < 3:
        for name, call in kernels.items():
            before = time.thread_time()
            call()
            taken[name].append(time.thread_time() - before)
    paired = {name: zip(times, taken[reference], strict=True) for name, times in taken.items()}
    return {name: statistics.median(own / other for own, other in pairs) for name, pairs in paired.items()}


class Benchmark:
    """Rows as they come, and the goals that they miss."""

    def __init__(self, heads: int, size: int, seconds: float) -> None:
        self.heads, self.size, self.seconds = heads, size, seconds
        self.table = Table("what", "N", "in units of", "ratios", title=f"{heads} heads of {size}, one thread")
        self.missed: list[str] = []

    def projected(self, tokens: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(tokens)
        shape = (1, self.heads, tokens, self.size)
        return {name: torch.randn(shape, generator=generator) for name in "qkv"}

    def row(
        self, what: str, tokens: int, kernels: Mapping[str, Kernel], chosen: str, goals: Mapping[str, float]
    ) -> None:
        """Time kernels beside the first; `goals` by name, or "best" for the quickest."""
        reference = next(iter(kernels))
        found = ratios(kernels, reference, self.seconds)
        limits = {name: found[name] for name in goals if name in found}
        if "best" in goals:
            limits["best"] = min(found[name] for name in found if name in (*FORMS, chosen, "masked"))
        for name, limit in limits.items():
            if found[chosen] > goals[name] * limit:
                said = f"{found[chosen] / limit:.2f}× of {name}, goal {goals[name]}×"
                self.missed.append(f"{what}, N {tokens}, {self.heads} heads of {self.size}: {said}")
        del found[reference]
        told = "  ".join(f"{'→' if name == chosen else ''}{name} {found[name]:.2f}" for name in found)
        self.table.add_row(what, str(tokens), reference, told)

    def prefill(self, tokens: int) -> None:
        values = self.projected(tokens)
        arrays = {name: value.numpy() for name, value in values.items()}
        with torch.inference_mode():
            expected = scaled_dot_product_attention(*values.values(), is_causal=True).numpy()

        def causal() -> object:
            with torch.inference_mode():
                return scaled_dot_product_attention(*values.values(), is_causal=True)

        for runtime, engine in ENGINES.items():
            if parse_runtime(runtime).capability() is None:
                continue
            kernels: dict[str, Kernel] = {"torch causal": causal}
            for form in FORMS.values():
                too_large = form.name == "whole" and tokens > LARGEST_WHOLE
                if too_large or (form.domains and runtime == "openvino"):
                    continue
                kernels[form.name] = engine(form_file(form, self.heads, self.size), arrays)
                np.testing.assert_allclose(kernels[form.name](), expected, atol=ERROR)
            if runtime == "onnxruntime" and tokens <= LARGEST_WHOLE:
                kernels["GroupQueryAttention"] = self.grouped_query(values, 0)
            goals = {"best": FORM_GOAL} | ({"torch causal": PREFILL_GOAL} if runtime == "onnxruntime" else {})
            chosen = form_of(parse_runtime(runtime).attention(tokens)).name
            self.row(f"softmax, {runtime}", tokens, kernels, chosen, goals)

    def grouped_query(self, values: Mapping[str, Tensor], past: int) -> Kernel:
        tokens = values["q"].shape[2]
        rows = {n: v.transpose(1, 2).reshape(1, tokens, -1).numpy() for n, v in values.items()}
        cache = {f"past_{name}": self.projected(past)[name].numpy() for name in "kv"}
        sizes = {"last": np.array([past + tokens - 1], np.int32), "total": np.array(past + tokens, np.int32)}
        return session(grouped_query_file(self.heads, self.size), {**rows, **cache, **sizes})

    def decode(self, context: int) -> None:
        mixer = parse_mixer("softmax")
        assert isinstance(mixer, HeadMixer)
        token, cache = self.projected(1), self.projected(context)
        inputs = {name: value[:, :, 0] for name, value in token.items()}
        inputs["q"] = inputs["q"].unsqueeze(2)
        inputs |= {"past_k": cache["k"], "past_v": cache["v"]}

        def step(q: Tensor, k: Tensor, v: Tensor, past_k: Tensor, past_v: Tensor) -> object:
            mixed, state = mixer.mix_step(q, k, v, {"k": past_k, "v": past_v})
            return mixed, state["k"], state["v"]

        own = session(traced(step, inputs), {name: value.numpy() for name, value in inputs.items()})
        kernels = {"GroupQueryAttention": self.grouped_query(token, context), "ours": own}
        np.testing.assert_allclose(
            np.ravel(kernels["ours"]()), np.ravel(kernels["GroupQueryAttention"]()), atol=ERROR
        )
        self.row("softmax, one token", context, kernels, "ours", {"GroupQueryAttention": DECODE_GOAL})

    def windows(self, tokens: int) -> None:
        values = self.projected(tokens)
        arrays = {name: value.numpy() for name, value in values.items()}
        masked = session(form_file(FORMS["whole"], self.heads, self.size), arrays)
        for option in WINDOWS:
            mixer = parse_mixer(option)
            assert isinstance(mixer, HeadMixer)
            kernels = {"masked": masked, option: session(traced(mixer.mix, values), arrays)}
            self.row(option, tokens, kernels, option, {"best": FORM_GOAL})


def main() -> int:
    asking = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asking.add_argument("--quick", action="store_true", help="N 256 and 1,024, one head size")
    asking.add_argument("--seconds", type=float, help="of calls a row; default 4, quick 1")
    asked = asking.parse_args()
    torch.set_num_threads(1)
    console, missed = Console(width=150), []
    for heads, size in ((4, 32),) if asked.quick else ((4, 32), (9, 64)):
        benchmark = Benchmark(heads, size, asked.seconds or (1.0 if asked.quick else 4.0))
        for tokens in QUICK_LENGTHS if asked.quick else LENGTHS:
            benchmark.prefill(tokens)
            benchmark.decode(tokens)
            if tokens <= LARGEST_WHOLE:
                benchmark.windows(tokens)
        console.print(benchmark.table)
        missed += benchmark.missed
    for miss in missed:
        console.print(f"[red]missed[/red] {miss}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
