"""The contract of token mixers."""

from __future__ import annotations

import io
import warnings
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nas.testing.contract import Contract, arbitrary
from searchspaces.mixers import Mixer, mixers, parse_mixer
from searchspaces.mixers.mixer import State

__all__ = ["MixerContract", "projected", "stepped"]


def projected(batch: int, heads: int, tokens: int, head_size: int, seed: int = 0) -> tuple[Tensor, ...]:
    """q, k and v, (B, H, N, K) float64 each."""
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


class MixerContract(Contract):
    """What every token mixer does.

    Attributes:
        subjects: option texts, e.g. ``"window:8"``.
        quadratic: names of those whose work grows with the square of the sequence.
    """

    quadratic: ClassVar[frozenset[str]] = frozenset()

    @pytest.fixture
    def mixer(self, subject: str) -> Mixer:
        return parse_mixer(subject)

    @pytest.mark.parametrize("tokens", [1, 9, 150])
    def test_forward_is_the_reference(self, mixer: Mixer, tokens: int) -> None:
        q, k, v = projected(2, 3, tokens, 18)
        torch.testing.assert_close(mixer.forward(q, k, v), mixer.reference(q, k, v), rtol=1e-9, atol=1e-9)

    def test_gradients_are_those_of_the_reference(self, mixer: Mixer) -> None:
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

    def test_forward_is_repeated_step_in_single_precision(self, mixer: Mixer) -> None:
        q, k, v = (x.float() for x in projected(1, 2, 140, 16))
        torch.testing.assert_close(stepped(mixer, q, k, v)[0], mixer.forward(q, k, v), rtol=0, atol=1e-4)

    @pytest.mark.parametrize("heads", [1, 2, 4])
    def test_state_shapes_and_bytes_are_those_of_the_state(self, mixer: Mixer, heads: int) -> None:
        _, states = stepped(mixer, *(x.float() for x in projected(3, heads, 40, 64 // heads)))
        shapes = [{name: tuple(kept.shape) for name, kept in state.items()} for state in states]
        assert shapes == [mixer.state_shapes(3, heads, 64 // heads, tokens) for tokens in range(41)]
        sizes = [sum(kept.nbytes for kept in state.values()) // 3 for state in states]
        assert sizes == [mixer.state_bytes(64, heads, tokens) for tokens in range(41)]
        halves = [mixer.state_bytes(64, heads, tokens, itemsize=2) for tokens in range(41)]
        assert halves == [size // 2 for size in sizes]

    @given(data=st.data())
    @arbitrary(10)
    def test_no_token_sees_a_later_one(self, mixer: Mixer, data: st.DataObject) -> None:
        tokens = data.draw(st.integers(1, 140))
        changed = data.draw(st.integers(0, tokens - 1))
        q, k, v = projected(1, 2, tokens, 4, seed=data.draw(st.integers(0, 9)))
        before = mixer.forward(q, k, v)
        for x in (q, k, v):
            x[:, :, changed:] += 3.0
        after = mixer.forward(q, k, v)
        assert torch.equal(before[:, :, :changed], after[:, :, :changed])

    def test_sequences_of_a_batch_do_not_mix(self, mixer: Mixer) -> None:
        q, k, v = projected(3, 2, 20, 4)
        alone = torch.cat([mixer.forward(q[i : i + 1], k[i : i + 1], v[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(mixer.forward(q, k, v), alone)

    def test_large_scores_stay_finite(self, mixer: Mixer) -> None:
        q, k, v = (x.float() for x in projected(1, 2, 70, 16))
        assert mixer.forward(30 * q, 30 * k, v).isfinite().all()

    def test_operations_grow_with_the_sequence(self, mixer: Mixer) -> None:
        def macs(tokens: int) -> int:
            return sum(operation.macs for operation in mixer.operations(64, 4, tokens))

        assert all(x.macs >= 0 and x.elements >= 0 and x.calls >= 1 for x in mixer.operations(64, 4, 300))
        assert all(x.macs >= 0 and x.elements >= 0 for x in mixer.step_operations(64, 4, 300))
        growth = macs(65536) / macs(16384) if macs(16384) else 4.0
        assert growth == pytest.approx(16.0 if mixer.name in self.quadratic else 4.0, rel=0.01)

    def test_an_option_text_parses_to_one_equal_hashable_object(self, mixer: Mixer, subject: str) -> None:
        assert parse_mixer(subject) is mixer
        assert {mixer: 1}[type(mixer)(**vars(mixer))] == 1
        assert parse_mixer(mixer.example).name == mixer.name

    def test_its_glyph_is_its_own(self, mixer: Mixer) -> None:
        assert len(mixer.glyph) == 1
        assert [name for name, cls in mixers().items() if cls.glyph == mixer.glyph] == [mixer.name]

    @pytest.mark.parametrize(
        "dynamo", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["traced", "dynamo"]
    )
    def test_exports_to_onnx_with_any_batch_and_length(self, mixer: Mixer, dynamo: bool) -> None:
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(_exported(mixer, dynamo), providers=["CPUExecutionProvider"])
        used = {value.name for value in session.get_inputs()}
        for batch, tokens in [(1, 1), (3, 64), (1, 257)]:
            inputs = [x.float() for x in projected(batch, 2, tokens, 18)]
            feeds = {name: x.numpy() for name, x in zip("qkv", inputs, strict=True) if name in used}
            (got,) = session.run(None, feeds)
            np.testing.assert_allclose(got, mixer.forward(*inputs).numpy(), atol=1e-5)


def _exported(mixer: Mixer, dynamo: bool) -> bytes:
    class Module(torch.nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return mixer.forward(q, k, v)

    example = tuple(x.float() for x in projected(2, 2, 70, 18))
    inputs, options = ["q", "k", "v"], dict[str, Any]()
    file: Any = io.BytesIO()
    if dynamo:
        sizes = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
        options = {"dynamic_shapes": [sizes] * 3}
    else:
        axes = {name: {0: "batch", 2: "length"} for name in (*inputs, "mixed")}
        options = {"opset_version": 18, "output_names": ["mixed"], "dynamic_axes": axes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Module(), example, file, dynamo=dynamo, input_names=inputs, **options)
    return bytes(file.getvalue())
