"""The contract of token mixers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nas.testing.contract import Contract, arbitrary
from searchspaces.architecture import Architecture, Layer
from searchspaces.form import Classes, Form, Grid, Input, Tokens
from searchspaces.mixers import Mixer, mixers, parse_mixer
from searchspaces.mixers.mixer import State
from searchspaces.part import CAUSAL, Sight, Sizes, View
from searchspaces.rotary import Turns, grid_rotary, rotary
from searchspaces.stems import parse_stem

__all__ = ["BidirectionalMixerContract", "Case", "MixerContract"]

GRIDS = ((1,), (9,), (150,), (1, 7), (7, 7), (12, 10))
"""On which tokens that all see each other are mixed, where the mixer takes grids of so many axes."""

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
        """In a plain layer, with short convolutions, and with fewer heads of keys and values besides."""
        genes: list[dict[str, Any]] = [{}, {"conv": 4}, {"conv": 3, "kv_heads": 1}]
        return [cls.of(option, heads, head_size, **later) for later in genes]

    @property
    def mixer(self) -> Mixer:
        return parse_mixer(self.option)

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

    def forward(self, x: Tensor) -> Tensor:
        """`Mixer.forward` of (B, N, D)."""
        return self.mixer.forward(x, self.weights, self.sizes, self._all_turns(x))

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
        states = [self.mixer.init_state(x.shape[0], self.sizes, x.dtype)]
        rows, position = [], 0
        for piece in x.split(list(pieces), dim=1):
            turns = self.turns(*range(position, position + piece.shape[1]))
            row, state = self.mixer.extend(piece, self.weights, self.sizes, turns, states[-1], position)
            rows.append(row)
            states.append(state)
            position += piece.shape[1]
        return torch.cat(rows, dim=1), states


class _OfEverySight(Contract):
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


class MixerContract(_OfEverySight):
    """What every token mixer does that sees earlier tokens alone.

    Attributes:
        subjects: option texts, e.g. ``"window:8"``.
        quadratic: names of those whose work grows with the square of the sequence.
    """

    quadratic: ClassVar[frozenset[str]] = frozenset()

    def test_it_is_causal(self, mixer: Mixer) -> None:
        assert Sight.CAUSAL in mixer.sights

    @pytest.mark.parametrize("tokens", [1, 9, 150])
    def test_forward_is_the_reference(self, subject: str, tokens: int) -> None:
        for case in Case.each(subject):
            x = case.tokens(2, tokens)
            torch.testing.assert_close(case.forward(x), case.reference(x), rtol=1e-9, atol=1e-9)

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

    @pytest.mark.parametrize("pieces", [[150], [5, 90, 1, 1, 2, 51], [64, 64, 22], [1, 149], [16, 1, 133]])
    def test_forward_is_any_pieces_one_after_another(self, subject: str, pieces: list[int]) -> None:
        for case in Case.each(subject, heads=4, head_size=18):
            x = case.tokens(2, 150)
            mixed, _ = case.extended(x, pieces)
            torch.testing.assert_close(mixed, case.forward(x), rtol=1e-9, atol=1e-9)

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


class BidirectionalMixerContract(_OfEverySight):
    """What every token mixer does where tokens all see each other.

    Attributes:
        subjects: option texts, e.g. ``"softmax"``.
        quadratic: names of those whose work grows with the square of the sequence.
    """

    quadratic: ClassVar[frozenset[str]] = frozenset()

    @staticmethod
    def cases(option: str, heads: int = 2, head_size: int = 18) -> list[Case]:
        """On grids of every number of axes that the mixer takes."""
        mixer = parse_mixer(option)
        views = [View(False, grid) for grid in GRIDS if len(grid) in mixer.dimensions]
        return [Case.of(option, heads, head_size, view=view) for view in views]

    def test_it_is_bidirectional(self, mixer: Mixer) -> None:
        assert Sight.BIDIRECTIONAL in mixer.sights
        assert mixer.dimensions

    def test_forward_is_the_reference(self, subject: str) -> None:
        for case in self.cases(subject):
            x = case.tokens(2, math.prod(case.sizes.view.grid))
            torch.testing.assert_close(case.forward(x), case.reference(x), rtol=1e-9, atol=1e-9)

    def test_gradients_are_those_of_the_reference(self, subject: str) -> None:
        for case in self.cases(subject, head_size=6):
            x = case.tokens(1, math.prod(case.sizes.view.grid))
            inputs = [y.requires_grad_() for y in (x, *case.weights.values())]
            weights = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
            results = (case.forward(x), case.reference(x))
            if not results[0].requires_grad:
                continue
            found, wanted = (
                torch.autograd.grad((result * weights).sum(), inputs, materialize_grads=True)
                for result in results
            )
            for ours, theirs in zip(found, wanted, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)

    def test_macs_are_those_that_torch_counts(self, mixer: Mixer, subject: str) -> None:
        for case in self.cases(subject):
            tokens = math.prod(case.sizes.view.grid)
            x = case.tokens(1, tokens)
            with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                case.forward(x)
            said = sum(operation.macs for operation in mixer.operations(case.sizes, tokens))
            assert said == counter.get_total_flops() // 2

    def test_later_tokens_are_seen_where_others_are(self, subject: str) -> None:
        for case in self.cases(subject):
            tokens = math.prod(case.sizes.view.grid)
            if tokens < 2:
                continue
            x = case.tokens(1, tokens)
            before = case.forward(x)
            seen = torch.zeros(tokens, tokens, dtype=torch.bool)
            for changed in (0, tokens // 2, tokens - 1):
                moved = x.clone()
                moved[:, changed] += 3.0
                seen[:, changed] = (case.forward(moved) != before).any(-1)[0]
            later, earlier = seen.triu(1).any(), seen.tril(-1).any()
            assert later == earlier, case.sizes.view.grid

    def test_sequences_of_a_batch_do_not_mix(self, subject: str) -> None:
        for case in self.cases(subject):
            x = case.tokens(3, math.prod(case.sizes.view.grid))
            alone = torch.cat([case.forward(x[i : i + 1]) for i in range(3)])
            torch.testing.assert_close(case.forward(x), alone)

    def test_large_scores_stay_finite(self, subject: str) -> None:
        for case in self.cases(subject, head_size=16):
            large = {name: weight * (1 if name == "value" else 6) for name, weight in case.weights.items()}
            single = replace(case, weights=large).single()
            x = (single.tokens(1, math.prod(case.sizes.view.grid)) * 5).requires_grad_()
            mixed = single.forward(x)
            assert mixed.isfinite().all()
            (gradient,) = torch.autograd.grad(mixed.sum(), x)
            assert gradient.isfinite().all()

    def test_operations_grow_with_the_grid(self, mixer: Mixer, subject: str) -> None:
        for grids in (((1024,), (4096,)), ((32, 32), (64, 64))):
            if len(grids[0]) not in mixer.dimensions:
                continue
            found = []
            for grid in grids:
                sizes = Case.of(subject, heads=4, head_size=16, view=View(False, grid)).sizes
                operations = mixer.operations(sizes, math.prod(grid))
                assert all(x.macs >= 0 and x.elements >= 0 and x.calls >= 1 for x in operations)
                found.append(sum(operation.macs + operation.elements for operation in operations))
            growth = found[1] / found[0] if found[0] else 4.0
            assert 3.5 < growth < LARGEST_GROWTH or mixer.name in self.quadratic

    def test_a_smaller_width_is_a_prefix(self, mixer: Mixer, subject: str) -> None:
        for larger, smaller in zip(self.cases(subject, 2, 16), self.cases(subject, 2, 8), strict=True):
            largest = mixer.shapes(larger.sizes)
            assert {name: weight.axes for name, weight in largest.items()} == {
                name: weight.axes for name, weight in mixer.shapes(smaller.sizes).items()
            }
            for name, weight in largest.items():
                follow = [axis == "width" for axis in weight.axes]
                wanted = tuple(n // 2 if f else n for n, f in zip(weight.shape, follow, strict=True))
                assert mixer.shapes(smaller.sizes)[name].shape == wanted

    def test_exports_to_onnx_with_any_batch(self, mixer: Mixer, subject: str) -> None:
        onnxruntime = pytest.importorskip("onnxruntime")
        from nas.export import BlockLibrary
        from searchspaces.submodel import Submodel

        inputs: dict[str, Input] = {"embedding": Tokens(20, 33), "patch:2": Grid((10, 14))}
        for stem, given_as in inputs.items():
            form = Form(given_as, Classes(3))
            if len(parse_stem(stem).grid(form.input)) not in mixer.dimensions:
                continue
            torch.manual_seed(0)
            layers = (Layer(subject, 2, ratio=1),)
            submodel = Submodel(Architecture(0, 36, layers, form=form, stem=stem, readout="pool")).eval()
            for weight in submodel.parameters():
                weight.data += 0.1 * torch.randn_like(weight)
            weights = {name: value.numpy() for name, value in submodel.state_dict().items()}
            model = BlockLibrary().compose(submodel.architecture, weights).SerializeToString()
            session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
            for batch in (1, 3):
                given = torch.randn(form.input.shape(batch))
                given = given.abs().long() if isinstance(form.input, Tokens) else given
                (got,) = session.run(None, {form.input.name: given.numpy()})
                with torch.inference_mode():
                    np.testing.assert_allclose(got, submodel(given).numpy(), atol=1e-4)
