"""Measuring in a process of its own: a model that never returns, eats all memory or ends its process takes no
worker with it.

The two processes speak frames over a pipe: a length, then JSON or the bytes of a model. Nothing is pickled.
"""

from __future__ import annotations

import json
import math
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

from workers.capabilities import Accelerator, Capabilities, RuntimeCapability
from workers.errors import MeasurementCancelled, ModelUnusable, WorkerError
from workers.measurement import Measurement
from workers.memory import total_memory_bytes
from workers.request import MeasurementRequest
from workers.target import Phase, Target
from workers.timing import TimingProtocol

__all__ = ["SECONDS", "IsolatedMeasuring", "ModelLimits", "limits_of"]

LOOK_SECONDS = 0.1
"""How often whoever waits for a measurement looks whether it is still wanted."""

DESCRIBE_SECONDS = 300.0
"""How long a device may take to find out what works on it: engines are loaded."""

END_SECONDS = 2.0

SECONDS = 110.0
"""A service takes a measurement from a worker that is at it for longer."""

THREADS = 4
"""That work on a model, at most most of the time."""

_LENGTH = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What the measuring of one model may take.

    Attributes:
        memory_bytes: of address space beside what engines took before the first model; this machine's memory
            where None. Not of GPUs, whose drivers reserve more address space than there is memory.
        processor_seconds: of all threads together.
        seconds: that pass.
    """

    memory_bytes: int | None = None
    processor_seconds: float = 4 * SECONDS
    seconds: float = SECONDS

    def __post_init__(self) -> None:
        for name in ("memory_bytes", "processor_seconds", "seconds"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value!r}; accepted: a finite number above 0")


def limits_of(gibibytes: float | None, seconds: float) -> ModelLimits:
    """As people say them; several threads may work all that time.

    Raises:
        ValueError: a number is none, or not above 0.
    """
    memory = None if gibibytes is None else max(1, round(gibibytes * 2**30))
    return ModelLimits(memory, THREADS * seconds, seconds)


class IsolatedMeasuring:
    """Measures in a process that is started on first use, kept, and replaced where a model ended it.

    Args:
        limits: of every model.
    """

    def __init__(self, limits: ModelLimits | None = None) -> None:
        self._limits = limits or ModelLimits()
        self._process: subprocess.Popen[bytes] | None = None

    def describe(self, device: str) -> Capabilities:
        """See `workers.measuring.describe_device`.

        Raises:
            ValueError: `device` is not a name.
            WorkerError: the measuring process does not say.
        """
        Target(device=device)
        told = self._ask([_packed({"describe": device})], DESCRIBE_SECONDS, lambda: False)
        return _capabilities(told["capabilities"])

    def measure(
        self, request: MeasurementRequest, here: Capabilities, cancelled: Callable[[], bool] = lambda: False
    ) -> Measurement:
        """See `workers.measuring.measure`.

        Raises:
            TargetNotServed, ModelUnusable: see there; ModelUnusable, too, where the model exceeds a limit or
                ends the process.
            MeasurementCancelled: `cancelled` said so; at once, whatever the model is doing.
        """
        asked = asdict(request)
        del asked["model"], asked["reference"]
        asked |= {"target": str(request.target), "here": asdict(here), "limits": asdict(self._limits)}
        frames = [_packed(asked), request.model, request.reference]
        try:
            told = self._ask(frames, self._limits.seconds, cancelled)
        except TimeoutError as error:
            raise ModelUnusable(
                f"the model took over {self._limits.seconds:g} s and was ended; accepted: at most that"
            ) from error
        if "error" in told:
            raise _failed(told)
        known = {**told["measurement"], "target": request.target, "correction": None}
        return Measurement(**known)

    def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _ask(self, frames: list[bytes], seconds: float, cancelled: Callable[[], bool]) -> dict[str, Any]:
        """What the process answers; ended, and started anew the next time, where it does not."""
        process = self._running()
        deadline = time.monotonic() + seconds
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            for frame in frames:
                process.stdin.write(_LENGTH.pack(len(frame)) + frame)
            process.stdin.flush()
            while not select.select([process.stdout], [], [], LOOK_SECONDS)[0]:
                if cancelled():
                    self.close()
                    raise MeasurementCancelled("the measurement is no longer wanted")
                if time.monotonic() > deadline:
                    self.close()
                    raise TimeoutError
            answer = _read_frame(process.stdout)
        except (BrokenPipeError, EOFError) as error:
            status = process.wait()
            self.close()
            raise ModelUnusable(f"the measuring process {_ending(status)} with this model") from error
        return dict(json.loads(answer))

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workers.isolated"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # signals are for the worker, which ends this
            )
        return self._process


def _packed(data: dict[str, Any]) -> bytes:
    return json.dumps(data).encode()


def _read_frame(pipe: IO[bytes]) -> bytes:
    """What the other process wrote; EOFError where it has gone."""
    length = pipe.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        raise EOFError
    (size,) = _LENGTH.unpack(length)
    frame = pipe.read(size)
    if len(frame) < size:
        raise EOFError
    return frame


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    if status == -signal.SIGXCPU:
        return "used up its processor time"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _failed(told: dict[str, Any]) -> WorkerError:
    kinds = {kind.__name__: kind for kind in _errors()}
    error = kinds.get(told["error"], WorkerError)(told["reason"])
    error.retryable = told["retryable"]
    return error


def _errors(base: type[WorkerError] = WorkerError) -> list[type[WorkerError]]:
    return [base, *(found for derived in base.__subclasses__() for found in _errors(derived))]


def _capabilities(told: dict[str, Any]) -> Capabilities:
    runtimes = tuple(
        RuntimeCapability(
            each["name"], each["version"], tuple(each["dtypes"]), tuple(map(Phase, each["phases"]))
        )
        for each in told["runtimes"]
    )
    accelerators = tuple(Accelerator(**each) for each in told["accelerators"])
    return Capabilities(**{**told, "runtimes": runtimes, "accelerators": accelerators})


# The process itself


def main() -> None:
    """Answer until nobody asks any more."""
    requests = sys.stdin.buffer
    # Whatever an engine prints is no answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    before: int | None = None
    while True:
        try:
            asked = json.loads(_read_frame(requests))
            if "describe" in asked:
                from workers.measuring import describe_device

                answer: dict[str, Any] = {"capabilities": asdict(describe_device(asked["describe"]))}
            else:
                model, reference = _read_frame(requests), _read_frame(requests)
                before = _address_space() if before is None else before
                answer = _measured(asked, model, reference, before)
        except EOFError:
            return
        frame = json.dumps(answer).encode()
        try:
            answers.write(_LENGTH.pack(len(frame)) + frame)
            answers.flush()
        except BrokenPipeError:
            return


def _measured(asked: dict[str, Any], model: bytes, reference: bytes, before: int) -> dict[str, Any]:
    from workers.measuring import measure

    limits, here = ModelLimits(**asked.pop("limits")), _capabilities(asked.pop("here"))
    target = Target.parse(asked.pop("target"))
    protocol = TimingProtocol(**asked.pop("protocol"))
    request = MeasurementRequest(**asked, target=target, model=model, reference=reference, protocol=protocol)
    _limit(limits, target, before)
    try:
        measurement = measure(request, here)
    except WorkerError as error:
        return _failure(type(error).__name__, str(error), error.retryable)
    except MemoryError:
        return _failure("ModelUnusable", "the model takes more memory than is allowed", False)
    except Exception as error:  # noqa: BLE001 -- whatever one model brought about, the next is measured
        return _failure("WorkerError", f"{type(error).__name__}: {error}", True)
    kept = {field.name for field in fields(Measurement)} - {"target", "correction"}
    return {"measurement": {name: getattr(measurement, name) for name in sorted(kept)}}


def _failure(kind: str, reason: str, retryable: bool) -> dict[str, Any]:
    return {"error": kind, "reason": reason, "retryable": retryable}


def _limit(limits: ModelLimits, target: Target, before: int) -> None:
    """From now on, for one model; the hard limits stay, so that the next may have as much."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = math.ceil(used.ru_utime + used.ru_stime + limits.processor_seconds)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds if hard < 0 else min(seconds, hard), hard))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = limits.memory_bytes or total_memory_bytes()
    space = before + most if most and "cuda" not in target.runtime else hard
    resource.setrlimit(resource.RLIMIT_AS, (space if hard < 0 else min(space, hard), hard))


def _address_space() -> int:
    """Bytes that this process has mapped; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
