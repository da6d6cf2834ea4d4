"""Training of the supernet. Importing this package needs no torch."""

from nas.training.ranks import ProcessGroup, Ranks
from nas.training.trainer import TrainingResult, load_supernet, train_supernet

__all__ = ["ProcessGroup", "Ranks", "TrainingResult", "load_supernet", "train_supernet"]
