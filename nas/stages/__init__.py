"""The stages of a job, each idempotent and resumable."""
