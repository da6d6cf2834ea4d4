"""Baselines that learn from plain features and know nothing of blocks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from predictors.baseline import Baseline
from predictors.design import Matrix, standardisation
from predictors.errors import PredictorError
from predictors.predictor import Vector, register_predictor
from searchspaces.encoding import Population

__all__ = ["Boosting", "Mlp"]


@register_predictor("mlp")
class Mlp(Baseline):
    """Three hidden layers on plain features, as HAT's latency predictor (Wang et al., 2020), with 128 units a
    layer rather than 400, so that 100,000 candidates take under a second. Learns log latency."""

    at_least = 2
    _HIDDEN = (128, 128, 128)

    layers: list[tuple[Matrix, Vector]]

    def _learn(self, population: Population, latency: Vector) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPRegressor

        features, target = self.design.flat(population), np.log(latency)
        self.centre, self.scale = standardisation(features)
        self.level, self.reach = float(target.mean()), float(target.std()) + 1e-9
        network = MLPRegressor(
            hidden_layer_sizes=self._HIDDEN,
            batch_size=min(64, len(target)),
            learning_rate_init=2e-3,
            max_iter=200,
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit((features - self.centre) / self.scale, (target - self.level) / self.reach)
        self.layers = list(zip(network.coefs_, network.intercepts_, strict=True))

    def _expected(self, population: Population) -> Vector:
        x = (self.design.flat(population) - self.centre) / self.scale
        for weight, bias in self.layers[:-1]:
            x = np.maximum(x @ weight + bias, 0.0)
        weight, bias = self.layers[-1]
        return np.asarray(np.exp((x @ weight + bias)[:, 0] * self.reach + self.level), float)

    def _dump_learned(self) -> dict[str, Any]:
        return {
            "layers": [[weight.tolist(), bias.tolist()] for weight, bias in self.layers],
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "level": self.level,
            "reach": self.reach,
        }

    def _load_learned(self, state: Mapping[str, Any]) -> None:
        self.layers = [(np.asarray(weight), np.asarray(bias)) for weight, bias in state["layers"]]
        self.centre, self.scale = np.asarray(state["centre"], float), np.asarray(state["scale"], float)
        self.level, self.reach = float(state["level"]), float(state["reach"])


@register_predictor("lightgbm")
class Boosting(Baseline):
    """Gradient-boosted trees on plain features (Ke et al., 2017). Needs the extra ``nas-service[peers]``."""

    at_least = 4

    def _learn(self, population: Population, latency: Vector) -> None:
        lightgbm = _lightgbm()
        settings = {
            "objective": "regression",
            "verbosity": -1,
            "num_threads": 1,
            "seed": 0,
            "min_data_in_leaf": max(1, min(20, len(latency) // 10)),
            "num_leaves": 15,
            "learning_rate": 0.05,
        }
        data = lightgbm.Dataset(self.design.flat(population), np.log(latency))
        self.text = lightgbm.train(settings, data, num_boost_round=200).model_to_string()
        self._booster = lightgbm.Booster(model_str=self.text)

    def _expected(self, population: Population) -> Vector:
        return np.asarray(np.exp(self._booster.predict(self.design.flat(population), num_threads=1)), float)

    def _dump_learned(self) -> dict[str, Any]:
        return {"model": self.text}

    def _load_learned(self, state: Mapping[str, Any]) -> None:
        self.text = str(state["model"])
        self._booster = _lightgbm().Booster(model_str=self.text)


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise PredictorError(
            "the predictor lightgbm needs the package lightgbm: pip install 'nas-service[peers]'"
        ) from error
    return lightgbm
