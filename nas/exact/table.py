"""The best choice of one option for each layer of a table, proved: the solver for tables of any origin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.exact.chains import Chain
from nas.exact.solver import WORK, minimise

__all__ = ["Infeasible", "Solution", "Undecided", "solve"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """The best choice found.

    Attributes:
        choice: index of the option chosen for each layer.
        value: its total value.
        used: (resources,) its total of each resource.
        gap: by how much, relative to `value`, another choice might still be better; 0 if it is proved
            optimal.
    """

    choice: tuple[int, ...]
    value: float
    used: Array
    gap: float

    @property
    def proved(self) -> bool:
        """Whether no choice within the bounds has a smaller value, but for a relative difference of 1e-8."""
        return self.gap == 0


class Infeasible(Exception):
    """No choice meets the bounds; this is proved.

    Attributes:
        bounds: indices of bounds that no choice meets together, whatever the other bounds are.
    """

    def __init__(self, bounds: Sequence[int], message: str) -> None:
        super().__init__(message)
        self.bounds = tuple(bounds)


class Undecided(Exception):
    """No choice that meets the bounds was found, nor was it proved that there is none."""


def solve(
    values: ArrayLike | Sequence[ArrayLike],
    resources: ArrayLike | Sequence[ArrayLike] | None = None,
    bounds: ArrayLike = (),
    pairs: Sequence[ArrayLike | None] | None = None,
    work: int = WORK,
) -> Solution:
    """Choose one option for each layer so that the total value is least and no total resource exceeds its
    bound.

    Totals are sums over layers and, if `pairs` are given, over neighbouring layers. Units are the caller's,
    and signs are free: to maximise, negate. Add what every choice has in common, a fixed cost say, to the
    result and subtract it from the bounds. A layer may be left out if one of its options is to do nothing.

    Args:
        values: of each layer, (options,): a (layers, options) array, or a sequence of arrays if layers differ
            in how many options they have.
        resources: of each layer, (options, resources): what each option uses of each resource.
        bounds: (resources,) the most that may be used in total; infinite for no bound. They are met up to a
            relative difference of 1e-9.
        pairs: of each two neighbouring layers, what their options add together: (options, options of the
            next, 1 + resources), the value first; (options, options of the next) if they use no resources; or
            None if they do not interact.
        work: partial choices to look at before giving up the proof; the default takes about a second. It is
            not a limit of time, so that the same table always has the same solution.

    Raises:
        ValueError: shapes do not fit, or a number is NaN or infinite; which one is said.
        Infeasible: no choice meets the bounds; which bounds contradict each other is said.
        Undecided: neither a choice nor a proof of infeasibility was found; more `work` may help.
    """
    chain, limits = _chain(values, resources, bounds, pairs)
    found, least = minimise([chain], 0, np.append(np.inf, limits), work)
    if found is not None:
        return Solution(found.options, float(found.values[0]), found.values[1:], found.gap)
    if np.isinf(least):
        raise _infeasible(chain, limits, work)
    raise Undecided(f"nothing within the bounds was found among {work} partial choices; more work may help")


def _chain(
    values: ArrayLike | Sequence[ArrayLike],
    resources: ArrayLike | Sequence[ArrayLike] | None,
    bounds: ArrayLike,
    pairs: Sequence[ArrayLike | None] | None,
) -> tuple[Chain, Array]:
    """The table as a chain whose first value is to be minimised, and the (resources,) bounds of the
    others."""
    limits = np.asarray(bounds, float)
    if limits.ndim != 1:
        raise ValueError(f"bounds of shape {limits.shape}; accepted: (resources,)")
    for number, limit in enumerate(limits.tolist()):
        if np.isnan(limit) or limit == -np.inf:
            raise ValueError(f"bound {number} is {limit}; accepted: a number, or inf for no bound")
    layers = [_numbers(f"values of layer {n}", row) for n, row in enumerate(_items("values", values))]
    if not layers:
        raise ValueError("values have no layers; accepted: at least one")
    for number, layer in enumerate(layers):
        if layer.ndim != 1 or not len(layer):
            raise ValueError(f"values of layer {number} have shape {layer.shape}; accepted: (options,)")
    if resources is None and len(limits):
        raise ValueError(f"{len(limits)} bounds, but no resources")
    used = (
        [np.empty((len(layer), 0)) for layer in layers]
        if resources is None
        else [
            _numbers(f"resources of layer {n}", row) for n, row in enumerate(_items("resources", resources))
        ]
    )
    if len(used) != len(layers):
        raise ValueError(f"resources of {len(used)} layers, but values of {len(layers)}")
    for number, (layer, use) in enumerate(zip(layers, used, strict=True)):
        if use.shape != (len(layer), len(limits)):
            raise ValueError(
                f"resources of layer {number} have shape {use.shape}; accepted: {(len(layer), len(limits))}, "
                f"its options and the bounds"
            )
    unary = tuple(np.column_stack([layer, use]) for layer, use in zip(layers, used, strict=True))
    return Chain(np.zeros(1 + len(limits)), unary, _pair_terms(pairs, layers, len(limits))), limits


def _pair_terms(
    pairs: Sequence[ArrayLike | None] | None, layers: Sequence[Array], resources: int
) -> tuple[Array | None, ...]:
    between = len(layers) - 1
    given = [None] * between if pairs is None else list(pairs)
    if len(given) != between:
        raise ValueError(f"{len(given)} pairs for {len(layers)} layers; accepted: {between}, None among them")
    terms: list[Array | None] = []
    for number, pair in enumerate(given):
        if pair is None:
            terms.append(None)
            continue
        name = f"pair {number}, of layers {number} and {number + 1},"
        term = _numbers(name, pair)
        shape = (len(layers[number]), len(layers[number + 1]))
        if term.shape == shape:
            term = np.concatenate([term[:, :, None], np.zeros((*shape, resources))], axis=2)
        elif term.shape != (*shape, 1 + resources):
            raise ValueError(f"{name} has shape {term.shape}; accepted: {shape} or {(*shape, 1 + resources)}")
        terms.append(term)
    return tuple(terms)


def _items(name: str, given: ArrayLike | Sequence[ArrayLike]) -> list[ArrayLike]:
    try:
        return list(cast("Iterable[ArrayLike]", given))
    except TypeError as error:
        said = f"{name} are {given!r:.40}; accepted: an array, or a sequence of one item for each layer"
        raise ValueError(said) from error


def _numbers(name: str, given: ArrayLike) -> Array:
    try:
        array = np.asarray(given, float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}; accepted: numbers") from error
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        accepted = "finite numbers; an option that is ruled out is left out"
        raise ValueError(f"{name} have {array[where]} at {where}; accepted: {accepted}")
    return array


def _infeasible(chain: Chain, limits: Array, work: int) -> Infeasible:
    """Which of the bounds contradict each other: each in turn is left out for good where the others are
    proved infeasible without it (deletion filter, Chinneck and Dravnieks, 1991)."""
    conflict = np.flatnonzero(np.isfinite(limits)).tolist()

    def least_use(number: int) -> float:
        """What every choice uses of a resource that meets the other bounds in conflict."""
        within = np.full(1 + len(limits), np.inf)
        for other in conflict:
            within[1 + other] = np.inf if other == number else limits[other]
        return minimise([chain], 1 + number, within, work)[1]

    for number in conflict.copy():
        if np.isinf(least_use(number)):
            conflict.remove(number)
    *rest, last = conflict
    needed = f"every choice uses at least {least_use(last):g}"
    if not rest:
        return Infeasible(conflict, f"bound {last} is {limits[last]:g}, but {needed} of that resource")
    named = ", ".join(f"{number} ({limits[number]:g})" for number in rest)
    said = f"bounds {named} and {last} ({limits[last]:g}) cannot be met together"
    return Infeasible(conflict, f"{said}: within the former, {needed} of resource {last}")
