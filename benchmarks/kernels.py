"""Attention as a model file has it, beside what else an engine could compute it by.

Attention alone, without projections, on one thread: processor time, every kernel of a row called in turns, so
that the ratios hold on a busy machine where times do not. For each length

- softmax on a prompt: torch's causal kernel, every form that exports have (`nas.export.attention`), and
  onnxruntime's own GroupQueryAttention, which keeps keys and values; what `Runtime.attention` says is marked;
- the same with fewer heads of keys and values;
- softmax on one token after N: what exports have, beside GroupQueryAttention, all appending in place, and
  beside a copy of all keys and values;
- windows and sparse attention on a prompt, beside all scores masked, which few tokens might make faster;
- mixers whose state does not grow on a prompt, beside torch on the same chunks and, where weights are of a
  kernel, beside all of them at once;
- every other mixer on a prompt and on one token after N, in units of softmax at its best.

    python benchmarks/kernels.py                    # about 25 minutes
    python benchmarks/kernels.py --quick            # N 256 and 1,024: under 3 minutes

Exits with 1 where a goal is missed: softmax on a prompt in onnxruntime takes at most 1.3× torch's causal
kernel, one token at most 1.1× the engine's own operator, and nothing more than 1.2× its best known form.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import parser
from onnx.inliner import inline_local_functions
from onnxscript import optimizer
from rich.console import Console
from torch import Tensor
from torch.nn.functional import normalize, scaled_dot_product_attention

from nas.export.attention import ATTENTION_DOMAIN, CONTRIB, FORMS, Form, form_of
from nas.export.cached import appended, appended_attention, attends_in_place
from nas.export.calls import DOMAIN, IR_VERSION, OPSET
from nas.export.carried import with_carried
from nas.export.extending import MixOnAllKept
from nas.export.library import BlockLibrary
from searchspaces.architecture import Layer
from searchspaces.mixers import HeadMixer, parse_mixer
from searchspaces.mixers.decay import log_decays
from searchspaces.mixers.kernel import KernelMixer
from searchspaces.mixers.projected import DELTA
from workers.runtimes import parse_runtime

LENGTHS, QUICK_LENGTHS = (256, 1024, 4096, 16384), (256, 1024)
LARGEST_WHOLE = 4096
"""Tokens beyond which all scores at once do not fit into memory beside their copies."""

WINDOWS = ("window:64", "window:256", "sparse", "sparse:64,32,2")
RECURRENT = ("decay", "gateddelta", "taylor", "linear", "gated", "delta", "hedgehog", "cosine", "performer")
QUICK = 3
"""Of them where it should be quick."""

PREFILL_GOAL, DECODE_GOAL, FORM_GOAL = 1.3, 1.1, 1.2
ERROR = 1e-4
ERROR_AT_ONCE = 1e-3
"""Of decays that are summed over a whole prompt: float32 rounds them."""

Arrays = Mapping[str, NDArray[np.generic]]
Arguments = Mapping[str, Tensor]
Kernel = Callable[[], object]


def head_mixer(option: str) -> HeadMixer:
    mixer = parse_mixer(option)
    assert isinstance(mixer, HeadMixer)
    return mixer


def numpy_of(values: Mapping[str, Tensor]) -> Arrays:
    return {name: value.numpy() for name, value in values.items()}


def session(model: onnx.ModelProto, inputs: Arrays) -> Kernel:
    run = loaded(model).run
    return lambda: run(None, inputs)[0]


def appending(model: onnx.ModelProto, inputs: Arrays, kept: Mapping[str, str]) -> Kernel:
    """With each output of `kept` written into the memory of its input, which has room for a token more."""
    run = loaded(model)
    binding = run.io_binding()
    binding.bind_output("mixed")
    for name, value in inputs.items():
        roomy = np.pad(value, [(0, 0), (0, 0), (0, 1), (0, 0)]) if name in kept else value
        memory = onnxruntime.OrtValue.ortvalue_from_numpy(roomy)
        binding.bind_ortvalue_input(name, memory)
        if name in kept:
            binding.bind_ortvalue_output(kept[name], memory)

    def call() -> object:
        run.run_with_iobinding(binding)
        return binding.get_outputs()[0].numpy()

    return call


def loaded(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def compiled(model: onnx.ModelProto, inputs: Arrays) -> Kernel:
    import openvino

    core = openvino.Core()
    hints = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    read = core.read_model(model.SerializeToString())
    request = core.compile_model(read, "CPU", hints).create_infer_request()
    return lambda: request.infer(inputs, share_inputs=True, share_outputs=True)[0]


ENGINES = {"onnxruntime": session, "openvino": compiled}


def form_file(form: Form, heads: int, groups: int, size: int) -> onnx.ModelProto:
    """q (1, H, N, K), k and v (1, G, N, K) → mixed (1, H, N, K): exports repeat keys and values for the heads
    that share them."""
    function = form.function(heads, size, OPSET)
    shape, shared = f"float[1, {heads}, n, {size}]", f"float[1, {groups}, n, {size}]"
    imports = ", ".join(f'"{domain}" : 1' for domain in (ATTENTION_DOMAIN, *form.domains))
    repeated = "".join(
        f"{x}_apart = Unsqueeze(shared_{x}, two)\n{x}_repeated = Expand({x}_apart, repeats)\n"
        f"{x} = Reshape({x}_repeated, heads)\n"
        for x in "kv"
    )
    plain = "k = Identity(shared_k)\nv = Identity(shared_v)\n"
    model = parser.parse_model(
        f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}, {imports}]>\n'
        f"attention ({shape} q, {shared} shared_k, {shared} shared_v) => ({shape} mixed)\n"
        f"<int64[1] two = {{2}}, int64[5] repeats = {{1, 1, {heads // groups}, 1, 1}},\n"
        f"int64[4] heads = {{1, {heads}, -1, {size}}}> {{\n{repeated if groups != heads else plain}"
        f"mixed = {ATTENTION_DOMAIN}.{function.name}(q, k, v)\n}}"
    )
    model.functions.append(function)
    return inline_local_functions(model)


def grouped_query_file(heads: int, groups: int, size: int) -> onnx.ModelProto:
    """onnxruntime's own: tokens (1, S, H·K) on top of a cache (1, G, T, K)."""
    rows, shared = f"float[1, s, {heads * size}]", f"float[1, s, {groups * size}]"
    cache, kept = f"float[1, {groups}, t, {size}]", f"float[1, {groups}, u, {size}]"
    return parser.parse_model(
        f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}, "com.microsoft" : 1]>\n'
        f"attention ({rows} q, {shared} k, {shared} v, {cache} past_k, {cache} past_v,\n"
        f"int32[1] last, int32 total)\n=> ({rows} mixed, {kept} next_k, {kept} next_v) {{\n"
        "mixed, next_k, next_v = "
        f"com.microsoft.GroupQueryAttention<num_heads = {heads}, kv_num_heads = {groups}>"
        "(q, k, v, past_k, past_v, last, total)\n}"
    )


