"""The order of the stages."""

from nas.stages.finalists import Finalists
from nas.stages.profile import Profile
from nas.stages.search import Search
from nas.stages.stage import Stage
from nas.stages.train import Train
from nas.stages.verify import Verify

__all__ = ["STAGES"]

STAGES: tuple[Stage, ...] = (Profile(), Train(), Search(), Verify(), Finalists())
