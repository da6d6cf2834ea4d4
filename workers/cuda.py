"""NVIDIA's driver: which GPU there is, its streams and events. Needs the driver's own library alone."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from workers.capabilities import Accelerator
from workers.clocks import Conditions
from workers.errors import AcceleratorFailed

__all__ = ["CudaStream", "accelerators", "conditions", "free_memory_bytes", "obstacle"]

LIBRARY = "libcuda.so.1"
DEVICE = 0
"""What every runtime here uses: the first that `CUDA_VISIBLE_DEVICES` leaves visible."""

VERSION = Path("/proc/driver/nvidia/version")
MIG = " MIG "
"""Between the GPU's name and its part's, e.g. ``NVIDIA A100-SXM4-40GB MIG 1g.5gb``."""

NAME_BYTES = 256

REASONS = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "synchronised boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
    0x100: "display clocks",
}
"""Why a GPU does not run faster, by NVML's bits (nvml.h)."""

THROTTLED = 0x8 | 0x20 | 0x40 | 0x80
"""Those that say that it is slower than the same GPU elsewhere; a power cap is the card's own."""


def obstacle() -> str | None:
    """Why there is no GPU to use here, for people; None where there is one."""
    try:
        _driver()
    except AcceleratorFailed as error:
        return str(error)
    return None


def accelerators() -> tuple[Accelerator, ...]:
    """The GPU that runtimes use here; none where there is none."""
    if obstacle() is not None:
        return ()
    device, memory = ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(NAME_BYTES)
    _call("cuDeviceGet", ctypes.byref(device), DEVICE)
    _call("cuDeviceGetName", name, NAME_BYTES, device)
    _call("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    gpu, _, part = name.value.decode(errors="replace").partition(MIG)
    return (Accelerator(gpu, memory.value, _driver_version(), part),)


def conditions() -> Conditions:
    """Clock rates and what holds them down, where `nvidia-ml-py` is installed; nothing said elsewhere."""
    try:
        import pynvml
    except ImportError:
        return Conditions()
    try:
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByUUID(_uuid())
        rates = [
            pynvml.nvmlDeviceGetClockInfo(gpu, kind) for kind in (pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM)
        ]
        bits = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)
    except pynvml.NVMLError as error:
        return Conditions(f"NVML: {error}")
    reasons = ", ".join(name for bit, name in REASONS.items() if bits & bit) or "nothing"
    return Conditions(f"SM {rates[0]} MHz, memory {rates[1]} MHz, held by {reasons}", bool(bits & THROTTLED))


def free_memory_bytes() -> int:
    """Of the GPU, whoever uses the rest."""
    _use()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    _call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    return free.value


class CudaStream:
    """A `workers.clocks.EventStream`.

    Args:
        handle: of an existing stream, 0 for the default one; None makes one.

    Raises:
        AcceleratorFailed: the driver says no.
    """

    def __init__(self, handle: int | None = None) -> None:
        _use()
        stream = ctypes.c_void_p(handle)
        if handle is None:
            _call("cuStreamCreate", ctypes.byref(stream), 0)
        self._stream = stream
        self._events = [ctypes.c_void_p() for _ in range(2)]
        for event in self._events:
            _call("cuEventCreate", ctypes.byref(event), 0)

    @property
    def handle(self) -> int:
        """As other libraries take it."""
        return self._stream.value or 0

    def record(self) -> ctypes.c_void_p:
        """See `EventStream.record`; two events take turns."""
        self._events.reverse()
        _call("cuEventRecord", self._events[0], self._stream)
        return self._events[0]

    def synchronize(self) -> None:
        """See `EventStream.synchronize`."""
        _call("cuStreamSynchronize", self._stream)

    def seconds(self, begin: ctypes.c_void_p, end: ctypes.c_void_p) -> float:
        """See `EventStream.seconds`; the driver resolves half a microsecond."""
        milliseconds = ctypes.c_float()
        _call("cuEventElapsedTime", ctypes.byref(milliseconds), begin, end)
        return milliseconds.value / 1e3


def _call(function: str, *arguments: Any) -> None:
    _checked(_driver(), function, *arguments)


def _checked(driver: Any, function: str, *arguments: Any) -> None:
    status = getattr(driver, function)(*arguments)
    if status:
        text = ctypes.c_char_p()
        driver.cuGetErrorString(status, ctypes.byref(text))
        raise AcceleratorFailed(f"{function}: {(text.value or b'?').decode()} ({status})")


@cache
def _driver() -> Any:
    """The driver's library, initialised.

    Raises:
        AcceleratorFailed: there is none, or no GPU.
    """
    try:
        driver = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise AcceleratorFailed(f"there is no NVIDIA driver ({LIBRARY})") from error
    _checked(driver, "cuInit", 0)
    count = ctypes.c_int()
    _checked(driver, "cuDeviceGetCount", ctypes.byref(count))
    if not count.value:
        raise AcceleratorFailed("the NVIDIA driver shows no GPU; see CUDA_VISIBLE_DEVICES")
    return driver


def _uuid() -> str:
    """As NVML takes it: its numbers are not those that `CUDA_VISIBLE_DEVICES` leaves."""
    device, value = ctypes.c_int(), (ctypes.c_ubyte * 16)()
    _call("cuDeviceGet", ctypes.byref(device), DEVICE)
    _call("cuDeviceGetUuid_v2", ctypes.byref(value), device)
    return ("MIG-" if accelerators()[0].part else "GPU-") + str(UUID(bytes=bytes(value)))


def _use() -> None:
    """Have the calling thread use the GPU's primary context, the one that every library shares."""
    context = _primary_context()
    _call("cuCtxSetCurrent", context)


@cache
def _primary_context() -> ctypes.c_void_p:
    device, context = ctypes.c_int(), ctypes.c_void_p()
    _call("cuDeviceGet", ctypes.byref(device), DEVICE)
    _call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    return context


def _driver_version() -> str:
    """As the kernel's module names it, e.g. ``580.159.04``; empty where it does not."""
    try:
        words = VERSION.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return ""
    return next((word for word in words if word.replace(".", "").isdigit() and "." in word), "")
