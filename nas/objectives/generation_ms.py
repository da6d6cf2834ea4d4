"""How long a whole request takes: a prompt, and the tokens that follow it."""

from __future__ import annotations

from collections.abc import Sequence

from nas.objectives.kind import Combined, register_objective
from nas.objectives.latency_ms import LATENCY
from nas.objectives.objective import Key, Objective
from workers.target import Phase, Target

__all__ = ["Generation"]


@register_objective("generation_ms")
class Generation(Combined):
    """The latency of a prompt plus so many times that of a token, of targets that differ in their workloads
    alone: each that decodes, with the longest prompt among the others that is no longer than its context.
    """

    unit = "ms"
    label = "generation"
    aliases = ("generation",)

    @classmethod
    def axes(cls, targets: Sequence[Target]) -> list[Objective]:
        """One for each target that decodes and has a prompt, called as a latency is."""
        return super().axes([target for target in targets if _prompt(target, targets)])

    @classmethod
    def terms(cls, target: Target, targets: Sequence[Target], generated: int) -> list[tuple[float, Key]]:
        """The prompt once, the token as often as one is generated."""
        prompt = _prompt(target, targets)
        assert prompt is not None
        return [(1.0, (LATENCY, str(prompt))), (float(generated), (LATENCY, str(target)))]


def _prompt(decoding: Target, targets: Sequence[Target]) -> Target | None:
    """The target of the prompt before what is decoded."""
    if decoding.workload.phase is not Phase.DECODE:
        return None

    def serves(other: Target) -> bool:
        same = all(
            getattr(other, name) == getattr(decoding, name)
            for name in ("device", "runtime", "dtype", "threads")
        )
        mine, its = decoding.workload, other.workload
        return same and its.phase is Phase.PREFILL and its.batch == mine.batch and its.tokens <= mine.tokens

    return max(filter(serves, targets), key=lambda other: other.workload.tokens, default=None)
