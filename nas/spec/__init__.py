"""What a job is asked to do, as its user writes it: targets, objectives, bounds, and limits of each stage."""

from nas.spec.budgets import (
    HEAL,
    RECIPE,
    Budget,
    CalibrateBudget,
    FinalistBudget,
    LibraryBudget,
    ProfileBudget,
    SearchBudget,
    TrainBudget,
    VerifyBudget,
)
from nas.spec.job import JobSpec, StageName, StartSpec, TargetSpec, TaskSpec
from nas.spec.reading import load_job_spec

__all__ = [
    "HEAL",
    "RECIPE",
    "Budget",
    "CalibrateBudget",
    "FinalistBudget",
    "JobSpec",
    "LibraryBudget",
    "ProfileBudget",
    "SearchBudget",
    "StageName",
    "StartSpec",
    "TargetSpec",
    "TaskSpec",
    "TrainBudget",
    "VerifyBudget",
    "load_job_spec",
]
