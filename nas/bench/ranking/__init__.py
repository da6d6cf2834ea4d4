"""Does a cheap score rank as training alone does?"""

from nas.bench.ranking.bench import (
    FEWEST,
    MIXED,
    RankingBench,
    held_out,
    judge,
    key_of,
    trained_points,
    zero_cost_scores,
)

__all__ = [
    "FEWEST",
    "MIXED",
    "RankingBench",
    "held_out",
    "judge",
    "key_of",
    "trained_points",
    "zero_cost_scores",
]
