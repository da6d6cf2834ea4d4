"""The contract of token mixers, and of those whose tokens see earlier ones alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nas.testing.contract import Contract, arbitrary
from searchspaces.architecture import Architecture, Layer
from searchspaces.mixers import CausalMixer, HeadMixer, Mixer, mixers, parse_mixer
from searchspaces.mixers.mixer import State
from searchspaces.part import CAUSAL, Initial, Sight, Sizes, View, Weight
from searchspaces.rotary import Turns, grid_rotary, rotary

__all__ = ["LARGEST_GROWTH", "AnyMixerContract", "Case", "MixerContract"]

LARGEST_GROWTH = 5.0
"""Of a mixer's work from 1,024 to 4,096 tokens, where it is not said to be quadratic."""


@dataclass(frozen=True)
class Case:
    """A mixer in a layer of some sizes, with random weights.

    Attributes:
        option: of the mixer.
        weights: by name, float64 unless `single`.
    """

    option: str
    sizes: Sizes
    weights: dict[str, Tensor]

    @classmethod
    def of(
        cls,
        option: str,
        heads: int = 3,
        head_size: int = 18,
        conv: int = 0,
        kv_heads: int = 0,
        view: View = CAUSAL,
    ) -> Case:
        """With those of the layer's genes that the mixer obeys."""
        sizes = Layer(option, heads, conv=conv, kv_heads=kv_heads).sizes(heads * head_size, view)
        generator = torch.Generator().manual_seed(0)
        weights = {
            name: torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            * (weight.shape[-1] ** -0.5 if weight.is_matrix else 0.3)
            for name, weight in parse_mixer(option).shapes(sizes).items()
        }
        return cls(option, sizes, weights)

    @classmethod
    def each(cls, option: str, heads: int = 3, head_size: int = 18) -> list[Case]:
        """In a plain layer, and with short convolutions and fewer heads of keys and values."""
        genes: list[dict[str, Any]] = [{}, {"conv": 3, "kv_heads": 1}]
        return [cls.of(option, heads, head_size, **later) for later in genes]

    @property
    def mixer(self) -> Mixer:
        return parse_mixer(self.option)

    @property
    def shapes(self) -> dict[str, Weight]:
        return self.mixer.shapes(self.sizes)

    def single(self) -> Case:
        """In single precision."""
        return replace(self, weights={name: weight.float() for name, weight in self.weights.items()})

    def tokens(self, batch: int, tokens: int, seed: int = 0) -> Tensor:
        """Random normed tokens (B, N, D) of the weights' precision."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(batch, tokens, self.sizes.width, generator=generator, dtype=torch.float64)
        return x.to(next(iter(self.weights.values()), x).dtype)

    def turns(self, *positions: int) -> Turns | None:
        """Of these positions."""
        return rotary(torch.tensor(positions), self.sizes.head_size) if self.mixer.positioned else None

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """`Mixer.forward` of (B, N, D)."""
        return self.mixer.forward(x, self.weights, self.sizes, self._all_turns(x), present)

    def compiled(self, x: Tensor) -> Tensor:
        """The same by what a compiler traces of it, the whole of it, computed as torch does."""
        torch.compiler.reset()
        forward = torch.compile(self.mixer.forward, backend="eager", fullgraph=True)
        return forward(x, self.weights, self.sizes, self._all_turns(x))

    def reference(self, x: Tensor) -> Tensor:
        """`Mixer.reference` of (B, N, D)."""
        return self.mixer.reference(x, self.weights, self.sizes, self._all_turns(x))

    def _all_turns(self, x: Tensor) -> Turns | None:
        if self.sizes.view.causal or not self.mixer.positioned:
            return self.turns(*range(x.shape[1]))
        return grid_rotary(self.sizes.view.grid, self.sizes.head_size)

    def extended(self, x: Tensor, pieces: Sequence[int]) -> tuple[Tensor, list[State]]:
        """Outputs of repeated `extend` by so many tokens each, and the states before the first and after each
        piece."""
        mixer = self.mixer
        assert isinstance(mixer, CausalMixer)
        states = [mixer.init_state(x.shape[0], self.sizes, x.dtype)]
        rows, position = [], 0
        for piece in x.split(list(pieces), dim=1):
            turns = self.turns(*range(position, position + piece.shape[1]))
            row, state = mixer.extend(piece, self.weights, self.sizes, turns, states[-1], position)
            rows.append(row)
            states.append(state)
            position += piece.shape[1]
        return torch.cat(rows, dim=1), states


class AnyMixerContract(Contract):
    """What a mixer is, whatever it sees."""

    @pytest.fixture
    def mixer(self, subject: str) -> Mixer:
        return parse_mixer(subject)

    def test_every_field_of_an_option_has_limits(self, mixer: Mixer) -> None:
        options: Any = mixer
        names = [field.name for field in fields(options)] if is_dataclass(options) else []
        assert set(mixer.limits) == set(names)
        for name in names:
            least, most = mixer.limits[name]
            for value in (least - 1, most + 1, 10**30):
                with pytest.raises(ValueError, match=f"{name}.*accepted: {least} to {most}"):
                    replace(options, **{name: value})

    def test_an_option_text_parses_to_one_equal_hashable_object(self, mixer: Mixer, subject: str) -> None:
        assert parse_mixer(subject) is mixer
        assert {mixer: 1}[type(mixer)(**vars(mixer))] == 1
        assert parse_mixer(mixer.example).name == mixer.name

    def test_its_glyph_is_its_own(self, mixer: Mixer) -> None:
        assert len(mixer.glyph) == 1
        assert [name for name, cls in mixers().items() if cls.glyph == mixer.glyph] == [mixer.name]


class MixerContract(AnyMixerContract):
    """What every token mixer does that sees earlier tokens alone.

    Attributes:
        subjects: option texts, e.g. ``"window:8"``.
        quadratic: names of those whose work grows with the square of the sequence.
    """

    quadratic: ClassVar[frozenset[str]] = frozenset()

    def test_it_is_causal(self, mixer: Mixer) -> None:
        assert Sight.CAUSAL in mixer.sights

    @pytest.mark.filterwarnings("ignore:To copy construct", "ignore:.*lru_cache")
    def test_compilers_trace_it(self, subject: str) -> None:
        case = Case.of(subject)
        x = case.tokens(1, 40)
        torch.testing.assert_close(case.compiled(x), case.forward(x))

    @pytest.mark.parametrize("tokens", [1, 9, 150])
    def test_forward_is_the_reference(self, subject: str, tokens: int) -> None:
        for case in Case.each(subject):
            x = case.tokens(2, tokens)
            torch.testing.assert_close(case.forward(x), case.reference(x), rtol=1e-9, atol=1e-9)

    def test_its_projection_back_to_the_stream_comes_last(self, subject: str) -> None:
        """By which what replaces a pretrained model's mixer is fitted."""
        for case in Case.each(subject):
            found = [name for name, w in case.shapes.items() if w.initial is Initial.RESIDUAL]
            assert len(found) <= 1
            for name in found:
                weight = case.weights[name]
                identity = torch.eye(weight.shape[1], dtype=weight.dtype)
                before = replace(case, weights={**case.weights, name: identity})
                x = case.tokens(2, 9)
                torch.testing.assert_close(before.forward(x) @ weight.T, case.forward(x))

    def test_gradients_are_those_of_the_reference(self, subject: str) -> None:
        case = Case.of(subject, heads=2, head_size=6, conv=3)
        x = case.tokens(1, 71)
        inputs = [y.requires_grad_() for y in (x, *case.weights.values())]
        weights = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

        def gradients(output: Tensor) -> tuple[Tensor | None, ...]:
            return torch.autograd.grad((output * weights).sum(), inputs, allow_unused=True)

        for got, wanted in zip(gradients(case.forward(x)), gradients(case.reference(x)), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-8)

    def test_forward_is_one_token_after_another_in_single_precision(self, subject: str) -> None:
        for case in Case.each(subject, heads=2, head_size=16):
            single = case.single()
            x = single.tokens(1, 140)
            mixed, _ = single.extended(x, [1] * 140)
            torch.testing.assert_close(mixed, single.forward(x), rtol=0, atol=1e-4)

    def test_single_precision_holds_over_thousands_of_tokens(self, mixer: Mixer, subject: str) -> None:
        case = Case.of(subject, heads=2, head_size=16)
        x = case.tokens(1, 3000)
        exact = case.forward(x)
        if mixer.continuous:
            error = (case.single().forward(x.float()) - exact).abs().max()
            assert error <= 5e-6 * exact.abs().max()

    @pytest.mark.parametrize("pieces", [[150], [5, 90, 1, 1, 2, 51], [64, 64, 22], [1, 149], [16, 1, 133]])
    def test_forward_is_any_pieces_one_after_another(self, subject: str, pieces: list[int]) -> None:
        for case in Case.each(subject, heads=4, head_size=18):
            x = case.tokens(2, 150)
            mixed, _ = case.extended(x, pieces)
            torch.testing.assert_close(mixed, case.forward(x), rtol=1e-9, atol=1e-9)

    def test_room_behind_what_is_kept_counts_for_nothing(self, mixer: Mixer, subject: str) -> None:
        mixing = mixer.on_all_kept() if isinstance(mixer, HeadMixer) else None
        if mixing is None or not isinstance(mixer, HeadMixer):
            return
        for case in Case.each(subject, heads=4):
            sizes = case.sizes
            counts = {"q": sizes.heads, "k": sizes.groups, "v": sizes.groups}
            shapes = {name: (40, 2, count, 1, sizes.head_size) for name, count in counts.items()}
            generator = torch.Generator().manual_seed(0)
            drawn = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
            state = {name: drawn[name][0, :, :, :0] for name in ("k", "v")}
            for position in range(40):
                values = {name: y[position] for name, y in drawn.items()}
                mixed, state = mixer.mix_heads(values, sizes, state, position)
                roomy = {n: torch.cat([y, torch.full_like(y, 1e9)], dim=2) for n, y in state.items()}
                found = mixer.mix_on_all_kept(mixing, values["q"], sizes, roomy, position)
                torch.testing.assert_close(found, mixed)

    @pytest.mark.parametrize("heads", [1, 2, 4])
    def test_state_shapes_and_bytes_are_those_of_the_state(
        self, mixer: Mixer, subject: str, heads: int
    ) -> None:
        for case in Case.each(subject, heads=heads, head_size=64 // heads):
            single = case.single()
            _, states = single.extended(single.tokens(3, 40), [1] * 40)
            shapes = [{name: tuple(kept.shape) for name, kept in state.items()} for state in states]
            assert shapes == [mixer.state_shapes(3, case.sizes, tokens) for tokens in range(41)]
            sizes = [sum(kept.nbytes for kept in state.values()) // 3 for state in states]
            assert sizes == [mixer.state_bytes(case.sizes, tokens) for tokens in range(41)]
            halves = [mixer.state_bytes(case.sizes, tokens, itemsize=2) for tokens in range(41)]
            assert halves == [size // 2 for size in sizes]

    def test_fewer_heads_of_keys_and_values_keep_less(self, mixer: Mixer, subject: str) -> None:
        whole, shared = Case.of(subject, heads=4), Case.of(subject, heads=4, kv_heads=1)
        if "kv_heads" in mixer.genes:
            assert 4 * mixer.state_bytes(shared.sizes, 200) == mixer.state_bytes(whole.sizes, 200)
        else:
            assert shared.sizes == whole.sizes

    @given(data=st.data())
    @arbitrary(10)
    def test_no_token_sees_a_later_one(self, subject: str, data: st.DataObject) -> None:
        tokens = data.draw(st.integers(1, 140))
        changed = data.draw(st.integers(0, tokens - 1))
        case = Case.of(subject, heads=2, head_size=4, conv=data.draw(st.sampled_from([0, 4])))
        x = case.tokens(1, tokens, seed=data.draw(st.integers(0, 9)))
        before = case.forward(x)
        x[:, changed:] += 3.0
        after = case.forward(x)
        torch.testing.assert_close(before[:, :changed], after[:, :changed], rtol=0, atol=1e-12)

    def test_sequences_of_a_batch_do_not_mix(self, subject: str) -> None:
        case = Case.of(subject, heads=2, head_size=4, conv=2)
        x = case.tokens(3, 20)
        alone = torch.cat([case.forward(x[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(case.forward(x), alone)

    def test_large_scores_stay_finite(self, subject: str) -> None:
        case = Case.of(subject, heads=2, head_size=16)
        large = {name: weight * (1 if name == "value" else 6) for name, weight in case.weights.items()}
        case = replace(case, weights=large).single()
        x = (case.tokens(1, 70) * 5).requires_grad_()
        mixed = case.forward(x)
        assert mixed.isfinite().all()
        (gradient,) = torch.autograd.grad(mixed.sum(), x)
        assert gradient.isfinite().all()

    def test_operations_grow_with_the_sequence(self, mixer: Mixer, subject: str) -> None:
        sizes = Case.of(subject, heads=4, head_size=16).sizes

        def macs(tokens: int) -> int:
            return sum(operation.macs for operation in mixer.operations(sizes, tokens))

        assert all(x.macs >= 0 and x.elements >= 0 and x.calls >= 1 for x in mixer.operations(sizes, 300))
        assert all(x.macs >= 0 and x.elements >= 0 for x in mixer.step_operations(sizes, 300))
        growth = macs(4096) / macs(1024) if macs(1024) else 4.0
        assert 3.9 < growth < LARGEST_GROWTH or mixer.name in self.quadratic

    def test_a_smaller_width_is_a_prefix(self, mixer: Mixer, subject: str) -> None:
        larger, smaller = (mixer.shapes(Case.of(subject, 2, size, conv=4).sizes) for size in (16, 8))
        assert larger.keys() == smaller.keys()
        for name, weight in larger.items():
            follow = [axis == "width" for axis in weight.axes]
            wanted = tuple(n // 2 if f else n for n, f in zip(weight.shape, follow, strict=True))
            assert smaller[name].shape == wanted

    def test_exports_to_onnx_with_any_batch_and_length(self, subject: str) -> None:
        onnxruntime = pytest.importorskip("onnxruntime")
        from nas.export import BlockLibrary
        from searchspaces.submodel import Submodel

        torch.manual_seed(0)
        submodel = Submodel(Architecture(50, 36, (Layer(subject, 2, ratio=1, conv=4),))).eval()
        for weight in submodel.parameters():  # what starts with zeros or ones as well
            weight.data += 0.1 * torch.randn_like(weight)
        weights = {name: value.numpy() for name, value in submodel.state_dict().items()}
        model = BlockLibrary().compose(submodel.architecture, weights).SerializeToString()
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        for batch, tokens in [(1, 1), (3, 64), (1, 257)]:
            ids = np.random.default_rng(tokens).integers(50, size=(batch, tokens))
            (got,) = session.run(None, {"tokens": ids})
            with torch.inference_mode():
                np.testing.assert_allclose(got, submodel(torch.from_numpy(ids)).numpy(), atol=1e-4)
