"""Model files: graphs composed from blocks, what a target is timed with, and the folder of `extract`.

Importing this package needs no torch.
"""

from nas.export.folder import load_model_folder, write_model_folder
from nas.export.library import BlockLibrary
from nas.export.reference import reference_model
from nas.export.timed import TimedModels, attention_for, attention_of

__all__ = [
    "BlockLibrary",
    "TimedModels",
    "attention_for",
    "attention_of",
    "load_model_folder",
    "reference_model",
    "write_model_folder",
]
