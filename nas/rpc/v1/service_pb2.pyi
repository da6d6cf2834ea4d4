from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATUS_UNSPECIFIED: _ClassVar[JobStatus]
    JOB_STATUS_QUEUED: _ClassVar[JobStatus]
    JOB_STATUS_RUNNING: _ClassVar[JobStatus]
    JOB_STATUS_INTERRUPTED: _ClassVar[JobStatus]
    JOB_STATUS_SUCCEEDED: _ClassVar[JobStatus]
    JOB_STATUS_FAILED: _ClassVar[JobStatus]
    JOB_STATUS_CANCELLED: _ClassVar[JobStatus]

class StageName(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_NAME_UNSPECIFIED: _ClassVar[StageName]
    STAGE_NAME_PROFILE: _ClassVar[StageName]
    STAGE_NAME_TRAIN: _ClassVar[StageName]
    STAGE_NAME_SEARCH: _ClassVar[StageName]
    STAGE_NAME_VERIFY: _ClassVar[StageName]
    STAGE_NAME_FINALISTS: _ClassVar[StageName]

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_KIND_UNSPECIFIED: _ClassVar[EventKind]
    EVENT_KIND_STATUS: _ClassVar[EventKind]
    EVENT_KIND_STAGE: _ClassVar[EventKind]
    EVENT_KIND_PROGRESS: _ClassVar[EventKind]
    EVENT_KIND_NOTE: _ClassVar[EventKind]

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_PREFILL: _ClassVar[Phase]
    PHASE_DECODE: _ClassVar[Phase]
    PHASE_ENCODE: _ClassVar[Phase]

class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIRECTION_UNSPECIFIED: _ClassVar[Direction]
    DIRECTION_MIN: _ClassVar[Direction]
    DIRECTION_MAX: _ClassVar[Direction]

class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_UNSPECIFIED: _ClassVar[Source]
    SOURCE_EVALUATED: _ClassVar[Source]
    SOURCE_PREDICTED: _ClassVar[Source]
    SOURCE_COUNTED: _ClassVar[Source]

class Scope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCOPE_UNSPECIFIED: _ClassVar[Scope]
    SCOPE_FRONT: _ClassVar[Scope]
    SCOPE_SHOWN: _ClassVar[Scope]
    SCOPE_ALL: _ClassVar[Scope]
JOB_STATUS_UNSPECIFIED: JobStatus
JOB_STATUS_QUEUED: JobStatus
JOB_STATUS_RUNNING: JobStatus
JOB_STATUS_INTERRUPTED: JobStatus
JOB_STATUS_SUCCEEDED: JobStatus
JOB_STATUS_FAILED: JobStatus
JOB_STATUS_CANCELLED: JobStatus
STAGE_NAME_UNSPECIFIED: StageName
STAGE_NAME_PROFILE: StageName
STAGE_NAME_TRAIN: StageName
STAGE_NAME_SEARCH: StageName
STAGE_NAME_VERIFY: StageName
STAGE_NAME_FINALISTS: StageName
EVENT_KIND_UNSPECIFIED: EventKind
EVENT_KIND_STATUS: EventKind
EVENT_KIND_STAGE: EventKind
EVENT_KIND_PROGRESS: EventKind
EVENT_KIND_NOTE: EventKind
PHASE_UNSPECIFIED: Phase
PHASE_PREFILL: Phase
PHASE_DECODE: Phase
PHASE_ENCODE: Phase
DIRECTION_UNSPECIFIED: Direction
DIRECTION_MIN: Direction
DIRECTION_MAX: Direction
SOURCE_UNSPECIFIED: Source
SOURCE_EVALUATED: Source
SOURCE_PREDICTED: Source
SOURCE_COUNTED: Source
SCOPE_UNSPECIFIED: Scope
SCOPE_FRONT: Scope
SCOPE_SHOWN: Scope
SCOPE_ALL: Scope

class Job(_message.Message):
    __slots__ = ("id", "spec_json", "status", "stage", "error", "created_at", "updated_at", "error_kind", "last_event", "owner", "group", "shared")
    ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_JSON_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    ERROR_KIND_FIELD_NUMBER: _ClassVar[int]
    LAST_EVENT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    id: str
    spec_json: str
    status: JobStatus
    stage: StageName
    error: str
    created_at: float
    updated_at: float
    error_kind: str
    last_event: int
    owner: str
    group: str
    shared: bool
    def __init__(self, id: _Optional[str] = ..., spec_json: _Optional[str] = ..., status: _Optional[_Union[JobStatus, str]] = ..., stage: _Optional[_Union[StageName, str]] = ..., error: _Optional[str] = ..., created_at: _Optional[float] = ..., updated_at: _Optional[float] = ..., error_kind: _Optional[str] = ..., last_event: _Optional[int] = ..., owner: _Optional[str] = ..., group: _Optional[str] = ..., shared: _Optional[bool] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("kind", "stage", "message", "done", "total", "data_json", "sequence", "time")
    KIND_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    kind: EventKind
    stage: StageName
    message: str
    done: float
    total: float
    data_json: str
    sequence: int
    time: float
    def __init__(self, kind: _Optional[_Union[EventKind, str]] = ..., stage: _Optional[_Union[StageName, str]] = ..., message: _Optional[str] = ..., done: _Optional[float] = ..., total: _Optional[float] = ..., data_json: _Optional[str] = ..., sequence: _Optional[int] = ..., time: _Optional[float] = ...) -> None: ...

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

class Layer(_message.Message):
    __slots__ = ("mixer", "heads", "channel", "ratio", "conv", "kv_heads", "projection")
    MIXER_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    CONV_FIELD_NUMBER: _ClassVar[int]
    KV_HEADS_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_FIELD_NUMBER: _ClassVar[int]
    mixer: str
    heads: int
    channel: str
    ratio: float
    conv: int
    kv_heads: int
    projection: Projection
    def __init__(self, mixer: _Optional[str] = ..., heads: _Optional[int] = ..., channel: _Optional[str] = ..., ratio: _Optional[float] = ..., conv: _Optional[int] = ..., kv_heads: _Optional[int] = ..., projection: _Optional[_Union[Projection, _Mapping]] = ...) -> None: ...

class Projection(_message.Message):
    __slots__ = ("head_size", "bias", "out_bias", "norms", "base", "factor", "original", "low", "high", "sharing")
    HEAD_SIZE_FIELD_NUMBER: _ClassVar[int]
    BIAS_FIELD_NUMBER: _ClassVar[int]
    OUT_BIAS_FIELD_NUMBER: _ClassVar[int]
    NORMS_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    SHARING_FIELD_NUMBER: _ClassVar[int]
    head_size: int
    bias: bool
    out_bias: bool
    norms: bool
    base: float
    factor: float
    original: int
    low: float
    high: float
    sharing: int
    def __init__(self, head_size: _Optional[int] = ..., bias: _Optional[bool] = ..., out_bias: _Optional[bool] = ..., norms: _Optional[bool] = ..., base: _Optional[float] = ..., factor: _Optional[float] = ..., original: _Optional[int] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., sharing: _Optional[int] = ...) -> None: ...

class Architecture(_message.Message):
    __slots__ = ("vocabulary", "width", "layers", "untied", "form", "stem", "readout")
    VOCABULARY_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    UNTIED_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    STEM_FIELD_NUMBER: _ClassVar[int]
    READOUT_FIELD_NUMBER: _ClassVar[int]
    vocabulary: int
    width: int
    layers: _containers.RepeatedCompositeFieldContainer[Layer]
    untied: bool
    form: Form
    stem: str
    readout: str
    def __init__(self, vocabulary: _Optional[int] = ..., width: _Optional[int] = ..., layers: _Optional[_Iterable[_Union[Layer, _Mapping]]] = ..., untied: _Optional[bool] = ..., form: _Optional[_Union[Form, _Mapping]] = ..., stem: _Optional[str] = ..., readout: _Optional[str] = ...) -> None: ...

class Form(_message.Message):
    __slots__ = ("tokens", "grid", "series", "classes")
    class Tokens(_message.Message):
        __slots__ = ("vocabulary", "length")
        VOCABULARY_FIELD_NUMBER: _ClassVar[int]
        LENGTH_FIELD_NUMBER: _ClassVar[int]
        vocabulary: int
        length: int
        def __init__(self, vocabulary: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...
    class Grid(_message.Message):
        __slots__ = ("height", "width", "channels")
        HEIGHT_FIELD_NUMBER: _ClassVar[int]
        WIDTH_FIELD_NUMBER: _ClassVar[int]
        CHANNELS_FIELD_NUMBER: _ClassVar[int]
        height: int
        width: int
        channels: int
        def __init__(self, height: _Optional[int] = ..., width: _Optional[int] = ..., channels: _Optional[int] = ...) -> None: ...
    class Series(_message.Message):
        __slots__ = ("length", "channels")
        LENGTH_FIELD_NUMBER: _ClassVar[int]
        CHANNELS_FIELD_NUMBER: _ClassVar[int]
        length: int
        channels: int
        def __init__(self, length: _Optional[int] = ..., channels: _Optional[int] = ...) -> None: ...
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    GRID_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    tokens: Form.Tokens
    grid: Form.Grid
    series: Form.Series
    classes: int
    def __init__(self, tokens: _Optional[_Union[Form.Tokens, _Mapping]] = ..., grid: _Optional[_Union[Form.Grid, _Mapping]] = ..., series: _Optional[_Union[Form.Series, _Mapping]] = ..., classes: _Optional[int] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("kind", "target", "predicted", "predicted_std", "measured", "measured_std", "slowdown")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_STD_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    MEASURED_STD_FIELD_NUMBER: _ClassVar[int]
    SLOWDOWN_FIELD_NUMBER: _ClassVar[int]
    kind: str
    target: str
    predicted: float
    predicted_std: float
    measured: float
    measured_std: float
    slowdown: float
    def __init__(self, kind: _Optional[str] = ..., target: _Optional[str] = ..., predicted: _Optional[float] = ..., predicted_std: _Optional[float] = ..., measured: _Optional[float] = ..., measured_std: _Optional[float] = ..., slowdown: _Optional[float] = ...) -> None: ...

class Point(_message.Message):
    __slots__ = ("digest", "architecture", "validation", "test", "preset", "on_front", "tuned", "values")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_FIELD_NUMBER: _ClassVar[int]
    TEST_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    ON_FRONT_FIELD_NUMBER: _ClassVar[int]
    TUNED_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    digest: str
    architecture: Architecture
    validation: float
    test: float
    preset: str
    on_front: bool
    tuned: FineTuned
    values: _containers.RepeatedCompositeFieldContainer[Value]
    def __init__(self, digest: _Optional[str] = ..., architecture: _Optional[_Union[Architecture, _Mapping]] = ..., validation: _Optional[float] = ..., test: _Optional[float] = ..., preset: _Optional[str] = ..., on_front: _Optional[bool] = ..., tuned: _Optional[_Union[FineTuned, _Mapping]] = ..., values: _Optional[_Iterable[_Union[Value, _Mapping]]] = ...) -> None: ...

class FineTuned(_message.Message):
    __slots__ = ("weights", "steps", "validation", "test")
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_FIELD_NUMBER: _ClassVar[int]
    TEST_FIELD_NUMBER: _ClassVar[int]
    weights: str
    steps: int
    validation: float
    test: float
    def __init__(self, weights: _Optional[str] = ..., steps: _Optional[int] = ..., validation: _Optional[float] = ..., test: _Optional[float] = ...) -> None: ...

class Reading(_message.Message):
    __slots__ = ("latency_ms", "error_ms")
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    ERROR_MS_FIELD_NUMBER: _ClassVar[int]
    latency_ms: float
    error_ms: float
    def __init__(self, latency_ms: _Optional[float] = ..., error_ms: _Optional[float] = ...) -> None: ...

class Measurement(_message.Message):
    __slots__ = ("architecture", "latency_ms", "spread_ms", "error_ms", "wall_ms", "reference_ms", "drift", "peak_memory_bytes", "repeats", "rejected", "noisy", "measured_at", "slowdown", "first", "calls", "conditions", "attention")
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
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
    MEASURED_AT_FIELD_NUMBER: _ClassVar[int]
    SLOWDOWN_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    architecture: Architecture
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
    measured_at: float
    slowdown: float
    first: Reading
    calls: int
    conditions: str
    attention: str
    def __init__(self, architecture: _Optional[_Union[Architecture, _Mapping]] = ..., latency_ms: _Optional[float] = ..., spread_ms: _Optional[float] = ..., error_ms: _Optional[float] = ..., wall_ms: _Optional[float] = ..., reference_ms: _Optional[float] = ..., drift: _Optional[float] = ..., peak_memory_bytes: _Optional[int] = ..., repeats: _Optional[int] = ..., rejected: _Optional[int] = ..., noisy: _Optional[bool] = ..., measured_at: _Optional[float] = ..., slowdown: _Optional[float] = ..., first: _Optional[_Union[Reading, _Mapping]] = ..., calls: _Optional[int] = ..., conditions: _Optional[str] = ..., attention: _Optional[str] = ...) -> None: ...

class Optimum(_message.Message):
    __slots__ = ("point", "quality", "quality_std", "gap", "exact", "evaluations", "seconds", "measured", "refuted")
    POINT_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    QUALITY_STD_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    REFUTED_FIELD_NUMBER: _ClassVar[int]
    point: Point
    quality: float
    quality_std: float
    gap: float
    exact: bool
    evaluations: int
    seconds: float
    measured: bool
    refuted: int
    def __init__(self, point: _Optional[_Union[Point, _Mapping]] = ..., quality: _Optional[float] = ..., quality_std: _Optional[float] = ..., gap: _Optional[float] = ..., exact: _Optional[bool] = ..., evaluations: _Optional[int] = ..., seconds: _Optional[float] = ..., measured: _Optional[bool] = ..., refuted: _Optional[int] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("target", "found", "baseline", "preset", "found_ms", "baseline_ms", "found_test", "baseline_test", "difference", "standard_error", "sequences", "steps")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    FOUND_MS_FIELD_NUMBER: _ClassVar[int]
    BASELINE_MS_FIELD_NUMBER: _ClassVar[int]
    FOUND_TEST_FIELD_NUMBER: _ClassVar[int]
    BASELINE_TEST_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    target: Target
    found: str
    baseline: str
    preset: str
    found_ms: float
    baseline_ms: float
    found_test: float
    baseline_test: float
    difference: float
    standard_error: float
    sequences: int
    steps: int
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ..., found: _Optional[str] = ..., baseline: _Optional[str] = ..., preset: _Optional[str] = ..., found_ms: _Optional[float] = ..., baseline_ms: _Optional[float] = ..., found_test: _Optional[float] = ..., baseline_test: _Optional[float] = ..., difference: _Optional[float] = ..., standard_error: _Optional[float] = ..., sequences: _Optional[int] = ..., steps: _Optional[int] = ...) -> None: ...

class Objective(_message.Message):
    __slots__ = ("name", "unit", "direction", "source", "bound", "target")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    name: str
    unit: str
    direction: Direction
    source: Source
    bound: float
    target: Target
    def __init__(self, name: _Optional[str] = ..., unit: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ..., source: _Optional[_Union[Source, str]] = ..., bound: _Optional[float] = ..., target: _Optional[_Union[Target, _Mapping]] = ...) -> None: ...

class FrontHeader(_message.Message):
    __slots__ = ("job", "space", "task", "metric", "direction", "targets", "objectives", "evaluated", "extents")
    JOB_FIELD_NUMBER: _ClassVar[int]
    SPACE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVES_FIELD_NUMBER: _ClassVar[int]
    EVALUATED_FIELD_NUMBER: _ClassVar[int]
    EXTENTS_FIELD_NUMBER: _ClassVar[int]
    job: str
    space: str
    task: str
    metric: str
    direction: Direction
    targets: _containers.RepeatedCompositeFieldContainer[Target]
    objectives: _containers.RepeatedCompositeFieldContainer[Objective]
    evaluated: int
    extents: _containers.RepeatedCompositeFieldContainer[Extent]
    def __init__(self, job: _Optional[str] = ..., space: _Optional[str] = ..., task: _Optional[str] = ..., metric: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ..., targets: _Optional[_Iterable[_Union[Target, _Mapping]]] = ..., objectives: _Optional[_Iterable[_Union[Objective, _Mapping]]] = ..., evaluated: _Optional[int] = ..., extents: _Optional[_Iterable[_Union[Extent, _Mapping]]] = ...) -> None: ...

class Extent(_message.Message):
    __slots__ = ("lowest", "highest")
    LOWEST_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_FIELD_NUMBER: _ClassVar[int]
    lowest: float
    highest: float
    def __init__(self, lowest: _Optional[float] = ..., highest: _Optional[float] = ...) -> None: ...

class TargetProfile(_message.Message):
    __slots__ = ("target", "predictor", "measured", "held_out", "mape", "within_10", "within_5", "spearman", "coverage_90", "single_blocks")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    PREDICTOR_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    MAPE_FIELD_NUMBER: _ClassVar[int]
    WITHIN_10_FIELD_NUMBER: _ClassVar[int]
    WITHIN_5_FIELD_NUMBER: _ClassVar[int]
    SPEARMAN_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_90_FIELD_NUMBER: _ClassVar[int]
    SINGLE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    target: Target
    predictor: str
    measured: int
    held_out: int
    mape: float
    within_10: float
    within_5: float
    spearman: float
    coverage_90: float
    single_blocks: int
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ..., predictor: _Optional[str] = ..., measured: _Optional[int] = ..., held_out: _Optional[int] = ..., mape: _Optional[float] = ..., within_10: _Optional[float] = ..., within_5: _Optional[float] = ..., spearman: _Optional[float] = ..., coverage_90: _Optional[float] = ..., single_blocks: _Optional[int] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("path", "message")
    PATH_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    path: str
    message: str
    def __init__(self, path: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ErrorDetail(_message.Message):
    __slots__ = ("kind", "message", "problems")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    message: str
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    def __init__(self, kind: _Optional[str] = ..., message: _Optional[str] = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ...) -> None: ...

class SubmitJobRequest(_message.Message):
    __slots__ = ("spec_json", "idempotency_key", "shared")
    SPEC_JSON_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    spec_json: str
    idempotency_key: str
    shared: bool
    def __init__(self, spec_json: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., shared: _Optional[bool] = ...) -> None: ...

class SubmitJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class GetJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "read_mask")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    read_mask: _field_mask_pb2.FieldMask
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ResumeJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class ResumeJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class AddTargetRequest(_message.Message):
    __slots__ = ("job_id", "target")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    target: Target
    def __init__(self, job_id: _Optional[str] = ..., target: _Optional[_Union[Target, _Mapping]] = ...) -> None: ...

class AddTargetResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class InterruptJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class InterruptJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class CancelJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ("job_id", "after")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    after: int
    def __init__(self, job_id: _Optional[str] = ..., after: _Optional[int] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ("events", "over")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    over: bool
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., over: _Optional[bool] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("job_id", "after")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    after: int
    def __init__(self, job_id: _Optional[str] = ..., after: _Optional[int] = ...) -> None: ...

class WatchJobResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class QueryFrontRequest(_message.Message):
    __slots__ = ("job_id", "read_mask", "scope", "page_size", "page_token")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    read_mask: _field_mask_pb2.FieldMask
    scope: Scope
    page_size: int
    page_token: str
    def __init__(self, job_id: _Optional[str] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., scope: _Optional[_Union[Scope, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class QueryFrontResponse(_message.Message):
    __slots__ = ("header", "points", "next_page_token")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    header: FrontHeader
    points: _containers.RepeatedCompositeFieldContainer[Point]
    next_page_token: str
    def __init__(self, header: _Optional[_Union[FrontHeader, _Mapping]] = ..., points: _Optional[_Iterable[_Union[Point, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetCloudRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class GetCloudResponse(_message.Message):
    __slots__ = ("digests", "columns")
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    digests: bytes
    columns: _containers.RepeatedCompositeFieldContainer[CloudColumn]
    def __init__(self, digests: _Optional[bytes] = ..., columns: _Optional[_Iterable[_Union[CloudColumn, _Mapping]]] = ...) -> None: ...

class CloudColumn(_message.Message):
    __slots__ = ("kind", "target", "values")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    kind: str
    target: str
    values: bytes
    def __init__(self, kind: _Optional[str] = ..., target: _Optional[str] = ..., values: _Optional[bytes] = ...) -> None: ...

class GetPointRequest(_message.Message):
    __slots__ = ("job_id", "digest")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    digest: str
    def __init__(self, job_id: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class GetPointResponse(_message.Message):
    __slots__ = ("point",)
    POINT_FIELD_NUMBER: _ClassVar[int]
    point: Point
    def __init__(self, point: _Optional[_Union[Point, _Mapping]] = ...) -> None: ...

class GetProfileRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class GetProfileResponse(_message.Message):
    __slots__ = ("profiles",)
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    profiles: _containers.RepeatedCompositeFieldContainer[TargetProfile]
    def __init__(self, profiles: _Optional[_Iterable[_Union[TargetProfile, _Mapping]]] = ...) -> None: ...

class Bounds(_message.Message):
    __slots__ = ("values",)
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.ScalarMap[str, float]
    def __init__(self, values: _Optional[_Mapping[str, float]] = ...) -> None: ...

class GetBestRequest(_message.Message):
    __slots__ = ("job_id", "bounds")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    bounds: Bounds
    def __init__(self, job_id: _Optional[str] = ..., bounds: _Optional[_Union[Bounds, _Mapping]] = ...) -> None: ...

class GetBestResponse(_message.Message):
    __slots__ = ("point",)
    POINT_FIELD_NUMBER: _ClassVar[int]
    point: Point
    def __init__(self, point: _Optional[_Union[Point, _Mapping]] = ...) -> None: ...

class FindOptimumRequest(_message.Message):
    __slots__ = ("job_id", "bounds", "verify")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    VERIFY_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    bounds: Bounds
    verify: bool
    def __init__(self, job_id: _Optional[str] = ..., bounds: _Optional[_Union[Bounds, _Mapping]] = ..., verify: _Optional[bool] = ...) -> None: ...

class FindOptimumResponse(_message.Message):
    __slots__ = ("optimum",)
    OPTIMUM_FIELD_NUMBER: _ClassVar[int]
    optimum: Optimum
    def __init__(self, optimum: _Optional[_Union[Optimum, _Mapping]] = ...) -> None: ...

class ExplainFrontRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class ExplainFrontResponse(_message.Message):
    __slots__ = ("explanation_json",)
    EXPLANATION_JSON_FIELD_NUMBER: _ClassVar[int]
    explanation_json: str
    def __init__(self, explanation_json: _Optional[str] = ...) -> None: ...

class CompareModelsRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class CompareModelsResponse(_message.Message):
    __slots__ = ("comparisons",)
    COMPARISONS_FIELD_NUMBER: _ClassVar[int]
    comparisons: _containers.RepeatedCompositeFieldContainer[Comparison]
    def __init__(self, comparisons: _Optional[_Iterable[_Union[Comparison, _Mapping]]] = ...) -> None: ...

class ExtractModelRequest(_message.Message):
    __slots__ = ("job_id", "digest")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    digest: str
    def __init__(self, job_id: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class FileHeader(_message.Message):
    __slots__ = ("name", "size_bytes", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    size_bytes: int
    sha256: str
    def __init__(self, name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class ExtractModelResponse(_message.Message):
    __slots__ = ("manifest_json", "file", "chunk")
    MANIFEST_JSON_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    manifest_json: str
    file: FileHeader
    chunk: bytes
    def __init__(self, manifest_json: _Optional[str] = ..., file: _Optional[_Union[FileHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class ListSpacesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSpacesResponse(_message.Message):
    __slots__ = ("space_json",)
    SPACE_JSON_FIELD_NUMBER: _ClassVar[int]
    space_json: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, space_json: _Optional[_Iterable[str]] = ...) -> None: ...

class ListTasksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTasksResponse(_message.Message):
    __slots__ = ("task_json",)
    TASK_JSON_FIELD_NUMBER: _ClassVar[int]
    task_json: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, task_json: _Optional[_Iterable[str]] = ...) -> None: ...

class ListPresetsRequest(_message.Message):
    __slots__ = ("space", "declaration_json")
    SPACE_FIELD_NUMBER: _ClassVar[int]
    DECLARATION_JSON_FIELD_NUMBER: _ClassVar[int]
    space: str
    declaration_json: str
    def __init__(self, space: _Optional[str] = ..., declaration_json: _Optional[str] = ...) -> None: ...

class ListPresetsResponse(_message.Message):
    __slots__ = ("preset_json",)
    PRESET_JSON_FIELD_NUMBER: _ClassVar[int]
    preset_json: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, preset_json: _Optional[_Iterable[str]] = ...) -> None: ...

class ListTargetsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTargetsResponse(_message.Message):
    __slots__ = ("targets",)
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    targets: _containers.RepeatedCompositeFieldContainer[Target]
    def __init__(self, targets: _Optional[_Iterable[_Union[Target, _Mapping]]] = ...) -> None: ...

class ListMeasurementsRequest(_message.Message):
    __slots__ = ("target",)
    TARGET_FIELD_NUMBER: _ClassVar[int]
    target: Target
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ...) -> None: ...

class ListMeasurementsResponse(_message.Message):
    __slots__ = ("measurements",)
    MEASUREMENTS_FIELD_NUMBER: _ClassVar[int]
    measurements: _containers.RepeatedCompositeFieldContainer[Measurement]
    def __init__(self, measurements: _Optional[_Iterable[_Union[Measurement, _Mapping]]] = ...) -> None: ...

class GetSessionErrorRequest(_message.Message):
    __slots__ = ("target",)
    TARGET_FIELD_NUMBER: _ClassVar[int]
    target: Target
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ...) -> None: ...

class GetSessionErrorResponse(_message.Message):
    __slots__ = ("relative", "pairs")
    RELATIVE_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    relative: float
    pairs: int
    def __init__(self, relative: _Optional[float] = ..., pairs: _Optional[int] = ...) -> None: ...

class ForgetMeasurementsRequest(_message.Message):
    __slots__ = ("target", "digest", "since", "why")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    target: Target
    digest: str
    since: float
    why: str
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ..., digest: _Optional[str] = ..., since: _Optional[float] = ..., why: _Optional[str] = ...) -> None: ...

class Forgotten(_message.Message):
    __slots__ = ("target", "digest", "latency_ms", "measured_at", "forgotten_at", "by", "why")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_AT_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_AT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    target: Target
    digest: str
    latency_ms: float
    measured_at: float
    forgotten_at: float
    by: str
    why: str
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ..., digest: _Optional[str] = ..., latency_ms: _Optional[float] = ..., measured_at: _Optional[float] = ..., forgotten_at: _Optional[float] = ..., by: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class ForgetMeasurementsResponse(_message.Message):
    __slots__ = ("forgotten",)
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    forgotten: _containers.RepeatedCompositeFieldContainer[Forgotten]
    def __init__(self, forgotten: _Optional[_Iterable[_Union[Forgotten, _Mapping]]] = ...) -> None: ...

class ListForgottenRequest(_message.Message):
    __slots__ = ("target",)
    TARGET_FIELD_NUMBER: _ClassVar[int]
    target: Target
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ...) -> None: ...

class ListForgottenResponse(_message.Message):
    __slots__ = ("forgotten",)
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    forgotten: _containers.RepeatedCompositeFieldContainer[Forgotten]
    def __init__(self, forgotten: _Optional[_Iterable[_Union[Forgotten, _Mapping]]] = ...) -> None: ...

class ListDevicesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDevicesResponse(_message.Message):
    __slots__ = ("device_json",)
    DEVICE_JSON_FIELD_NUMBER: _ClassVar[int]
    device_json: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, device_json: _Optional[_Iterable[str]] = ...) -> None: ...

class GetLimitsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetLimitsResponse(_message.Message):
    __slots__ = ("memory_bytes", "tokens")
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    memory_bytes: int
    tokens: int
    def __init__(self, memory_bytes: _Optional[int] = ..., tokens: _Optional[int] = ...) -> None: ...
