"""Exact optimisation of sums over layers and neighbouring layers, under bounds.

`solve` takes any table of layers and options; `nas.exact.additive` does the same for functions of an
`Encoding`.
"""

from nas.exact.table import Infeasible, Solution, Undecided, solve

__all__ = ["Infeasible", "Solution", "Undecided", "solve"]
