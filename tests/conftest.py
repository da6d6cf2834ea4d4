"""Tests run beside each other and beside other programs: none computes with several threads of its own
accord, and no property has a deadline."""

import os

from hypothesis import settings

# Before numpy and torch are imported; what a test starts inherits it.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