def appended_file(option: str, heads: int, groups: int, size: int) -> onnx.ModelProto:
    """What files for one token have."""
    layer, width = Layer(option, heads, kv_heads=groups % heads), heads * size
    cache, kept = f"float[1, {groups}, t, {size}]", f"float[1, {groups}, u, {size}]"
    queries, token = f"float[1, {heads}, 1, {size}]", f"float[1, {groups}, 1, {size}]"
    if attends_in_place(layer, width):
        functions = [appended_attention(layer, width, OPSET)]
        (name,) = (f"{ATTENTION_DOMAIN}.{each.name}" for each in functions)
        nodes = f"mixed, next_k, next_v = {name}(q, k, v, position, state_k, state_v)"
    else:
        functions = [appended(OPSET), BlockLibrary().function(MixOnAllKept.of(layer, width))]
        append, mix = (f"{each.domain}.{each.name}" for each in functions)
        inputs = ", ".join(functions[1].input)
        nodes = f"next_k, next_v = {append}(k, v, position, state_k, state_v)\nmixed = {mix}({inputs})"
    domains = ", ".join(f'"{each}" : 1' for each in (ATTENTION_DOMAIN, CONTRIB, DOMAIN))
    model = parser.parse_model(
        f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}, {domains}]>\n'
        f"attention ({queries} q, {token} k, {token} v, int64 position, {cache} state_k, {cache} state_v)\n"
        f"=> ({queries} mixed, {kept} next_k, {kept} next_v) {{\n{nodes}\n}}"
    )
    model.functions.extend(functions)
    return inline_local_functions(model)


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
    return optimizer.optimize(with_carried(onnx.load_model_from_string(file.getvalue()), OPSET))


