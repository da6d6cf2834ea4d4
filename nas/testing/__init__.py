"""Contract suites for pytest: what every mixer, channel mixer, task, runtime, predictor, strategy and store
must do.

This project's own classes pass them, and so should those of a plug-in. A suite is a class that names its
subjects by what they are registered as::

    from nas.testing.mixers import MixerContract

    class TestMean(MixerContract):
        subjects = ("mean",)

They need pytest and Hypothesis (``pip install 'nas-service[testing]'``); nothing outside this package does.
"""

from pkgutil import iter_modules

import pytest

# Failed assertions show their values here as they do in test files.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))
