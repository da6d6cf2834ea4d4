"""Tasks: data, loss and metric; one file each, registered by `@register_task`."""
