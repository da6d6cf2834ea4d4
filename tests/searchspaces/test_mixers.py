"""The contract of every registered mixer: registering one enrols it here."""

import io
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from searchspaces.mixers import MIXERS, Mixer, mixers, parse_mixer, register_mixer
from searchspaces.mixers.mixer import State

EXAMPLES = [cls.example for cls in mixers().values()]
SIZES = {
    "window": ["window:1", "window:100"],
    "sparse": ["sparse", "sparse:5,5"],
}
OPTIONS = EXAMPLES + [option for name in mixers() for option in SIZES.get(name, [])]
LENGTHS = [1, 9, 150]

every_mixer = pytest.mark.parametrize("mixer", [parse_mixer(option) for option in OPTIONS], ids=OPTIONS)


def projected(batch: int, heads: int, tokens: int, head_size: int, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, heads, tokens, head_size)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))


def stepped(mixer: Mixer, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, list[State]]:
    """Outputs of repeated `step`, and the states before the first and after each token."""
    states = [mixer.init_state(q.shape[0], q.shape[1], q.shape[3], q.dtype)]
    rows = []
    for i in range(q.shape[2]):
        row, state = mixer.step(q[:, :, i], k[:, :, i], v[:, :, i], states[-1])
        rows.append(row)
        states.append(state)
    return torch.stack(rows, dim=2), states


@every_mixer
@pytest.mark.parametrize("tokens", LENGTHS)
def test_forward_is_the_reference(mixer: Mixer, tokens: int) -> None:
    q, k, v = projected(2, 3, tokens, 18)
    torch.testing.assert_close(mixer.forward(q, k, v), mixer.reference(q, k, v), rtol=1e-9, atol=1e-9)


