"""What can go wrong between a service and the devices that measure for it."""

from __future__ import annotations

__all__ = [
    "AcceleratorFailed",
    "EngineMissing",
    "LinkRefused",
    "ListenFailed",
    "MeasurementCancelled",
    "ModelUnusable",
    "NoWorkerServes",
    "ProtocolViolation",
    "SessionRefused",
    "TargetNotServed",
    "TransferFailed",
    "WorkerError",
]


class WorkerError(Exception):
    """Base of everything that this package raises on purpose."""

    retryable: bool = False
    """Whether another try of the same measurement, here or on another worker, may succeed."""


class EngineMissing(WorkerError):
    """The files of an engine that is given to browsers are not here; says which command fetches them."""


class LinkRefused(WorkerError):
    """A link that admits browsers was used before, is too old, or was never given."""


class NoWorkerServes(WorkerError):
    """No connected worker serves a target; says which are connected and how to start one."""


class ListenFailed(WorkerError):
    """The service cannot listen on the address that it was given."""


class SessionRefused(WorkerError):
    """The service will not have this worker, and trying again will not change that."""


class ProtocolViolation(WorkerError):
    """The other side said something that is not part of the protocol, or that cannot be."""


class TransferFailed(WorkerError):
    """A model did not arrive as it was announced."""

    retryable = True


class TargetNotServed(WorkerError):
    """This device has no such runtime, dtype, phase or number of threads."""


class AcceleratorFailed(WorkerError):
    """There is no accelerator of the kind that a runtime wants, or its driver refuses."""


class ModelUnusable(WorkerError):
    """A model file does not load or does not run in the target's runtime."""


class MeasurementCancelled(WorkerError):
    """The service, or whoever stops the worker, no longer wants the measurement."""

    retryable = True
