"""Comparing search strategies on problems whose answers are known, without a device."""

from nas.bench.benchmarks import Benchmark, load_benchmark
from nas.bench.search import run_search_bench
from nas.bench.simulation import Simulation, Trace

__all__ = ["Benchmark", "Simulation", "Trace", "load_benchmark", "run_search_bench"]
