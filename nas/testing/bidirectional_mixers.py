"""The contract of token mixers whose tokens all see each other."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nas.testing.mixers import LARGEST_GROWTH, AnyMixerContract, Case
from searchspaces.architecture import Architecture, Layer
from searchspaces.form import Classes, Form, Grid, Input, Series, Tokens
from searchspaces.mixers import Mixer, parse_mixer
from searchspaces.part import Sight, View
from searchspaces.stems import parse_stem

__all__ = ["BidirectionalMixerContract"]

GRIDS = ((1,), (9,), (150,), (1, 7), (7, 7), (12, 10))
"""On which tokens that all see each other are mixed, where the mixer takes grids of so many axes."""


class BidirectionalMixerContract(AnyMixerContract):
    """What every token mixer does where tokens all see each other.

    Attributes:
        subjects: option texts, e.g. ``"softmax"``.
        quadratic: names of those whose work grows with the square of the sequence.
        of_length: names of those that are not the same for a shorter grid, since what they draw follows from
            its length.
    """

    quadratic: ClassVar[frozenset[str]] = frozenset()
    of_length: ClassVar[frozenset[str]] = frozenset()

    @staticmethod
    def cases(option: str, heads: int = 2, head_size: int = 18) -> list[Case]:
        """On grids of every number of axes that the mixer takes."""
        mixer = parse_mixer(option)
        views = [View(False, grid) for grid in GRIDS if len(grid) in mixer.dimensions]
        return [Case.of(option, heads, head_size, view=view) for view in views]

    def test_it_is_bidirectional(self, mixer: Mixer) -> None:
        assert Sight.BIDIRECTIONAL in mixer.sights
        assert mixer.dimensions

    @pytest.mark.filterwarnings("ignore:To copy construct", "ignore:.*lru_cache")
    def test_compilers_trace_it(self, subject: str) -> None:
        case = self.cases(subject)[-1]
        x = case.tokens(1, math.prod(case.sizes.view.grid))
        torch.testing.assert_close(case.compiled(x), case.forward(x))

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

    @pytest.mark.parametrize(("there", "tokens"), [(5, 9), (1, 9), (97, 150)])
    def test_absent_tokens_are_seen_by_none(self, subject: str, there: int, tokens: int) -> None:
        case = Case.of(subject, 2, view=View(False, (tokens,), padded=True))
        x = case.tokens(2, tokens).requires_grad_()
        present = torch.arange(tokens) < torch.tensor([[there], [tokens]])
        mixed = case.forward(x, present)
        assert mixed.isfinite().all()
        torch.testing.assert_close(mixed[1], case.forward(x)[1], rtol=1e-9, atol=1e-9)
        moved = torch.where(present.unsqueeze(2), x, 20 * case.tokens(2, tokens, seed=1))
        torch.testing.assert_close(case.forward(moved, present)[present], mixed[present])
        if mixed.requires_grad:
            (gradient,) = torch.autograd.grad(mixed[present].sum(), x)
            assert gradient.isfinite().all()
            assert (gradient[~present] == 0).all()

    def test_a_shorter_series_is_mixed_as_one_of_its_own_length(self, mixer: Mixer, subject: str) -> None:
        if mixer.name in self.of_length:
            return
        for there, tokens in ((5, 9), (1, 9), (97, 150)):
            long, short = (Case.of(subject, 2, view=View(False, (n,), padded=True)) for n in (tokens, there))
            kept = {
                name: long.weights[name][tuple(slice(size) for size in weight.shape)]
                for name, weight in mixer.shapes(short.sizes).items()
            }
            x = long.tokens(1, tokens)
            mixed = long.forward(x, (torch.arange(tokens) < there).unsqueeze(0))
            alone = replace(short, weights=kept).forward(x[:, :there])
            torch.testing.assert_close(mixed[:, :there], alone, rtol=1e-8, atol=1e-8)

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

        inputs: dict[str, Input] = {
            "embedding": Tokens(20, 33),
            "patch:2": Grid((10, 14)),
            "frames": Series(33, 2),
        }
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
                if isinstance(form.input, Series):
                    given[0, :, 20:] = torch.nan
                (got,) = session.run(None, {form.input.name: given.numpy()})
                with torch.inference_mode():
                    np.testing.assert_allclose(got, submodel(given).numpy(), atol=1e-4)
