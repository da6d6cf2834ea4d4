"""Tasks: data, loss and metric; one file each, registered by `@register_task`. Importing this package
needs no torch."""

from nas.tasks.task import (
    TASKS,
    Batch,
    DataFiles,
    SequenceOptions,
    SequenceTask,
    Task,
    TaskOptions,
    get_task,
    make_task,
    register_task,
    task_descriptions,
    tasks,
)

__all__ = [
    "TASKS",
    "Batch",
    "DataFiles",
    "SequenceOptions",
    "SequenceTask",
    "Task",
    "TaskOptions",
    "get_task",
    "make_task",
    "register_task",
    "task_descriptions",
    "tasks",
]
