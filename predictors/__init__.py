"""Latency predictors: numpy and scipy only."""

from predictors.errors import PredictorError
from predictors.factory import make_predictor, restore_predictor
from predictors.planning import choose_next
from predictors.predictor import (
    PREDICTORS,
    Prediction,
    Predictor,
    get_predictor,
    predictors,
    register_predictor,
)
from predictors.prior import Prior
from predictors.report import HeldOut, held_out_report
from predictors.transfer import transfer_prior

__all__ = [
    "PREDICTORS",
    "HeldOut",
    "Prediction",
    "Predictor",
    "PredictorError",
    "Prior",
    "choose_next",
    "get_predictor",
    "held_out_report",
    "make_predictor",
    "predictors",
    "register_predictor",
    "restore_predictor",
    "transfer_prior",
]
