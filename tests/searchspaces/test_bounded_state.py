"""Which models decode with states of one size."""

from __future__ import annotations

import pytest

from searchspaces import Architecture, Layer
from searchspaces.submodel import has_bounded_state


@pytest.mark.parametrize(
    ("mixers", "bounded"),
    [
        (("decay", "none", "window:64,4", "gatedconv", "sparse"), True),
        (("decay", "softmax"), False),
        (("sparse:8,4,2",), False),  # any earlier token may be asked for
    ],
)
def test_one_layer_that_keeps_every_token_is_enough(mixers: tuple[str, ...], bounded: bool) -> None:
    layers = tuple(Layer(mixer, 2, ratio=1) for mixer in mixers)
    assert has_bounded_state(Architecture(16, 32, layers)) is bounded
