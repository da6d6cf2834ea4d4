"""What is a search worth to a pretrained model?"""

from nas.bench.start.bench import FOUND, run_start_bench
from nas.bench.start.kept import Kept
from nas.bench.start.settings import StartBench
from nas.bench.start.settled import settle

__all__ = ["FOUND", "Kept", "StartBench", "run_start_bench", "settle"]
