"""Logs that a machine reads: one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from nas.errors import InvalidSpec
from searchspaces.errors import Problem

__all__ = ["JsonLines", "log_as_json"]

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

FIELDS = ("job", "target", "device", "method", "status", "seconds", "caller")
"""What a record may say besides its message, given as `extra`."""


class JsonLines(logging.Formatter):
    """`time`, `level`, `logger`, `message`, those of `FIELDS` that the record has, and `error`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                line[name] = value
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_as_json(level: str = "INFO") -> None:
    """Send this project's records to stderr as JSON lines.

    Raises:
        InvalidSpec: there is no such level.
    """
    if level not in LEVELS:
        raise InvalidSpec([Problem("log-level", f"{level!r}; accepted: {', '.join(LEVELS)}")])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("nas", "workers"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
