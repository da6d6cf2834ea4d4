"""Runs jobs: claims them, drives their stages, and owns the processes that do the work (Ray)."""
