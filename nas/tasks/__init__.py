"""Tasks: data, loss and metric; one file each, registered by `@register_task`. Importing this package
needs no torch."""

from nas.tasks.task import (
    TASKS,
    DataFiles,
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
    "DataFiles",
    "Task",
    "TaskOptions",
    "get_task",
    "make_task",
    "register_task",
    "task_descriptions",
    "tasks",
]