def signals_of(mixer: HeadMixer, tokens: int, heads: int) -> dict[str, Tensor]:
    """What `mix` takes besides q, k and v: numbers as fresh gates give them."""
    decays = torch.tensor(log_decays(heads)).reshape(1, -1, 1)
    strength = torch.full((1, heads, tokens), 0.5)
    return {
        "decay": {"log_decay": decays},
        "gated": {"log_decay": decays.expand(-1, -1, tokens)},
        "delta": {"strength": strength},
        "gateddelta": {"strength": strength, "log_decay": decays.expand(-1, -1, tokens)},
    }.get(mixer.name, {})


def at_once(mixer: KernelMixer) -> Callable[..., Tensor]:
    """All N × N weights of a kernel, later tokens' and what is forgotten masked."""

    def mix(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None = None) -> Tensor:
        weights = mixer.weight(mixer.base(q) @ mixer.base(k).transpose(-1, -2)).tril()
        if log_decay is not None:
            left = log_decay.expand(-1, -1, q.shape[2]).cumsum(-1)
            weights = weights * (left.unsqueeze(-1) - left.unsqueeze(-2)).clamp(max=0).exp()
        return (weights @ v) / weights.sum(-1, keepdim=True)

    return mix


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

    def __init__(
        self, console: Console, heads: int, size: int, seconds: float, options: Sequence[str]
    ) -> None:
        self.heads, self.size, self.seconds, self.options = heads, size, seconds, options
        self.groups = next(g for g in range(heads // 2, 0, -1) if heads % g == 0)
        self.console = console
        self.console.rule(f"{heads} heads of {size}, one thread")
        self.missed: list[str] = []

    def projected(self, tokens: int, groups: int | None = None) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(tokens)
        heads = {"q": self.heads, "k": groups or self.heads, "v": groups or self.heads}
        shapes = {name: (1, count, tokens, self.size) for name, count in heads.items()}
        return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}

    def row(
        self, what: str, tokens: int, kernels: Mapping[str, Kernel], chosen: str, goals: Mapping[str, float]
    ) -> None:
        """Time kernels beside the first; `goals` by name, or "best" for the quickest."""
        reference = next(iter(kernels))
        found = ratios(kernels, reference, self.seconds)
        limits = {name: found[name] for name in goals if name in found}
        if "best" in goals:
            limits["best"] = min(
                found[name] for name in found if name in (*FORMS, chosen, "masked", "at once")
            )
        for name, limit in limits.items():
            if found[chosen] > goals[name] * limit:
                said = f"{found[chosen] / limit:.2f}× of {name}, goal {goals[name]}×"
                self.missed.append(f"{what}, N {tokens}, {self.heads} heads of {self.size}: {said}")
        del found[reference]
        told = "  ".join(f"{'→' if name == chosen else ''}{name} {found[name]:.2f}" for name in found)
        self.console.print(f"[bold]{what}[/bold], N {tokens}, in units of {reference}: {told}")

    def prefill(self, tokens: int, groups: int) -> None:
        """Softmax on a prompt, keys and values of G heads."""
        values, shared = self.projected(tokens, groups), groups != self.heads

        def causal() -> Tensor:
            with torch.inference_mode():
                return scaled_dot_product_attention(*values.values(), is_causal=True, enable_gqa=shared)

        expected = causal().numpy()
        inputs = dict(zip(("q", "shared_k", "shared_v"), numpy_of(values).values(), strict=True))
        for runtime, engine in ENGINES.items():
            if parse_runtime(runtime).capability() is None:
                continue
            kernels: dict[str, Kernel] = {"torch causal": causal}
            for form in FORMS.values():
                too_large = form.name == "whole" and tokens > LARGEST_WHOLE
                if too_large or (form.domains and runtime == "openvino"):
                    continue
                kernels[form.name] = engine(form_file(form, self.heads, groups, self.size), inputs)
                np.testing.assert_allclose(kernels[form.name](), expected, atol=ERROR)
            if runtime == "onnxruntime" and tokens <= LARGEST_WHOLE:
                kernels["GroupQueryAttention"] = self.grouped_query(values, 0)
            goals = {"best": FORM_GOAL} | ({"torch causal": PREFILL_GOAL} if runtime == "onnxruntime" else {})
            chosen = form_of(parse_runtime(runtime).attention(tokens)).name
            self.row(f"{self.softmax(groups)}, {runtime}", tokens, kernels, chosen, goals)

    def softmax(self, groups: int) -> str:
        return "softmax" if groups == self.heads else f"softmax, keys of {groups} heads"

    def grouped_query(self, values: Mapping[str, Tensor], past: int) -> Kernel:
        tokens, groups = values["q"].shape[2], values["k"].shape[1]
        rows = {n: v.transpose(1, 2).reshape(1, tokens, -1).numpy() for n, v in values.items()}
        cache = {f"past_{name}": self.projected(past, groups)[name].numpy() for name in "kv"}
        sizes = {"last": np.array([past + tokens - 1], np.int32), "total": np.array(past + tokens, np.int32)}
        model, inputs = grouped_query_file(self.heads, groups, self.size), {**rows, **cache, **sizes}
        if not past:
            return session(model, inputs)
        return appending(model, inputs, {name: name.replace("past", "next") for name in cache})

    def appended(self, option: str, context: int, groups: int) -> Kernel:
        """One token after so many, as files for one token have what attends to all that is kept."""
        token, cache = (numpy_of(self.projected(tokens, groups)) for tokens in (1, context))
        states = {f"state_{name}": cache[name] for name in "kv"}
        inputs = {**token, "position": np.array(context), **states}
        following = {name: name.replace("state", "next") for name in states}
        return appending(appended_file(option, self.heads, groups, self.size), inputs, following)

    def step(self, option: str, context: int, groups: int) -> Kernel:
        """One token after so many, by ONNX's own operators, which copy what grows."""
        mixer, token = head_mixer(option), self.projected(1, groups)
        q = token["q"].reshape(1, groups, -1, self.size)
        inputs = {"q": q, "k": token["k"][:, :, 0], "v": token["v"][:, :, 0]}
        signals = {name: value[..., 0] for name, value in signals_of(mixer, 1, groups).items()}
        cache = self.projected(context, groups)
        shapes = mixer.mix_state_shapes(1, groups, self.size, context)
        whole = all(cache.get(name, q).shape == shape for name, shape in shapes.items())
        state = cache if whole else {name: torch.ones(shape) for name, shape in shapes.items()}
        past = {f"past_{name}": state[name] for name in shapes}

        def compute(q: Tensor, k: Tensor, v: Tensor, *others: Tensor) -> object:
            told = dict(zip([*signals, *shapes], others, strict=True))
            before = {name: told.pop(name) for name in shapes}
            mixed, after = mixer.mix_step(q, k, v, before, context, **told)
            return mixed, *after.values()

        inputs |= signals | past
        return session(traced(compute, inputs), numpy_of(inputs))

    def decode(self, context: int, groups: int) -> None:
        """Softmax on one token, keys and values of G heads."""
        kernels = {
            "GroupQueryAttention": self.grouped_query(self.projected(1, groups), context),
            "ours": self.appended("softmax", context, groups),
            "copied": self.step("softmax", context, groups),
        }
        ours, theirs = (np.ravel(kernels[name]()) for name in ("ours", "GroupQueryAttention"))
        np.testing.assert_allclose(ours, theirs, atol=ERROR)
        goals = {"GroupQueryAttention": DECODE_GOAL}
        self.row(f"{self.softmax(groups)}, one token", context, kernels, "ours", goals)

    def decode_others(self, context: int) -> None:
        """Every other mixer on one token, all in turns."""
        kernels = {}
        for option in ("softmax", *WINDOWS, *self.options):
            on_all_kept = head_mixer(option).on_all_kept() is not None
            kernels[option] = (self.appended if on_all_kept else self.step)(option, context, self.heads)
        self.row("one token", context, kernels, "softmax", {})

    def windows(self, tokens: int) -> None:
        """Attention to some of the tokens on a prompt."""
        values = self.projected(tokens)
        inputs = dict(zip(("q", "shared_k", "shared_v"), numpy_of(values).values(), strict=True))
        masked = session(form_file(FORMS["whole"], self.heads, self.heads, self.size), inputs)
        for option in WINDOWS:
            ours = session(traced(head_mixer(option).mix, values), numpy_of(values))
            self.row(option, tokens, {"masked": masked, option: ours}, option, {"best": FORM_GOAL})

    def prompt(self, option: str, tokens: int) -> dict[str, Tensor]:
        """What an option's `mix` takes."""
        mixer, inputs = head_mixer(option), self.projected(tokens)
        if mixer.family == DELTA:  # longer keys blow its state up
            inputs |= {name: normalize(inputs[name], dim=-1) for name in "qk"}
        return inputs | signals_of(mixer, tokens, self.heads)

    def prefill_others(self, tokens: int) -> None:
        """Every other mixer on a prompt, all in turns."""
        inputs = dict(
            zip(("q", "shared_k", "shared_v"), numpy_of(self.projected(tokens)).values(), strict=True)
        )
        form = form_of(parse_runtime("onnxruntime").attention(tokens))
        kernels = {"softmax": session(form_file(form, self.heads, self.heads, self.size), inputs)}
        for option in (*WINDOWS, *self.options):
            given = self.prompt(option, tokens)
            kernels[option] = session(traced(head_mixer(option).mix, given), numpy_of(given))
        self.row("a prompt", tokens, kernels, "softmax", {})

    def recurrent(self, tokens: int) -> None:
        """Mixers whose state does not grow, on a prompt."""
        for option in self.options:
            mixer, inputs = head_mixer(option), self.prompt(option, tokens)

            def chunks(mix: Callable[..., Tensor] = mixer.mix, given: Arguments = inputs) -> Tensor:
                with torch.inference_mode():
                    return mix(*given.values())

            kernels: dict[str, Kernel] = {"torch": chunks}
            forms = {option: mixer.mix}
            if isinstance(mixer, KernelMixer) and option != "cosine" and tokens <= LARGEST_WHOLE:
                forms["at once"] = at_once(mixer)
            for name, form in forms.items():
                kernels[name] = session(traced(form, inputs), numpy_of(inputs))
                allowed = ERROR if name == option else ERROR_AT_ONCE
                np.testing.assert_allclose(kernels[name](), chunks().numpy(), atol=allowed)
            self.row(option, tokens, kernels, option, {"torch": FORM_GOAL, "best": FORM_GOAL})


def main() -> int:
    asking = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asking.add_argument("--quick", action="store_true", help="N 256 and 1,024, one head size, fewer mixers")
    asking.add_argument("--seconds", type=float, help="of calls a row; default 4, quick 0.5")
    asking.add_argument("--lengths", nargs="+", type=int, help="instead of all of them")
    asked = asking.parse_args()
    torch.set_num_threads(1)
    console, missed = Console(width=150), []
    for heads, size in ((4, 32),) if asked.quick else ((4, 32), (9, 64)):
        seconds = asked.seconds or (0.5 if asked.quick else 4.0)
        benchmark = Benchmark(console, heads, size, seconds, RECURRENT[: QUICK if asked.quick else None])
        for tokens in asked.lengths or (QUICK_LENGTHS if asked.quick else LENGTHS):
            for groups in (heads, benchmark.groups):
                benchmark.prefill(tokens, groups)
                benchmark.decode(tokens, groups)
            benchmark.recurrent(tokens)
            benchmark.prefill_others(tokens)
            benchmark.decode_others(tokens)
            if tokens <= LARGEST_WHOLE:
                benchmark.windows(tokens)
        missed += benchmark.missed
    for miss in missed:
        console.print(f"[red]missed[/red] {miss}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
