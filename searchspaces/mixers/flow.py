"""Linear attention that conserves flow (Flowformer; Wu et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from searchspaces.mixers.chunks import chunk_count, into_chunks, out_of_chunks
from searchspaces.mixers.heads import TwoSightedHeadMixer
from searchspaces.mixers.kernel import CHUNK
from searchspaces.mixers.mixer import Kind, Position, Shape, State, Weights, register_mixer
from searchspaces.mixers.padding import absent, of_tokens
from searchspaces.mixers.projected import LINEAR
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = 1e-6
"""Added to both factors of every flow."""


@register_mixer("flow")
@dataclass(frozen=True)
class Flow(TwoSightedHeadMixer):
    """Queries are sinks, keys are sources, φ = sigmoid, and f(x, y) = (x + ε)·(y + ε).

    Into sink i flows I_i = f(φq_i, Σ φk_j), out of source j flows O_j = f(φk_j, Σ φq_i). With each held at 1
    for the other, Î_i = f(φq_i, Σ φk_j / O_j) and Ô_j = min(f(φk_j, Σ φq_i / I_i), 1). Sources compete and
    sinks allocate: out_i = σ(Î_i) Σ_j (φq_i·φk_j / I_i) N softmax_j(Ô) v_j.

    Causal, all sums are over j ≤ i; those that hold flows at 1 are means (1/O and 1/I times the position's
    number n, Î and Ô over n), and a source competes with those before it: exp(Ô_j) / Σ_{l≤j} exp(Ô_l) · j.
    """

    glyph = "F"
    example = "flow"
    kind = Kind.KERNEL
    kernel = "σ(q)·σ(k), of flows that are conserved"
    sparsity = "all tokens"
    source = "Flowformer: Wu et al., 2022"
    family = LINEAR
    genes = frozenset({"heads", "conv"})  # what leaves a source depends on the queries of its own head

    def mix_bidirectional(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        weights: Weights,
        sizes: Sizes,
        present: Tensor | None = None,
    ) -> Tensor:
        """By sums over all tokens."""
        q, k = q.sigmoid(), k.sigmoid()
        count: Any = int(k.shape[2])
        if present is not None:
            there = of_tokens(present, q)
            q, k, count = q * there, k * there, there.sum(2, keepdim=True)
        incoming = _flow(q, k.sum(2, keepdim=True))
        outgoing = _flow(k, q.sum(2, keepdim=True))
        allocation = _flow(q, (k / outgoing).sum(2, keepdim=True)).sigmoid()
        kept = _flow(k, (q / incoming).sum(2, keepdim=True)).clamp(max=1.0)
        if present is not None:
            kept = kept + (1 - there) * absent(kept)
        competition = kept.softmax(2) * count
        mixed: Tensor = q @ (k.transpose(-1, -2) @ (v * competition)) / incoming * allocation
        return mixed

    def mix_bidirectional_reference(
        self, q: Tensor, k: Tensor, v: Tensor, weights: Weights, sizes: Sizes
    ) -> Tensor:
        """Pair by pair."""
        import torch

        q, k = q.sigmoid(), k.sigmoid()
        # (B, H, i, j, K) of sinks and sources.
        sinks, sources = q.unsqueeze(3), k.unsqueeze(2)
        tokens = k.shape[2]
        incoming = ((sinks + EPSILON) * (sources.sum(3, keepdim=True) + EPSILON)).sum(-1)
        outgoing = ((sources + EPSILON) * (sinks.sum(2, keepdim=True) + EPSILON)).sum(-1)
        held = (sources / outgoing.unsqueeze(-1)).sum(3, keepdim=True) + EPSILON
        allocation = ((sinks + EPSILON) * held).sum(-1).sigmoid()
        held = (sinks / incoming.unsqueeze(-1)).sum(2, keepdim=True) + EPSILON
        kept = ((sources + EPSILON) * held).sum(-1).clamp(max=1.0)
        competition = kept.exp() / kept.exp().sum(-1, keepdim=True) * tokens
        shares = torch.einsum("bhik,bhjk->bhij", q, k) / incoming * competition * allocation
        return torch.einsum("bhij,bhjk->bhik", shares, v)

    def mix_bidirectional_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Flows, and one state and its use."""
        inner, written = sizes.inner, tokens * sizes.inner
        return (
            Operation(OperationKind.ELEMENTWISE, elements=14 * written, calls=30),
            Operation(
                OperationKind.ATTENTION,
                macs=2 * written * sizes.head_size,
                elements=inner * sizes.head_size + written,
                calls=2,
            ),
            Operation(OperationKind.ELEMENTWISE, elements=2 * written, calls=2),
        )

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """In chunks, from nothing."""
        shapes = self.mix_state_shapes(1, int(q.shape[1]), int(q.shape[3]), 0)
        start = {name: q.new_zeros(shape).expand(q.shape[0], -1, -1, -1) for name, shape in shapes.items()}
        return self.mix_extend(q, k, v, start, 0)[0]

    def mix_reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token, every sum anew."""
        import torch

        q, k = q.sigmoid(), k.sigmoid()
        sources, sinks, competitions, values, mixed = [], [], [], [], []
        for i in range(q.shape[2]):
            number = i + 1
            here, there = q[:, :, i] + EPSILON, k[:, :, i] + EPSILON
            incoming = (here * (k[:, :, :number].sum(2) + EPSILON)).sum(-1, keepdim=True)
            outgoing = (there * (q[:, :, :number].sum(2) + EPSILON)).sum(-1, keepdim=True)
            sources.append(k[:, :, i] / outgoing * number)
            sinks.append(q[:, :, i] / incoming * number)
            held = torch.stack(sources).sum(0) + EPSILON
            allocation = ((here * held).sum(-1, keepdim=True) / number).sigmoid()
            held = torch.stack(sinks).sum(0) + EPSILON
            kept = ((there * held).sum(-1, keepdim=True) / number).clamp(max=1.0).exp()
            competitions.append(kept)
            values.append(v[:, :, i] * kept / torch.stack(competitions).sum(0) * number)
            shares = (q[:, :, i : i + 1] * k[:, :, :number]).sum(-1, keepdim=True)
            mixed.append((shares * torch.stack(values, dim=2)).sum(2) / incoming * allocation)
        return torch.stack(mixed, dim=2)

    def mix_extend(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position
    ) -> tuple[Tensor, State]:
        """Running sums, and the product of each chunk with what was before it."""
        import torch

        q, k = q.sigmoid(), k.sigmoid()
        number = torch.arange(1, q.shape[2] + 1, device=q.device, dtype=q.dtype).unsqueeze(1) + position
        following: State = {}

        def running(name: str, x: Tensor) -> Tensor:
            """Sums (B, H, S, ·) up to each token."""
            sums = torch.cat([state[name], x], dim=2).cumsum(2)
            following[name] = sums[:, :, -1:]
            return sums[:, :, 1:]

        incoming = _flow(q, running("sources", k))
        outgoing = _flow(k, running("sinks", q))
        allocation = (_flow(q, running("outgoing", k / outgoing * number)) / number).sigmoid()
        kept = (_flow(k, running("incoming", q / incoming * number)) / number).clamp(max=1.0).exp()
        values = v * (kept / running("competition", kept) * number)
        queries, keys, values = (into_chunks(x, CHUNK) for x in (q, k, values))
        keys = keys.transpose(-1, -2)
        states = torch.cat([state["sums"].unsqueeze(2), keys @ values], dim=2).cumsum(2)
        following["sums"] = states[:, :, -1]
        mixed = (queries @ keys).tril() @ values + queries @ states[:, :, :-1]
        return out_of_chunks(mixed, v.shape[2]) / incoming * allocation, following

    def mix_step(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position
    ) -> tuple[Tensor, State]:
        """The same for one token."""
        q, k, v = q.sigmoid(), k.sigmoid().unsqueeze(2), v.unsqueeze(2)
        number = position + 1
        following: State = {"sources": state["sources"] + k, "sinks": state["sinks"] + q}
        incoming, outgoing = _flow(q, following["sources"]), _flow(k, following["sinks"])
        following["outgoing"] = state["outgoing"] + k / outgoing * number
        following["incoming"] = state["incoming"] + q / incoming * number
        allocation = (_flow(q, following["outgoing"]) / number).sigmoid()
        kept = (_flow(k, following["incoming"]) / number).clamp(max=1.0).exp()
        following["competition"] = state["competition"] + kept
        values = v * (kept / following["competition"] * number)
        following["sums"] = state["sums"] + k.transpose(-1, -2) * values
        return q @ following["sums"] / incoming * allocation, following

    def mix_state_shapes(self, batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """Four sums of K, one of 1 and one of K × K a head."""
        names = ("sources", "sinks", "outgoing", "incoming")
        sums: dict[str, Shape] = dict.fromkeys(names, (batch, groups, 1, head_size))
        return sums | {"competition": (batch, groups, 1, 1), "sums": (batch, groups, head_size, head_size)}

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Flows by running sums, the products within chunks, a state a chunk and its use."""
        inner, size, count = sizes.inner, sizes.head_size, chunk_count(tokens, CHUNK)
        padded, written = count * CHUNK, tokens * inner
        return (
            Operation(OperationKind.ELEMENTWISE, elements=18 * written, calls=40),
            Operation(OperationKind.GATHER, elements=4 * written + 3 * padded * inner, calls=9),
            Operation(
                OperationKind.ATTENTION,
                macs=2 * padded * inner * (CHUNK + size),
                elements=padded * CHUNK * sizes.heads + count * inner * size + 2 * padded * inner,
                calls=4,
            ),
            Operation(
                OperationKind.ELEMENTWISE, elements=padded * CHUNK * sizes.heads + 2 * written, calls=5
            ),
        )

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """Six updates of sums, and a product."""
        inner, size = sizes.inner, sizes.head_size
        return (
            Operation(OperationKind.ELEMENTWISE, elements=18 * inner + 2 * inner * size, calls=40),
            Operation(OperationKind.ATTENTION, macs=inner * size, elements=inner),
        )


def _flow(one: Tensor, all_others: Tensor) -> Tensor:
    """(B, H, N, K) and sums (B, H, N or 1, K) → what flows, (B, H, N, 1)."""
    return ((one + EPSILON) * (all_others + EPSILON)).sum(-1, keepdim=True)
