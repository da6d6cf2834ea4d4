"""What profiling tells of a target."""

from __future__ import annotations

import pytest

from nas.stages.profile import told_attention
from workers.runtimes import RUNTIMES, register_runtime
from workers.runtimes.onnxruntime import OnnxRuntime
from workers.target import Phase, Target, Workload

LONG = Workload(tokens=16384)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (Target("here", "onnxruntime"), "; softmax attention as blocks"),
        (Target("here", "onnxruntime", workload=LONG), "; softmax attention as flash512"),
        (Target("here", "onnxruntime", workload=Workload(Phase.DECODE)), ""),
        (Target("here", "torch", workload=LONG), ""),
    ],
)
def test_the_form_of_attention_is_told(target: Target, told: str) -> None:
    assert told_attention(target) == told


def test_a_form_that_there_is_not_is_told_beside_the_next_one() -> None:
    with RUNTIMES.scratch():

        @register_runtime("fused")
        class Fused(OnnxRuntime):
            def attention(self, tokens: int) -> tuple[str, ...]:
                return ("fused-somehow", "blocks")

        assert (
            told_attention(Target("here", "fused"))
            == "; softmax attention as blocks for want of fused-somehow"
        )
