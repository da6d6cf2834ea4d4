"""What is measured of this project by itself, for `nas bench`.

The modules here compare search strategies on problems whose answers are known, without a device (and, in
`devices`, predictors on real ones); a package each is what else is asked: of mixers, of the supernet's
ranking, of what is shipped, of pretrained models.
"""

from nas.bench.benchmarks import Benchmark, load_benchmark
from nas.bench.search import run_search_bench
from nas.bench.simulation import Simulation, Trace

__all__ = ["Benchmark", "Simulation", "Trace", "load_benchmark", "run_search_bench"]
