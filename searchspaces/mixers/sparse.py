"""Block-sparse softmax attention with global tokens (Longformer: Beltagy et al., 2020; BigBird: Zaheer
et al., 2020), causal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from searchspaces.mixers.cache import (
    append,
    attend,
    attend_one_by_one,
    cache_shapes,
    cached_step_operations,
)
from searchspaces.mixers.chunks import chunk_count, into_chunks, out_of_chunks
from searchspaces.mixers.heads import HeadMixer
from searchspaces.mixers.mixer import Shape, State, register_mixer
from searchspaces.operations import Operation, OperationKind

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.part import Sizes


@register_mixer("sparse")
@dataclass(frozen=True)
class Sparse(HeadMixer):
    """Position i sees the positions j ≤ i of its own block, of the block before, the first `globals`
    positions, and `random` earlier blocks.

    These are BigBird's local, global and random blocks in causal form. Cost is N ((2 + random) blocks +
    globals) and no N × N matrix exists. Without random blocks it is what StreamingLLM (Xiao et al., 2024)
    calls a window with sinks, and the state is bounded; with them it keeps every token, as any may be asked
    for.

    Which blocks are random for block m is fixed, the same for all heads, models and lengths: blocks 1 to
    m − 2 in `random` stretches of equal length, one block of each (`_drawn`).

    Args:
        block: C, tokens a block.
        globals: tokens at the start that everyone sees; a divisor of `block`.
        random: blocks among those before the block before; fewer where there are not so many.
    """

    block: int = 64
    globals: int = 32
    random: int = 0

    glyph = "B"
    example = "sparse:8,4"

    limits: ClassVar[Mapping[str, tuple[int, int]]] = {
        "block": (1, 4096),
        "globals": (1, 4096),
        "random": (0, 64),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block % self.globals:
            raise ValueError(f"globals {self.globals} must divide the block {self.block}")

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Blocks of queries against [globals | random blocks | block before | own block]."""
        import torch

        block = self.block
        queries = into_chunks(q * q.shape[-1] ** -0.5, block)
        count = queries.shape[2]
        drawn = _drawn(torch.arange(count, device=q.device), self.random)
        keys, values = self._gathered(k, drawn), self._gathered(v, drawn)
        start = torch.arange(count, device=q.device)[:, None, None] * block
        query = torch.arange(block, device=q.device)[:, None]
        key = torch.arange(-block, block, device=q.device)
        local = (key > query) | (start + key < 0)
        # In the first two blocks the globals are near as well: they count once, as local keys.
        near = (start < 2 * block).expand(count, block, self.globals)
        lacking = [(row < 0)[:, None, None].expand(count, block, block) for row in drawn]
        hidden = torch.cat([near, *lacking, local], dim=2)
        mask = torch.zeros(1, device=q.device, dtype=q.dtype).masked_fill(hidden, float("-inf"))
        mixed = (queries @ keys.transpose(-1, -2) + mask).softmax(-1) @ values
        return out_of_chunks(mixed, q.shape[2])

    def _gathered(self, x: Tensor, drawn: list[Tensor]) -> Tensor:
        """(B, H, N, K) → (B, H, M, globals + (2 + random) C, K): what each block meets, in the order of
        `mix`; zeros for random blocks that there are not."""
        import torch

        unit, per_block = self.globals, self.block // self.globals
        blocks = into_chunks(x, self.block, ahead=1)
        batch, heads, count, _, size = blocks.shape
        start = torch.arange(count - 1, device=x.device).unsqueeze(1) * per_block
        within = torch.arange(per_block, device=x.device)
        near = start + torch.arange(2 * per_block, device=x.device)
        distant = [(row + 1).unsqueeze(1) * per_block + within for row in drawn]
        table = torch.cat([torch.full_like(start, per_block), *distant, near], dim=1)
        units = blocks.reshape(batch, int(heads), -1, unit, int(size)).index_select(2, table.flatten())
        return units.reshape(batch, int(heads), -1, self._row, int(size))

    @property
    def _row(self) -> int:
        """Keys that a query meets in `mix`."""
        return self.globals + (2 + self.random) * self.block

    def _distant(self, position: int) -> list[int]:
        """Where the random blocks of a position's block start."""
        import torch

        own = torch.tensor([position // self.block])
        return [int(block) * self.block for block in _drawn(own, self.random) if block >= 0]

    def mix_reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token."""
        seen = []
        for i in range(q.shape[-2]):
            local, distant = (i // self.block - 1) * self.block, self._distant(i)
            seen.append(
                [
                    j
                    for j in range(i + 1)
                    if j >= local or j < self.globals or j // self.block * self.block in distant
                ]
            )
        return attend_one_by_one(q, k, v, seen)

    def mix_step(self, q: Tensor, k: Tensor, v: Tensor, state: State) -> tuple[Tensor, State]:
        """Attend to what is kept of this block and the one before, and to the globals once those left; with
        random blocks everything is kept."""
        if self.random:
            return self._step_of_all(q, append(state, k, v))
        return self._step_of_near(q, k, v, dict(state))

    def _step_of_all(self, q: Tensor, cache: State) -> tuple[Tensor, State]:
        import torch

        here = int(cache["k"].shape[2]) - 1
        local = max(0, here // self.block - 1) * self.block
        starts = {0: min(self.globals, local)} | {a: a + self.block for a in self._distant(here)}
        spans = [*starts.items(), (local, here + 1)]
        seen = (torch.cat([cache[name][:, :, a:b] for a, b in spans], dim=2) for name in ("k", "v"))
        return attend(q, *seen), cache

    def _step_of_near(self, q: Tensor, k: Tensor, v: Tensor, state: State) -> tuple[Tensor, State]:
        import torch

        if state["k"].shape[2] == 2 * self.block:  # this token begins a block
            for name in ("k", "v"):
                if state[f"global_{name}"].shape[2] == 0:
                    # A copy: a view would keep all of both blocks.
                    state[f"global_{name}"] = state[name][:, :, : self.globals].clone()
                state[name] = state[name][:, :, self.block :]
        state |= append(state, k, v)
        keys, values = (torch.cat([state[f"global_{name}"], state[name]], dim=2) for name in ("k", "v"))
        return attend(q, keys, values), state

    def _kept(self, tokens: int) -> tuple[int, int]:
        """Of so many tokens, those of the last two blocks at most, and the globals that left them."""
        gone = max(0, (tokens - 1) // self.block - 1) * self.block
        return tokens - gone, self.globals if gone else 0

    def mix_state_shapes(self, batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """A key and a value for each token that is kept."""
        if self.random:
            return cache_shapes(batch, groups, head_size, tokens)
        near, distant = (cache_shapes(batch, groups, head_size, kept) for kept in self._kept(tokens))
        return near | {f"global_{name}": shape for name, shape in distant.items()}

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Scores, softmax, weighted sum over N × (globals + (2 + random) C), and the copies of keys and
        values."""
        count = chunk_count(tokens, self.block)
        row = self._row
        pairs = count * self.block * row
        return (
            Operation(OperationKind.GATHER, elements=2 * count * (row + self.block) * sizes.inner, calls=9),
            Operation(
                OperationKind.ATTENTION, macs=2 * pairs * sizes.inner, elements=pairs * sizes.heads, calls=2
            ),
            Operation(OperationKind.ELEMENTWISE, elements=pairs * (2 * sizes.heads + 1), calls=3),
        )

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """One row."""
        cached, seen = sum(self._kept(context)), sum(self._kept(context + 1))
        if not self.random:
            return cached_step_operations(sizes, cached, seen)
        seen += len(self._distant(context)) * self.block
        copied = Operation(OperationKind.GATHER, elements=2 * sizes.shared * seen, calls=2)
        return copied, *cached_step_operations(sizes, context, seen)


PRIME = 2**31 - 1


def _drawn(block: Tensor, random: int) -> list[Tensor]:
    """Random blocks of blocks (M,), one of each stretch (M,); −1 where the stretch is empty.

    Whole numbers alone, so that exports draw at any length what training drew.
    """
    import torch

    distant = (block - 2).clamp(min=0)
    drawn = []
    for stretch in range(random):
        first = torch.div(distant * stretch, random, rounding_mode="trunc")
        length = torch.div(distant * (stretch + 1), random, rounding_mode="trunc") - first
        scattered = (block * 48271 + (stretch + 1) * 69621) % PRIME
        scattered = scattered * scattered % PRIME
        drawn.append(torch.where(length > 0, 1 + first + scattered % length.clamp(min=1), -1))
    return drawn
