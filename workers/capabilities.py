"""What a device can measure, in its own words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from searchspaces.documents import LONGEST_NAME, overlong
from workers.target import Phase, Target

__all__ = ["Accelerator", "Capabilities", "Device", "RuntimeCapability"]


@dataclass(frozen=True, slots=True)
class RuntimeCapability:
    """One engine as it is installed on a device.

    Attributes:
        name: registered name of the runtime.
        version: of the engine.
        dtypes: number formats that work.
        phases: of a workload.
    """

    name: str
    version: str
    dtypes: tuple[str, ...]
    phases: tuple[Phase, ...]


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A GPU, or the part of one that is lent to this device.

    Attributes:
        name: as its driver names it.
        memory_bytes: of its own.
        driver: version; empty where unknown.
        part: of a GPU that is partitioned, e.g. ``"1g.5gb"`` of MIG; empty for a whole one.
    """

    name: str
    memory_bytes: int
    driver: str = ""
    part: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.part}".rstrip()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A device, described by itself when it registers.

    Attributes:
        device: the name that targets call it by.
        runtimes: engines that work on it now.
        threads: most processor threads that one call may use.
        cpu_model: as the system names it.
        machine: instruction set, e.g. ``"x86_64"``.
        system: operating system and its release.
        memory_bytes: of the machine; 0 where unknown.
        versions: of what takes part in a measurement.
        accelerators: that its runtimes use.
    """

    device: str
    runtimes: tuple[RuntimeCapability, ...]
    threads: int
    cpu_model: str
    machine: str
    system: str
    memory_bytes: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    accelerators: tuple[Accelerator, ...] = ()

    def __post_init__(self) -> None:
        Target(device=self.device, threads=self.threads)  # the same names and numbers, the same errors
        if len(self.device) > LONGEST_NAME:
            said = f"{len(self.device)} characters; accepted: at most {LONGEST_NAME}"
            raise ValueError(f"the name of a device has {said}")
        for text in (self.cpu_model, self.machine, self.system, *self.versions, *self.versions.values()):
            if too_long := overlong(text):
                raise ValueError(too_long)

    @property
    def hardware(self) -> str:
        """The kind of machine that the device's name stands for: its processor, and accelerators."""
        return " with ".join([self.cpu_model, *map(str, self.accelerators)])

    def obstacle(self, target: Target) -> str | None:
        """Why the device does not serve the target, for people; None where it does."""
        if target.device != self.device:
            return f"is device {self.device}, not {target.device}"
        runtime = next((r for r in self.runtimes if r.name == target.runtime), None)
        if runtime is None:
            return f"has no runtime {target.runtime}; accepted: {_listed(r.name for r in self.runtimes)}"
        if target.dtype not in runtime.dtypes:
            return f"has no dtype {target.dtype} in {runtime.name}; accepted: {_listed(runtime.dtypes)}"
        if target.workload.phase not in runtime.phases:
            return (
                f"cannot time {target.workload.phase} in {runtime.name}; accepted: {_listed(runtime.phases)}"
            )
        if target.threads > self.threads:
            return f"has {self.threads} threads, not {target.threads}"
        return None


@dataclass(frozen=True, slots=True)
class Device:
    """A worker that is connected now.

    Attributes:
        name: that it registered under.
        capabilities: what it said it can measure.
        connected_since: seconds since the epoch.
        busy: it holds a lease.
        measured, failed: measurements that it took since the service started, and that it failed to take by
            its own fault.
        quarantined_seconds: for which it is given no work, since it failed again and again; 0 where it is.
        last_failure: why, in its words or the service's; empty where it never failed.
    """

    name: str
    capabilities: Capabilities
    connected_since: float
    busy: bool
    measured: int = 0
    failed: int = 0
    quarantined_seconds: float = 0.0
    last_failure: str = ""

    def obstacle(self, target: Target) -> str | None:
        """Why it measures nothing for the target now, for people; None where it does."""
        if self.quarantined_seconds and self.capabilities.obstacle(target) is None:
            return (
                f"is quarantined for {self.quarantined_seconds:.0f} s more, the last of its {self.failed} "
                f"failures: {self.last_failure}"
            )
        return self.capabilities.obstacle(target)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
