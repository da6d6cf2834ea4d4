"""`python -m workers --connect HOST:PORT --device NAME`: this machine measures for a service.

Needs no more than the `[worker]` extra.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from workers.agent import run_worker
from workers.errors import WorkerError
from workers.limits import SECONDS, limits_of
from workers.tls import ClientTls

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker until it is stopped; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m workers", description="Measure models on this machine for a service."
    )
    parser.add_argument("--connect", required=True, metavar="HOST:PORT", help="where the service listens")
    parser.add_argument(
        "--device", default=platform.node(), metavar="NAME", help="the name targets call this machine by"
    )
    parser.add_argument("--once", action="store_true", help="end with the first session; do not reconnect")
    parser.add_argument("--authority", type=Path, metavar="FILE", help="who signed the service's certificate")
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="this device's own, for mutual TLS")
    parser.add_argument("--key", type=Path, metavar="FILE", help="of the certificate")
    parser.add_argument("--model-memory", type=float, metavar="GIB", help="that one model may take")
    parser.add_argument("--model-seconds", type=float, default=SECONDS, metavar="S", help="that one may take")
    options = parser.parse_args(arguments)
    files = (options.authority, options.certificate, options.key)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        # Not an argument: other users of this machine see those.
        run_worker(
            options.connect,
            options.device,
            os.environ.get("NAS_TOKEN"),
            options.once,
            ClientTls(*files) if any(files) else None,
            limits_of(options.model_memory, options.model_seconds),
        )
    except (WorkerError, ValueError) as error:
        print(f"worker: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
