"""Engines that compile a submodel for one shape: what is traced, packed and fed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nas.export.timed import submodel_file
from nas.export.weights import random_weights
from searchspaces.architecture import Architecture, Layer
from searchspaces.mixers import mixers
from searchspaces.part import Sight
from searchspaces.submodel import Submodel
from workers.errors import ModelUnusable
from workers.runtimes.programs import LoadedProgram, Program, packed, traceable, unpacked
from workers.target import Phase, Workload

STEP = Workload(Phase.DECODE, tokens=40)


def file_of(*mixers_: str, workload: Workload = STEP) -> bytes:
    layers = tuple(Layer(mixer, 2, ratio=1) for mixer in mixers_)
    architecture = Architecture(50, 16, layers)
    return submodel_file(architecture, random_weights(architecture), workload)


@pytest.mark.parametrize("mixer", sorted(set(mixers(Sight.CAUSAL)) - {"none"}))
def test_what_is_traced_is_a_step_of_the_submodel(mixer: str) -> None:
    option = mixers()[mixer].example
    file = file_of(option, "softmax")
    program, module, examples = traceable(file)
    assert program.shape == (1, 1)
    assert program.advancing[-2:] == (False, False)  # softmax keeps every token
    assert len(examples) == 2 + len(program.states)
    with torch.inference_mode():
        logits, *following = module(*examples)
    submodel = Submodel(Architecture(50, 16, (Layer(option, 2, ratio=1), Layer("softmax", 2, ratio=1))))
    submodel.load_state_dict(random_weights(submodel.architecture))
    from workers.runtimes.submodels import first_state

    state = first_state(submodel, STEP)
    values = iter(program.first()[1:])
    layers = tuple({name: torch.from_numpy(next(values)) for name in layer} for layer in state.layers)
    with torch.inference_mode():
        expected, after = submodel.extend(examples[0], type(state)(STEP.tokens, layers))
    torch.testing.assert_close(logits, expected)
    named = [value for layer in after.layers for value in layer.values()]
    for found, wanted in zip(following, named, strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_program_is_packed_with_what_it_takes() -> None:
    program = Program((2, 1), 40, ((2, 3), (2, 5)), (True, False))
    assert unpacked(packed(program, b"compiled")) == (program, b"compiled")
    assert Program((1, 64)).first() == []
    for file in (b"", bytes(1000), b"not a model", packed(program, b"")[:20]):
        with pytest.raises(ModelUnusable):
            unpacked(file)


def test_decoding_in_a_row_feeds_on_what_can_be_fed_on() -> None:
    program, seen = Program((1, 1), 40, ((1, 2), (1, 3)), (True, False)), []

    def call(inputs: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        _, position, one, two = inputs
        seen.append((int(position), float(one.sum()), float(two.sum())))
        return [np.zeros((1, 1, 5)), one + 1, np.zeros((1, 4))]

    loaded = LoadedProgram(program, call)
    run = loaded.in_a_row(np.zeros((1, 1), np.int64), 3)
    for _ in range(2):
        run()
    first = seen[0]
    assert seen[:3] == seen[3:]  # the same states each time
    assert [position for position, _, _ in seen[:3]] == [40, 41, 42]
    assert [one for _, one, _ in seen[:3]] == pytest.approx([first[1], first[1] + 2, first[1] + 4])
    assert {two for _, _, two in seen} == {first[2]}
    with pytest.raises(ModelUnusable, match=r"\(1, 2\); the file was compiled for \(1, 1\)"):
        loaded(np.zeros((1, 2), np.int64))
