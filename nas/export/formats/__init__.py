"""Formats that a model folder is converted to: one file each, registered by `@register_format`."""

from nas.export.formats.format import FORMATS, ExportFormat, get_format, register_format

__all__ = ["FORMATS", "ExportFormat", "get_format", "register_format"]
