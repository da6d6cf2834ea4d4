from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_PREFILL: _ClassVar[Phase]
    PHASE_DECODE: _ClassVar[Phase]
    PHASE_ENCODE: _ClassVar[Phase]
PHASE_UNSPECIFIED: Phase
PHASE_PREFILL: Phase
PHASE_DECODE: Phase
PHASE_ENCODE: Phase

class WorkerMessage(_message.Message):
    __slots__ = ("register", "heartbeat", "result", "failure", "leave")
    REGISTER_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    register: Register
    heartbeat: Heartbeat
    result: Result
    failure: Failure
    leave: Leave
    def __init__(self, register: _Optional[_Union[Register, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., leave: _Optional[_Union[Leave, _Mapping]] = ...) -> None: ...

class ServiceMessage(_message.Message):
    __slots__ = ("welcome", "lease", "cancel", "drain")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    lease: Lease
    cancel: Cancel
    drain: Drain
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., lease: _Optional[_Union[Lease, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ...) -> None: ...

class Register(_message.Message):
    __slots__ = ("protocol_version", "capabilities")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    capabilities: Capabilities
    def __init__(self, protocol_version: _Optional[int] = ..., capabilities: _Optional[_Union[Capabilities, _Mapping]] = ...) -> None: ...

class Capabilities(_message.Message):
    __slots__ = ("device", "runtimes", "threads", "cpu_model", "machine", "system", "memory_bytes", "versions", "accelerators")
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    CPU_MODEL_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    ACCELERATORS_FIELD_NUMBER: _ClassVar[int]
    device: str
    runtimes: _containers.RepeatedCompositeFieldContainer[RuntimeCapability]
    threads: int
    cpu_model: str
    machine: str
    system: str
    memory_bytes: int
    versions: _containers.ScalarMap[str, str]
    accelerators: _containers.RepeatedCompositeFieldContainer[Accelerator]
    def __init__(self, device: _Optional[str] = ..., runtimes: _Optional[_Iterable[_Union[RuntimeCapability, _Mapping]]] = ..., threads: _Optional[int] = ..., cpu_model: _Optional[str] = ..., machine: _Optional[str] = ..., system: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., versions: _Optional[_Mapping[str, str]] = ..., accelerators: _Optional[_Iterable[_Union[Accelerator, _Mapping]]] = ...) -> None: ...

class Accelerator(_message.Message):
    __slots__ = ("name", "memory_bytes", "driver", "part")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    name: str
    memory_bytes: int
    driver: str
    part: str
    def __init__(self, name: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., driver: _Optional[str] = ..., part: _Optional[str] = ...) -> None: ...

class RuntimeCapability(_message.Message):
    __slots__ = ("name", "version", "dtypes", "phases")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DTYPES_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    dtypes: _containers.RepeatedScalarFieldContainer[str]
    phases: _containers.RepeatedScalarFieldContainer[Phase]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., dtypes: _Optional[_Iterable[str]] = ..., phases: _Optional[_Iterable[_Union[Phase, str]]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("session_id", "heartbeat_seconds")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    heartbeat_seconds: float
    def __init__(self, session_id: _Optional[str] = ..., heartbeat_seconds: _Optional[float] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Leave(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("lease_id", "digest", "target", "model", "reference", "vocabulary", "reference_ms", "protocol")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_MS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    digest: str
    target: Target
    model: Model
    reference: Model
    vocabulary: int
    reference_ms: float
    protocol: TimingProtocol
    def __init__(self, lease_id: _Optional[str] = ..., digest: _Optional[str] = ..., target: _Optional[_Union[Target, _Mapping]] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., reference: _Optional[_Union[Model, _Mapping]] = ..., vocabulary: _Optional[int] = ..., reference_ms: _Optional[float] = ..., protocol: _Optional[_Union[TimingProtocol, _Mapping]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("sha256", "size_bytes")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    size_bytes: int
    def __init__(self, sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class TimingProtocol(_message.Message):
    __slots__ = ("warm_up", "min_repeats", "max_repeats", "goal_error", "max_seconds", "row_ms")
    WARM_UP_FIELD_NUMBER: _ClassVar[int]
    MIN_REPEATS_FIELD_NUMBER: _ClassVar[int]
    MAX_REPEATS_FIELD_NUMBER: _ClassVar[int]
    GOAL_ERROR_FIELD_NUMBER: _ClassVar[int]
    MAX_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ROW_MS_FIELD_NUMBER: _ClassVar[int]
    warm_up: int
    min_repeats: int
    max_repeats: int
    goal_error: float
    max_seconds: float
    row_ms: float
    def __init__(self, warm_up: _Optional[int] = ..., min_repeats: _Optional[int] = ..., max_repeats: _Optional[int] = ..., goal_error: _Optional[float] = ..., max_seconds: _Optional[float] = ..., row_ms: _Optional[float] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("lease_id", "reason")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    reason: str
    def __init__(self, lease_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("lease_id", "measurement")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    MEASUREMENT_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    measurement: Measurement
    def __init__(self, lease_id: _Optional[str] = ..., measurement: _Optional[_Union[Measurement, _Mapping]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("lease_id", "reason", "retryable")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    reason: str
    retryable: bool
    def __init__(self, lease_id: _Optional[str] = ..., reason: _Optional[str] = ..., retryable: _Optional[bool] = ...) -> None: ...

class Workload(_message.Message):
    __slots__ = ("phase", "batch", "tokens")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    phase: Phase
    batch: int
    tokens: int
    def __init__(self, phase: _Optional[_Union[Phase, str]] = ..., batch: _Optional[int] = ..., tokens: _Optional[int] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("device", "runtime", "dtype", "threads", "workload")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    device: str
    runtime: str
    dtype: str
    threads: int
    workload: Workload
    def __init__(self, device: _Optional[str] = ..., runtime: _Optional[str] = ..., dtype: _Optional[str] = ..., threads: _Optional[int] = ..., workload: _Optional[_Union[Workload, _Mapping]] = ...) -> None: ...

class Measurement(_message.Message):
    __slots__ = ("digest", "target", "latency_ms", "spread_ms", "error_ms", "wall_ms", "reference_ms", "drift", "peak_memory_bytes", "repeats", "rejected", "noisy", "calls", "conditions")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    SPREAD_MS_FIELD_NUMBER: _ClassVar[int]
    ERROR_MS_FIELD_NUMBER: _ClassVar[int]
    WALL_MS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_MS_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    REPEATS_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    NOISY_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    digest: str
    target: Target
    latency_ms: float
    spread_ms: float
    error_ms: float
    wall_ms: float
    reference_ms: float
    drift: float
    peak_memory_bytes: int
    repeats: int
    rejected: int
    noisy: bool
    calls: int
    conditions: str
    def __init__(self, digest: _Optional[str] = ..., target: _Optional[_Union[Target, _Mapping]] = ..., latency_ms: _Optional[float] = ..., spread_ms: _Optional[float] = ..., error_ms: _Optional[float] = ..., wall_ms: _Optional[float] = ..., reference_ms: _Optional[float] = ..., drift: _Optional[float] = ..., peak_memory_bytes: _Optional[int] = ..., repeats: _Optional[int] = ..., rejected: _Optional[int] = ..., noisy: _Optional[bool] = ..., calls: _Optional[int] = ..., conditions: _Optional[str] = ...) -> None: ...

class FetchModelRequest(_message.Message):
    __slots__ = ("session_id", "lease_id", "sha256")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    lease_id: str
    sha256: str
    def __init__(self, session_id: _Optional[str] = ..., lease_id: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class ModelChunk(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...
