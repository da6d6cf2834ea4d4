"""What `docs/results-search.md` states of exact answers: proved optima of random additive models, by time.

python benchmarks/optimum.py [--layers 80] [--options 16] [--bounds 3] [--instances 20] [--peer]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import block_diag

from nas.exact.chains import Chain
from nas.exact.solver import minimise

KINDS = ("unrelated", "traded", "alike")


def instance(kind: str, arguments: argparse.Namespace, pairs: bool, seed: int) -> tuple[Chain, np.ndarray]:
    """A random chain and bounds: between what is least and what is average, by a random share each.

    Args:
        kind: ``unrelated`` has independent uniform values; in ``traded`` an option that is better uses more
            of everything, as real ones do; in ``alike`` all layers are the same but for how much their
            quality counts, so that many choices cost the same.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    layers, options, count = arguments.layers, arguments.options, arguments.bounds
    if kind == "unrelated":
        values = rng.random((layers, options, 1 + count))
    else:
        size = rng.random((layers, options, 1))
        used = 0.3 * rng.random((layers, options, count)) + size * (
            0.7 + 0.3 * rng.random((layers, 1, count))
        )
        values = np.concatenate([1 - np.sqrt(size) + 0.2 * rng.random((layers, options, 1)), used], axis=2)
    if kind == "alike":
        values = np.repeat(values[:1], layers, axis=0)
        values[:, :, 0] *= (0.8 + 0.4 * np.sin(np.pi * (np.arange(layers) + 0.5) / layers))[:, None]
    between = [0.1 * rng.random((options, options, 1 + count)) if pairs else None for _ in range(layers - 1)]
    least, middle = values[:, :, 1:].min(1).sum(0), values[:, :, 1:].mean(1).sum(0)
    limits = least + (middle - least) * (0.3 + 0.5 * rng.random(count)) + pairs * 0.05 * (layers - 1)
    return Chain(np.zeros(1 + count), tuple(values), tuple(between)), np.append(np.inf, limits)


def highs(chain: Chain, bounds: np.ndarray, seconds: float) -> str:
    """The gap that SciPy's mixed-integer solver leaves, and its seconds; of sums over layers only."""
    started = time.process_time()
    table = np.concatenate(chain.unary)
    once = block_diag([np.ones((1, len(unary))) for unary in chain.unary])
    found = milp(
        table[:, 0],
        constraints=[LinearConstraint(once, 1, 1), LinearConstraint(table[:, 1:].T, -np.inf, bounds[1:])],
        integrality=np.ones(len(table)),
        bounds=Bounds(0, 1),
        options={"time_limit": seconds, "mip_rel_gap": 0.0},
    )
    gap = "nothing found" if found.x is None else f"{found.mip_gap:.1e}"
    return f"{gap} ({time.process_time() - started:.1f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("layers", 80), ("options", 16), ("bounds", 3), ("instances", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--peer", action="store_true", help="HiGHS on the first five of each kind, 5 s each")
    arguments = parser.parse_args()
    print(f"{arguments.layers} layers × {arguments.options} options, {arguments.bounds} bounds")
    for pairs in (False, True):
        for kind in KINDS:
            seconds, gaps = [], []
            for seed in range(arguments.instances):
                chain, bounds = instance(kind, arguments, pairs, seed)
                started = time.process_time()
                found, _ = minimise([chain], 0, bounds)
                seconds.append(time.process_time() - started)
                gaps.append(np.nan if found is None else found.gap)
            name = f"{kind}{', with neighbours' if pairs else ''}"
            proved = sum(gap == 0 for gap in gaps)
            print(
                f"{name:28s} proved {proved} of {len(gaps)}, infeasible {int(np.isnan(gaps).sum())}, "
                f"largest gap {np.nanmax(gaps):.1e}; seconds: median {np.median(seconds):.2f}, "
                f"largest {max(seconds):.2f}",
                flush=True,
            )
            if arguments.peer and not pairs:
                left = [highs(*instance(kind, arguments, False, seed), 5.0) for seed in range(5)]
                print(f"{'':28s} HiGHS, 5 s at most: {', '.join(left)}", flush=True)


if __name__ == "__main__":
    main()
