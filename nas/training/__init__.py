"""Training of the supernet. Importing this package needs no torch."""

from nas.training.trainer import TrainingResult, load_supernet, train_supernet

__all__ = ["TrainingResult", "load_supernet", "train_supernet"]
