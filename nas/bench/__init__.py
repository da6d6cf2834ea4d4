"""Comparing search strategies on problems whose answers are known, without a device."""

from nas.bench.problems import BenchProblem, load_problem
from nas.bench.search import run_search_bench
from nas.bench.simulation import Simulation, Trace

__all__ = ["BenchProblem", "Simulation", "Trace", "load_problem", "run_search_bench"]
