"""How much memory something takes while it is loaded and run."""

from __future__ import annotations

import ctypes
import gc
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

__all__ = [
    "PeakMemory",
    "ResidentMemory",
    "keep_freed_memory",
    "return_freed_memory",
    "single_pages",
    "total_memory_bytes",
    "trim_heap",
]

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""Written to `clear_refs`, it lowers the peak to what is resident now (Linux ≥ 4.0)."""

KEEPING = {-3: 1 << 30, -1: 2**31 - 1, -2: 1 << 26}
"""Options of `mallopt` (malloc.h): M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD, in bytes."""

PR_SET_THP_DISABLE = 41
"""Of `prctl` (linux/prctl.h)."""

RETURNING = {-3: 1 << 17}
"""As it begins; said, it stays: else it rises with every larger block that is freed."""


class PeakMemory(ABC):
    """An account that begins with its construction."""

    @abstractmethod
    def growth_bytes(self) -> int:
        """Most bytes taken at any time since, less those at the start; 0 where that is not told, as a
        Measurement defines it."""


class ResidentMemory(PeakMemory):
    """Peak resident growth of this process, from Linux's own account of it.

    What the allocator kept of earlier work is given back first, or this measurement would ride on it. The
    holes that such work left in the heap stay, and what fits into them moves the peak by a tenth and more:
    accounts of a model agree where each is kept in a process that ran no other (`workers.footprint`).
    """

    def __init__(self) -> None:
        trim_heap()
        self._before = 0
        try:
            CLEAR.write_text(RESET_PEAK, encoding="ascii")
            self._before = _status_bytes("VmRSS")
        except OSError:
            self._available = False
        else:
            self._available = True

    def growth_bytes(self) -> int:
        """See `PeakMemory.growth_bytes`."""
        return max(0, _status_bytes("VmHWM") - self._before) if self._available else 0


def keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next call, where it is glibc; else nothing happens.

    Left alone it gives large blocks back to the system at every call and takes them anew, page by page: an
    eager runtime then takes twice as long, by an amount that depends on what ran before. Runtimes with an
    arena of their own do the same for themselves.
    """
    _set_options(KEEPING)


def return_freed_memory() -> None:
    """Have the C library map large blocks one by one and give them back as they are freed, where it is glibc:
    the heap is then as if there had been none."""
    _set_options(RETURNING)


def single_pages() -> None:
    """Have the system give this process no huge pages, where it is Linux: what is resident is then what was
    touched, to 4 KiB, wherever in 2 MiB the heap happens to begin."""
    control = getattr(ctypes.CDLL(None), "prctl", None)
    if control is not None:
        control(PR_SET_THP_DISABLE, 1, 0, 0, 0)


def _set_options(options: Mapping[int, int]) -> None:
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        for option, value in options.items():
            set_option(option, value)


def total_memory_bytes() -> int:
    """Memory of this machine; 0 where it cannot be told."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return 0
    return _kilobytes(text, "MemTotal")


def _status_bytes(key: str) -> int:
    return _kilobytes(STATUS.read_text(encoding="utf-8", errors="replace"), key)


def _kilobytes(text: str, key: str) -> int:
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name == key:
            return int(rest.split()[0]) * 1024
    return 0


def trim_heap() -> None:
    """Give what was freed by now back to the system, where the C library knows how (glibc)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
