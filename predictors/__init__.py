"""Latency predictors: numpy and scipy only."""
