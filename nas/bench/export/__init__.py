"""Does what is shipped run as fast and as well as the front said?"""

from nas.bench.export.bench import ExportBench, run_export_bench

__all__ = ["ExportBench", "run_export_bench"]
