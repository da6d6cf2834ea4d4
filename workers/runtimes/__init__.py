"""Engines that load a model file and run it: one file each, registered by `@register_runtime`."""