@every_mixer
def test_gradients_are_those_of_the_reference(mixer: Mixer) -> None:
    inputs = [x.requires_grad_() for x in projected(1, 2, 21, 6)]
    weights = torch.randn(1, 2, 21, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def gradients(output: Tensor) -> tuple[Tensor | None, ...]:
        return torch.autograd.grad((output * weights).sum(), inputs, allow_unused=True)

    for got, wanted in zip(
        gradients(mixer.forward(*inputs) + 0 * sum(inputs)),
        gradients(mixer.reference(*inputs) + 0 * sum(inputs)),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-8)


@every_mixer
def test_forward_is_repeated_step_in_single_precision(mixer: Mixer) -> None:
    q, k, v = (x.float() for x in projected(1, 2, 140, 16))
    torch.testing.assert_close(stepped(mixer, q, k, v)[0], mixer.forward(q, k, v), rtol=0, atol=1e-4)


@every_mixer
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_state_shapes_and_bytes_are_those_of_the_state(mixer: Mixer, heads: int) -> None:
    _, states = stepped(mixer, *(x.float() for x in projected(3, heads, 40, 64 // heads)))
    shapes = [{name: tuple(kept.shape) for name, kept in state.items()} for state in states]
    assert shapes == [mixer.state_shapes(3, heads, 64 // heads, tokens) for tokens in range(41)]
    sizes = [sum(kept.nbytes for kept in state.values()) // 3 for state in states]
    assert sizes == [mixer.state_bytes(64, heads, tokens) for tokens in range(41)]
    halves = [mixer.state_bytes(64, heads, tokens, itemsize=2) for tokens in range(41)]
    assert halves == [size // 2 for size in sizes]


@every_mixer
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_no_token_sees_a_later_one(mixer: Mixer, data: st.DataObject) -> None:
    tokens = data.draw(st.integers(1, 140))
    changed = data.draw(st.integers(0, tokens - 1))
    q, k, v = projected(1, 2, tokens, 4, seed=data.draw(st.integers(0, 9)))
    before = mixer.forward(q, k, v)
    for x in (q, k, v):
        x[:, :, changed:] += 3.0
    after = mixer.forward(q, k, v)
    assert torch.equal(before[:, :, :changed], after[:, :, :changed])


@every_mixer
def test_sequences_of_a_batch_do_not_mix(mixer: Mixer) -> None:
    q, k, v = projected(3, 2, 20, 4)
    alone = torch.cat([mixer.forward(q[i : i + 1], k[i : i + 1], v[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(mixer.forward(q, k, v), alone)


@every_mixer
def test_large_scores_stay_finite(mixer: Mixer) -> None:
    q, k, v = (x.float() for x in projected(1, 2, 70, 16))
    assert mixer.forward(30 * q, 30 * k, v).isfinite().all()


@every_mixer
def test_operations_grow_with_the_sequence(mixer: Mixer) -> None:
    def macs(tokens: int) -> int:
        return sum(operation.macs for operation in mixer.operations(64, 4, tokens))

    assert all(x.macs >= 0 and x.elements >= 0 and x.calls >= 1 for x in mixer.operations(64, 4, 300))
    assert all(x.macs >= 0 and x.elements >= 0 for x in mixer.step_operations(64, 4, 300))
    growth = macs(65536) / macs(16384) if macs(16384) else 4.0
    assert growth == pytest.approx(16.0 if mixer.name == "softmax" else 4.0, rel=0.01)


@every_mixer
def test_an_option_text_parses_to_one_equal_hashable_object(mixer: Mixer) -> None:
    option = OPTIONS[[parse_mixer(x) for x in OPTIONS].index(mixer)]
    assert parse_mixer(option) is mixer
    assert {mixer: 1}[type(mixer)(**vars(mixer))] == 1
    assert len(mixer.glyph) == 1


def test_glyphs_differ() -> None:
    assert len({cls.glyph for cls in mixers().values()}) == len(mixers())


@pytest.mark.parametrize(
    "option",
    [
        "flash",
        "window",
        "window:0",
        "window:-3",
        "window:x",
        "window:1,2",
        "sparse:4,8",
        "sparse:8,3",
        "sparse:0",
        "linear:3",
    ],
)
def test_options_that_do_not_parse(option: str) -> None:
    with pytest.raises(ValueError, match=option.partition(":")[0]):
        parse_mixer(option)


@pytest.mark.parametrize(
    ("option", "written"),
    [
        ("window:064", "window:64"),
        ("window: 64", "window:64"),
        ("window:6_4", "window:64"),
        ("softmax:", "softmax"),
        ("sparse:64", "sparse"),
        ("sparse:64,32", "sparse"),
        ("sparse:128,32", "sparse:128"),
    ],
)
def test_a_mixer_has_one_text(option: str, written: str) -> None:
    """Two texts of one mixer would be two digests of one model."""
    with pytest.raises(ValueError, match=f"is written '{written}'"):
        parse_mixer(option)
    parse_mixer(written)


def test_a_window_sees_its_last_tokens_only() -> None:
    q, k, v = projected(1, 1, 50, 4)
    before = parse_mixer("window:7").forward(q, k, v)
    v[:, :, 20] += 1.0
    changed = (parse_mixer("window:7").forward(q, k, v) != before).any(dim=-1).flatten().nonzero().flatten()
    assert changed.tolist() == list(range(20, 27))


def test_sparse_sees_globals_its_block_and_the_one_before() -> None:
    sparse, (q, k, v) = parse_mixer("sparse:4,2"), projected(1, 1, 24, 4)
    before = sparse.forward(q, k, v)
    for position, seen_by in {1: range(1, 24), 2: range(2, 8), 9: range(9, 16)}.items():
        moved = v.clone()
        moved[:, :, position] += 1.0
        changed = (sparse.forward(q, k, moved) != before).any(dim=-1).flatten().nonzero().flatten()
        assert changed.tolist() == list(seen_by)


def test_sparse_globals_keep_no_more_memory_than_they_count() -> None:
    _, states = stepped(parse_mixer("sparse:8,2"), *projected(1, 2, 30, 4))
    kept = states[-1]["global_k"]
    assert kept.untyped_storage().nbytes() == kept.nbytes


def test_taylor_weights_are_the_series_of_exp() -> None:
    taylor = parse_mixer("taylor")
    q, k, _ = projected(1, 1, 30, 16)
    scores = q @ k.transpose(-1, -2) / 4
    weights = taylor.features(taylor.base(q).mT).mT @ taylor.features(taylor.base(k).mT)
    torch.testing.assert_close(weights, 1 + scores + scores**2 / 2)
    assert weights.min() >= 0.5


@pytest.mark.parametrize("option", EXAMPLES)
@pytest.mark.parametrize(
    "dynamo", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["traced", "dynamo"]
)
def test_exports_to_onnx_with_any_batch_and_length(option: str, dynamo: bool) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    mixer = parse_mixer(option)

    class Module(torch.nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return mixer.forward(q, k, v)

    example = tuple(x.float() for x in projected(2, 2, 70, 18))
    file = io.BytesIO()
    axes = {0: "batch", 2: "length"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            sizes = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
            torch.onnx.export(
                Module(), example, file, dynamo=True, input_names=["q", "k", "v"], dynamic_shapes=[sizes] * 3
            )
        else:
            names = dict.fromkeys(("q", "k", "v", "mixed"), axes)
            torch.onnx.export(
                Module(),
                example,
                file,
                dynamo=False,
                opset_version=18,
                input_names=["q", "k", "v"],
                output_names=["mixed"],
                dynamic_axes=names,
            )
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    used = {value.name for value in session.get_inputs()}
    for batch, tokens in [(1, 1), (3, 64), (1, 257)]:
        inputs = [x.float() for x in projected(batch, 2, tokens, 18)]
        feeds = {name: x.numpy() for name, x in zip("qkv", inputs, strict=True) if name in used}
        (got,) = session.run(None, feeds)
        np.testing.assert_allclose(got, mixer.forward(*inputs).numpy(), atol=1e-5)


def test_a_mixer_is_known_and_used_without_torch() -> None:
    """Spaces are declared and costed where torch is not installed."""
    code = """
import json, sys
sys.modules["torch"] = None
from searchspaces.mixers import mixers, parse_mixer
found = [parse_mixer(cls.example) for cls in mixers().values()]
print(json.dumps([[m.name, m.state_bytes(64, 4, 9), len(m.operations(64, 4, 9))] for m in found]))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name, _, _ in json.loads(answer.stdout)] == list(mixers())


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match=r"'softmax' is registered twice: .*:Softmax and .*:Window"):
        register_mixer("softmax")(type(parse_mixer("window:8")))


def test_a_new_mixer_is_one_registration() -> None:
    from searchspaces import load_space
    from searchspaces.mixers.none import NoMixer

    layer = {"mixer": ["identity"], "heads": [2], "ratio": [1]}
    with MIXERS.scratch():
        register_mixer("identity")(type("Identity", (NoMixer,), {"example": "identity"}))
        assert "identity" in mixers()
        space = load_space({"name": "x", "width": [8], "depth": [1], "layer": layer})
        assert space.spec.layer.mixer == ("identity",)
    with pytest.raises(ValueError, match="no mixer 'identity'"):
        parse_mixer("identity")
