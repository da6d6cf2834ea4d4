"""Measuring in a process of its own: a model that never returns, eats all memory or ends its process takes no
worker with it.

It has a child that tells what memory models take (`workers.footprint`), and a folder for temporary files that
is removed with it. It ends with whoever owns it, however that ends.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, fields
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

from workers.capabilities import Accelerator, Capabilities, RuntimeCapability
from workers.children import module_path, python_module
from workers.errors import MeasurementCancelled, ModelUnusable, WorkerError
from workers.footprint import Footprints
from workers.frames import packed, read_frame, unpacked, widen, write_frames
from workers.limits import ModelLimits, address_space_bytes, limit_process
from workers.measurement import Measurement
from workers.memory import trim_heap
from workers.request import MeasurementRequest
from workers.target import Phase, Target
from workers.timing import TimingProtocol

__all__ = ["IsolatedMeasuring"]

LOOK_SECONDS = 0.1
"""How often whoever waits for a measurement looks whether it is still wanted."""

DESCRIBE_SECONDS = 300.0
"""How long a device may take to find out what works on it: engines are loaded."""

IDLE_SECONDS = 1.0
"""Without a request, after which what models left of memory is given back: 2.5 GiB of models of 0.5."""

END_SECONDS = 2.0


class IsolatedMeasuring:
    """Measures in a process that is started on first use, kept, and replaced where a model ended it.

    Args:
        limits: of every model.
    """

    def __init__(self, limits: ModelLimits | None = None) -> None:
        self._limits = limits or ModelLimits()
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch = Path()
        self._ending = ExitStack()  # ends the process, and removes what was made for it

    def describe(self, device: str) -> Capabilities:
        """See `workers.measuring.describe_device`.

        Raises:
            ValueError: `device` is not a name.
            WorkerError: the measuring process does not say.
        """
        Target(device=device)
        try:
            told = self._ask([packed({"describe": device})], DESCRIBE_SECONDS, lambda: False)
        except (TimeoutError, ModelUnusable) as error:
            said = "does not end" if isinstance(error, TimeoutError) else str(error)
            raise WorkerError(
                f"{device} cannot say what works on it: an engine hangs or crashes as it is loaded ({said}); "
                f"accepted: an answer within {DESCRIBE_SECONDS:g} s"
            ) from error
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
        frames = [packed(asked), request.model, request.reference]
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
        """End the process, and remove what it left in its folder."""
        self._process = None
        self._ending.close()

    def _ask(self, frames: list[bytes], seconds: float, cancelled: Callable[[], bool]) -> dict[str, Any]:
        """What the process answers; ended, and started anew the next time, where it does not."""
        process = self._running()
        deadline = time.monotonic() + seconds
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            write_frames(process.stdin, *frames)
            while not select.select([process.stdout], [], [], LOOK_SECONDS)[0]:
                if cancelled():
                    self.close()
                    raise MeasurementCancelled("the measurement is no longer wanted")
                if time.monotonic() > deadline:
                    self.close()
                    raise TimeoutError
            answer = read_frame(process.stdout.fileno())
        except (BrokenPipeError, EOFError) as error:
            status = process.wait()
            self.close()
            raise ModelUnusable(f"the measuring process {_ending(status)}") from error
        told = unpacked(answer)
        if told.pop("last"):
            self.close()  # a new one tells again what models take of memory
        return told

    def _running(self) -> subprocess.Popen[bytes]:
        # Cleaners of temporary folders take one that was not used for days.
        if self._process is None or self._process.poll() is not None or not self._scratch.is_dir():
            self.close()
            self._process = self._spawn()
        return self._process

    def _spawn(self) -> subprocess.Popen[bytes]:
        with ExitStack() as ending:
            folder = tempfile.TemporaryDirectory(prefix="nas-measuring-", ignore_cleanup_errors=True)
            scratch = ending.enter_context(folder)
            # Nobody writes to this pipe: whoever reads it learns that this process has gone.
            lifeline, held = os.pipe()
            ending.callback(os.close, held)
            compiled = os.path.join(tempfile.gettempdir(), f"torchinductor_{os.getuid()}")
            try:
                process = subprocess.Popen(
                    python_module("workers.isolated", str(lifeline), scratch),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={
                        "TORCHINDUCTOR_CACHE_DIR": compiled,  # for the next process, too
                        **os.environ,
                        "PYTHONPATH": module_path(),
                        "TMPDIR": scratch,
                    },
                    pass_fds=(lifeline,),
                    start_new_session=True,  # a group; signals are for the worker, which ends this
                )
            finally:
                os.close(lifeline)
            ending.callback(_end, process)
            assert process.stdin is not None
            widen(process.stdin.fileno())
            self._scratch, self._ending = Path(scratch), ending.pop_all()
        return process


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # with those that it forked
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


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
    lifeline, scratch = int(sys.argv[1]), sys.argv[2]
    footprints = Footprints() if sys.platform == "linux" else None
    # After the fork. Linux's signal at a parent's death would come as soon as the thread that started this
    # process ends.
    threading.Thread(target=_end_with_owner, args=(lifeline, scratch), daemon=True).start()
    requests = sys.stdin.fileno()
    # Whatever an engine prints is no answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            if not select.select([requests], [], [], IDLE_SECONDS)[0]:
                trim_heap()
            answer = _answer(requests, footprints)
            answer["last"] = footprints is not None and footprints.ended
            write_frames(answers, packed(answer))
        except (BrokenPipeError, EOFError):
            _end_all(scratch)


def _end_with_owner(lifeline: int, scratch: str) -> NoReturn:
    """Body of the thread that notices in the midst of a model that its owner has gone."""
    os.read(lifeline, 1)
    _end_all(scratch)


def _end_all(scratch: str) -> NoReturn:
    """Without an owner: this process and those that it forked, and their folder."""
    shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _answer(requests: int, footprints: Footprints | None) -> dict[str, Any]:
    asked = unpacked(read_frame(requests))
    if "describe" in asked:
        from workers.measuring import describe_device

        return {"capabilities": asdict(describe_device(asked["describe"]))}
    return _measured(asked, read_frame(requests), read_frame(requests), footprints)


@cache
def _address_space_at_first() -> int:
    """Before any model was measured."""
    return address_space_bytes()


def _measured(
    asked: dict[str, Any], model: bytes, reference: bytes, footprints: Footprints | None
) -> dict[str, Any]:
    from workers.measuring import measure

    limits, here = ModelLimits(**asked.pop("limits")), _capabilities(asked.pop("here"))
    target = Target.parse(asked.pop("target"))
    protocol = TimingProtocol(**asked.pop("protocol"))
    request = MeasurementRequest(**asked, target=target, model=model, reference=reference, protocol=protocol)
    footprint = None if footprints is None else partial(footprints.peak_bytes, limits=limits)
    limit_process(limits, target, _address_space_at_first())
    try:
        measurement = measure(request, here, footprint=footprint)
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


if __name__ == "__main__":
    main()
