"""Model files: ONNX graphs composed from blocks, and the folder that `extract` hands over.

Importing this package needs no torch.
"""

from nas.export.folder import load_model_folder, write_model_folder
from nas.export.library import BlockLibrary
from nas.export.reference import reference_model

__all__ = ["BlockLibrary", "load_model_folder", "reference_model", "write_model_folder"]
