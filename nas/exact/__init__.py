"""Exact optimisation of sums over layers and neighbouring layers, under bounds."""
