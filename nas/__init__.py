"""Hardware-aware architecture search for efficient transformers.

`nas.connect()` is the one door: it runs the service in this process, `nas.connect("host:port")`
talks to a remote one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.client import connect

__all__ = ["connect"]


def __getattr__(name: str) -> Any:
    """Import the client on first use, so that `import nas` stays quick."""
    if name == "connect":
        from nas.client import connect

        return connect
    raise AttributeError(f"module 'nas' has no attribute {name!r}")
