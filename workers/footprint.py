"""Peak memory of models, each loaded and run in a fork of a process that ran no model but one reference.

In one process for all, what is told of a model moves by 2 to 24%, with the holes that earlier ones left in
the heap. Forks, on the other hand, are no place to time anything (docs/results.md, "Peak memory"): this is a
process beside the one that does.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import IO, NoReturn, TypeAlias

from workers.frames import packed, read_frame, unpacked, widen, write_frames
from workers.limits import ModelLimits, address_space_bytes, limit_process
from workers.memory import return_freed_memory, single_pages
from workers.runtimes import parse_runtime
from workers.runtimes.runtime import LoadedModel
from workers.target import Target, Workload

__all__ = ["Footprint", "Footprints", "Run"]

_LOG = logging.getLogger(__name__)

READ = b"read "
"""What a fork says first."""

CALLS = 2
"""In a row: a model that decodes goes on from what the first one left."""


@dataclass(frozen=True, slots=True)
class Run:
    """A model file, as an engine prepared it, and what to run it on.

    Attributes:
        prepared: the file.
        dtype: that it was prepared for.
        workload: its input's shape.
        vocabulary: token ids are drawn below this; 1 where none go in.
    """

    prepared: bytes = field(repr=False)
    dtype: str
    workload: Workload
    vocabulary: int


Footprint: TypeAlias = Callable[[Target, Run, Run], int]
"""Bytes that a target's engine takes for the second, in a process that ran the first before; 0 where that
cannot be told."""


class Footprints:
    """A process that forks for each model. Begins by forking this one, which is to have loaded no engine yet.

    Linux only: elsewhere memory is not told, and not every framework survives a fork.

    Attributes:
        ended: whether it answers no more; who asks is to end, too, and be replaced.
    """

    def __init__(self) -> None:
        asked, asks = os.pipe()
        told, tells = os.pipe()
        widen(asks)
        if os.fork() == 0:
            # Its parent's pipes are its parent's: who waits at their other ends is to notice when that ends.
            for parents in (asks, told, 0, 1):
                os.close(parents)
            _serve(asked, os.fdopen(tells, "wb"))
        os.close(asked)
        os.close(tells)
        self._asks, self._told = os.fdopen(asks, "wb"), told
        self._begun: set[str] = set()
        self.ended = False

    def peak_bytes(self, target: Target, first: Run, then: Run, limits: ModelLimits) -> int:
        """See `Footprint`. A model that does not keep to the limits is not told of either."""
        asked = {"target": str(target), "limits": asdict(limits)}
        try:
            if target.runtime not in self._begun:
                write_frames(self._asks, packed({**asked, "begin": True}), *_frames(first))
                self._begun.add(target.runtime)
            write_frames(self._asks, packed({**asked, "begin": False}), *_frames(first), *_frames(then))
            return int(read_frame(self._told))
        except (BrokenPipeError, EOFError):
            _LOG.warning("the process that tells what models take of memory ended; the next one is replaced")
            self.ended = True
            return 0


def _frames(run: Run) -> tuple[bytes, bytes]:
    told = {"dtype": run.dtype, "workload": str(run.workload), "vocabulary": run.vocabulary}
    return packed(told), run.prepared


# The process that forks, and its forks


def _serve(asked: int, tells: IO[bytes]) -> NoReturn:
    """Answer until nobody asks any more."""
    return_freed_memory()
    try:
        while True:
            what = unpacked(read_frame(asked))
            target, limits = Target.parse(what["target"]), ModelLimits(**what["limits"])
            if what["begin"]:
                # Modules are loaded once; what an engine keeps for a process, each fork has of its own.
                first = _read_run(asked)
                with suppress(Exception):  # then each fork fails, and says why
                    _run(target, 1, first)
            else:
                write_frames(tells, _in_a_fork(target, limits, asked))
    except (BrokenPipeError, EOFError):
        pass
    finally:
        os._exit(0)  # exit handlers are its parent's


def _in_a_fork(target: Target, limits: ModelLimits, asked: int) -> bytes:
    """The fork reads the models itself: here they would leave their marks for the next.

    Raises:
        EOFError: it ended before it had read them.
    """
    reading, writing = os.pipe()
    fork = os.fork()
    if fork == 0:
        try:
            first, then = _read_run(asked), _read_run(asked)
            os.write(writing, READ)
            limit_process(limits, target, address_space_bytes())
            os.write(writing, str(_growth_bytes(target, first, then)).encode())
        except Exception:  # noqa: BLE001 -- the model ran where it is timed; why its memory is not told, the log says
            _LOG.warning("what memory a model takes on %s is not told", target, exc_info=True)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(fork, 0)
    if not told:
        raise EOFError  # what it did not read would be taken for the next question
    return told.removeprefix(READ) or b"0"


def _growth_bytes(target: Target, first: Run, then: Run) -> int:
    """In this process, after which it is of no more use."""
    single_pages()
    kept = _run(target, target.threads, first)
    memory = parse_runtime(target.runtime).peak_memory()
    model = _run(target, target.threads, then)
    growth = memory.growth_bytes()
    del model, kept
    return growth


def _run(target: Target, threads: int, run: Run) -> LoadedModel:
    loaded = parse_runtime(target.runtime).load(run.prepared, run.dtype, threads)
    loaded.in_a_row(loaded.inputs(run.workload, run.vocabulary), CALLS)()
    return loaded


def _read_run(asked: int) -> Run:
    told = unpacked(read_frame(asked))
    return Run(read_frame(asked), told["dtype"], Workload.parse(told["workload"]), told["vocabulary"])
