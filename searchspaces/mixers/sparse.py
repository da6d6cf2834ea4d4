"""Block-sparse softmax attention with global tokens (Longformer: Beltagy et al., 2020; BigBird: Zaheer
et al., 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from searchspaces.mixers.cache import (
    append,
    attend,
    attend_one_by_one,
    cache_shapes,
    cached_step_operations,
    keep_first,
)
from searchspaces.mixers.chunks import chunk_count, into_chunks, out_of_chunks, with_earlier
from searchspaces.mixers.drawn import constant
from searchspaces.mixers.heads import OnAllKept, TwoSightedHeadMixer
from searchspaces.mixers.mixer import Kind, Position, Shape, State, Weights, register_mixer
from searchspaces.mixers.padding import hiding, of_tokens
from searchspaces.mixers.tiles import Blocks, taken
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes

if TYPE_CHECKING:
    from torch import Tensor


@register_mixer("sparse")
@dataclass(frozen=True)
class Sparse(TwoSightedHeadMixer):
    """Position i sees the positions j ≤ i of its own block, of the block before, the first `globals`
    positions, and `random` earlier blocks.

    These are BigBird's local, global and random blocks in causal form. Cost is N ((2 + random) blocks +
    globals) and no N × N matrix exists. Without random blocks it is what StreamingLLM (Xiao et al., 2024)
    calls a window with sinks, and the state is bounded; with them it keeps every token, as any may be asked
    for.

    Which blocks are random for block m is fixed, the same for all heads, models and lengths: blocks 1 to
    m − 2 in `random` stretches of equal length, one block of each (`_drawn`).

    Where tokens all see each other a position sees the block after its own as well, random blocks come from
    both sides, and the first `globals` positions see every token. In BigBird so does the last block. On a
    grid of two axes blocks are squares of ⌊√C⌋ places a side, each sees the eight around it, and the first
    positions are those of the first rows.

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
    kind = Kind.ATTENTION
    kernel = "exp(q·k/√K), normalised"
    sparsity = "blocks nearby, global tokens, random blocks"
    source = "BigBird: Zaheer et al., 2020"

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

        own = torch.arange(chunk_count(q.shape[2], self.block), device=q.device)
        drawn = _drawn(own, self.random)
        keys, values = self._gathered(k, own, drawn), self._gathered(v, own, drawn)
        return self._mixed(q, keys, values, own, drawn)

    def _mixed(self, q: Tensor, keys: Tensor, values: Tensor, own: Tensor, drawn: list[Tensor]) -> Tensor:
        """Queries (B, H, N, K) of the blocks `own` (M,), which are numbered from the sequence's start, each
        against the keys of its block (B, H, M, globals + (2 + random) C, K)."""
        import torch

        block, count = self.block, own.shape[0]
        queries = into_chunks(q * q.shape[-1] ** -0.5, block)
        start = own[:, None, None] * block
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

    def _gathered(self, x: Tensor, own: Tensor, drawn: list[Tensor]) -> Tensor:
        """(B, H, N, K), from the sequence's start, → (B, H, M, globals + (2 + random) C, K): what each of the
        blocks `own` (M,) meets, in the order of `mix`; zeros for random blocks that there are not."""
        import torch

        unit, per_block = self.globals, self.block // self.globals
        blocks = into_chunks(x, self.block, ahead=1)
        batch, heads, _, _, size = blocks.shape
        start = own.unsqueeze(1) * per_block
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

    def mix_bidirectional(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        weights: Weights,
        sizes: Sizes,
        present: Tensor | None = None,
    ) -> Tensor:
        """Blocks of queries against [globals | random blocks | blocks nearby]; globals apart."""
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        on, blocks = q.device, self._blocks(sizes)
        met, hidden = self._met(blocks)
        cut, table, found, absent = (
            torch.tensor(x, device=on) for x in (blocks.tokens().clip(0), met, blocks.found(), hidden)
        )
        mask, seen = q.new_zeros(hidden.shape).masked_fill(absent, float("-inf")).unsqueeze(1), None
        if present is not None:
            mask, seen = mask + hiding(taken(of_tokens(present, q), table)), present[:, None, None, :]
        queries = taken(q * q.shape[-1] ** -0.5, cut)
        mixed = (queries @ taken(k, table).transpose(-1, -2) + mask).softmax(-1) @ taken(v, table)
        first = min(self.globals, int(q.shape[2]))
        everywhere = scaled_dot_product_attention(q[:, :, :first], k, v, seen)
        return torch.cat([everywhere, mixed.flatten(2, 3).index_select(2, found[first:])], dim=2)

    def mix_bidirectional_reference(
        self, q: Tensor, k: Tensor, v: Tensor, weights: Weights, sizes: Sizes
    ) -> Tensor:
        """Token by token."""
        side, counts = self._side(sizes), self._blocks(sizes).counts
        drawn = drawn_of_both_sides(counts, self.random)
        blocks = list(product(*map(range, counts)))
        block_of = [
            tuple(place // side for place in places) for places in product(*map(range, sizes.view.grid))
        ]
        seen = []
        for i, own in enumerate(block_of):
            random = [blocks[number] for number in drawn[blocks.index(own)] if number >= 0]
            met = [
                j
                for j, other in enumerate(block_of)
                if j < self.globals or _near(own, other) or other in random
            ]
            seen.append(list(range(len(block_of))) if i < self.globals else met)
        return attend_one_by_one(q, k, v, seen)

    def _side(self, sizes: Sizes) -> int:
        return self.block if sizes.view.dimensions == 1 else math.isqrt(self.block)

    def _blocks(self, sizes: Sizes) -> Blocks:
        return Blocks(sizes.view.grid, self._side(sizes))

    def _met(self, blocks: Blocks) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(M, P) tokens that a block's queries meet, and which of them count for none."""
        found = blocks.found()
        first = min(self.globals, len(found))
        cells = drawn_of_both_sides(blocks.counts, self.random)
        drawn = np.array(cells, np.int64)
        met = np.concatenate([drawn.reshape(len(cells), self.random), blocks.near(1)], axis=1)
        numbers = blocks.tokens_of(met)
        # Globals of blocks that are met count once, there.
        within = (met[:, :, None] == found[:first] // blocks.places).any(1)
        globals_ = np.broadcast_to(np.arange(first), within.shape)
        table = np.concatenate([globals_, numbers.clip(0)], axis=1)
        return table, np.concatenate([within, numbers < 0], axis=1)

    def mix_bidirectional_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Scores, softmax, weighted sum over N × (globals + nearby and random blocks) and globals × N, and
        copies."""
        blocks, first = self._blocks(sizes), min(self.globals, tokens)
        count = math.prod(blocks.counts)
        row = first + (math.prod(min(3, n) for n in blocks.counts) + self.random) * blocks.places
        pairs = count * blocks.places * row + first * tokens
        copied = count * (2 * row + blocks.places) + tokens
        return (
            Operation(OperationKind.GATHER, elements=copied * sizes.inner, calls=5),
            Operation(
                OperationKind.ATTENTION, macs=2 * pairs * sizes.inner, elements=pairs * sizes.heads, calls=4
            ),
            Operation(OperationKind.ELEMENTWISE, elements=2 * pairs * sizes.heads, calls=4),
        )

    def mix_step(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position
    ) -> tuple[Tensor, State]:
        """Attend to the own block, the one before, random ones, and the globals once those left."""
        import torch

        kept = self._following(k.unsqueeze(2), v.unsqueeze(2), state, position)
        if self.random:
            return self._on_all_kept(q, kept, position), kept
        _, begin, distant = self._around(q, position)
        near = torch.arange(1 - 2 * self.block, 1, device=q.device) + position
        seen = torch.cat([distant, (near >= begin) & (near >= 0)])
        k, v = (torch.cat([kept[f"global_{name}"], kept[name]], dim=2) for name in ("k", "v"))
        return attend(q, k, v, seen), kept

    def _around(self, q: Tensor, position: Position) -> tuple[Tensor, Tensor, Tensor]:
        """The number of a position's block (1,), where the block before begins, and which of the globals are
        before that."""
        import torch

        own = torch.arange(1, device=q.device) + position // self.block
        begin = (own - 1) * self.block
        return own, begin, torch.arange(self.globals, device=q.device) < begin

    def on_all_kept(self) -> OnAllKept | None:
        """With random blocks, for any token may be asked for."""
        return self._on_all_kept if self.random else None

    def _on_all_kept(self, q: Tensor, kept: State, position: Position) -> Tensor:
        import torch

        own, begin, distant = self._around(q, position)
        within = torch.arange(self.block, device=q.device)
        drawn = _drawn(own, self.random)
        near = begin + torch.arange(2 * self.block, device=q.device)
        asked = [
            torch.arange(self.globals, device=q.device),
            *(row * self.block + within for row in drawn),
            near,
        ]
        there = [(row >= 0).expand(self.block) for row in drawn]
        seen = torch.cat([distant, *there, (near >= 0) & (near <= position)])
        place = torch.cat(asked).clamp(min=0, max=kept["k"].shape[2] - 1)
        k, v = (kept[name].index_select(2, place) for name in ("k", "v"))
        return attend(q, k, v, seen)

    def mix_extend(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position
    ) -> tuple[Tensor, State]:
        """In blocks, as a whole sequence; the first begins where the block of `position` does."""
        import torch

        kept = self._following(k, v, state, position)
        within: Any = position % self.block
        missing = q.new_zeros(q.shape[0], int(q.shape[1]), within, int(q.shape[3]))
        q = torch.cat([missing, q], dim=2)
        own = torch.arange(chunk_count(q.shape[2], self.block), device=q.device) + position // self.block
        drawn = _drawn(own, self.random)
        if self.random:
            keys, values = (self._gathered(kept[name], own, drawn) for name in ("k", "v"))
        else:
            keys = self._after(k, state["k"], kept["global_k"], within)
            values = self._after(v, state["v"], kept["global_v"], within)
        return self._mixed(q, keys, values, own, drawn)[:, :, within:], kept

    def _after(self, x: Tensor, before: Tensor, distant: Tensor, within: Any) -> Tensor:
        """(B, H, S, K) → (B, H, M, globals + 2 C, K): the globals, the block before and the own block.

        Args:
            before: (B, H, 2 C, K), the last tokens before x.
            distant: (B, H, globals, K).
            within: tokens of x's first block that are before x.
        """
        import torch

        near = with_earlier(x, self.block, 1, before[:, :, self.block - within :])
        first = distant.unsqueeze(2).expand(-1, -1, near.shape[2], -1, -1)
        return torch.cat([first, near], dim=3)

    def _following(self, k: Tensor, v: Tensor, state: State, position: Position) -> State:
        """The state with the k and v (B, H, S, K) of tokens from `position` on: all of them with random
        blocks, for any may be asked for."""
        cache = append(state, k, v)
        if self.random:
            return cache
        kept = {name: y[:, :, -2 * self.block :] for name, y in cache.items()}
        for name, new in {"k": k, "v": v}.items():
            kept[f"global_{name}"] = keep_first(state[f"global_{name}"], new, position)
        return kept

    def mix_state_shapes(self, batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """A key and a value for each of the last two blocks' tokens and each global one; for every token with
        random blocks."""
        if self.random:
            return cache_shapes(batch, groups, head_size, tokens)
        near = cache_shapes(batch, groups, head_size, 2 * self.block)
        distant = cache_shapes(batch, groups, head_size, self.globals)
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
        """One row. With random blocks the token's own key and value alone are written: engines append in
        place."""
        return cached_step_operations(sizes, 1 if self.random else self._row + 1, self._row)


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


@constant
def drawn_of_both_sides(counts: tuple[int, ...], random: int) -> tuple[tuple[int, ...], ...]:
    """For each block of so many along every axis, where tokens all see each other, random ones that are
    neither the first nor next to it; −1 where there are not so many."""
    if not random:
        return ((),) * math.prod(counts)
    rng = np.random.default_rng((*counts, random))
    places = np.array(list(product(*map(range, counts))))
    rows = []
    for own in places:
        # As `_near`, of all others at once; what is never drawn is the first.
        distant = 1 + np.flatnonzero(abs(places[1:] - own).max(1) > 1)
        chosen = sorted(rng.permutation(distant)[:random].tolist())
        rows.append((*chosen, *[-1] * (random - len(chosen))))
    return tuple(rows)


def _near(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether blocks are one, or next to each other, corners included."""
    return max(abs(a - b) for a, b in zip(first, second, strict=True)) <= 1
