"""What is a search worth to a pretrained model?"""

from nas.bench.start.bench import FOUND, Kept, StartBench, run_start_bench

__all__ = ["FOUND", "Kept", "StartBench", "run_start_bench"]
