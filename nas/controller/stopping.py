"""How somebody has a job stopped, whichever process runs it: what was asked is a state of the job."""

from __future__ import annotations

from nas.store.store import Store

__all__ = ["ask_to_stop", "forget_stop", "was_asked_to_stop"]

_STATE = "stop"


def ask_to_stop(store: Store, job_id: str) -> None:
    """Whoever runs the job stops between two units of its work."""
    store.put_state(job_id, _STATE, {"asked": True})


def forget_stop(store: Store, job_id: str) -> None:
    """The job may run again."""
    store.put_state(job_id, _STATE, {"asked": False})


def was_asked_to_stop(store: Store, job_id: str) -> bool:
    """Whether somebody asked, and it was not forgotten since."""
    return bool((store.state(job_id, _STATE) or {}).get("asked"))
