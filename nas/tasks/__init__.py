"""Tasks: data, loss and metric; one file each, registered by `@register_task`. Importing this package
needs no torch."""

from nas.tasks.task import Task, TaskOptions, make_task, register_task, task_descriptions, tasks

__all__ = ["Task", "TaskOptions", "make_task", "register_task", "task_descriptions", "tasks"]
