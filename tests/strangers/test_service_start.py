"""What starts no service: the one message that says why."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from nas.errors import Busy, InvalidSpec, NasError
from nas.service.server.host import ServiceHost


def other_tokens(folder: Path) -> ServiceHost:
    path = folder / "passwd"
    path.write_text("root:x:0:0:root:/root:/bin/sh\n")
    return ServiceHost(folder, tokens=path, parallel=0)


CASES: dict[str, tuple[Callable[[Path], ServiceHost], type[NasError], str]] = {
    "a file that holds no tokens": (
        other_tokens,
        InvalidSpec,
        "--tokens: .* is not a token file",
    ),
    "a port that there is not": (
        lambda folder: ServiceHost(folder, bind="127.0.0.1:99999", parallel=0),
        InvalidSpec,
        "bind: '127.0.0.1:99999' is not an address; accepted: HOST:PORT, with a port from 0 to 65535",
    ),
    "everybody's address without tokens": (
        lambda folder: ServiceHost(folder, bind="0.0.0.0:0", parallel=0),
        InvalidSpec,
        "bind: 0.0.0.0:0 can be reached from elsewhere",
    ),
    "a folder that another service runs on": (
        lambda folder: ServiceHost(folder, parallel=0),
        Busy,
        r"another service runs on .* \(process \d+ on .*\); accepted: another --home, or a database",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_service_that_does_not_start(tmp_path: Path, case: str) -> None:
    make, kind, message = CASES[case]
    with ServiceHost(tmp_path, parallel=0), pytest.raises(kind, match=message):
        make(tmp_path).start()


def test_a_folder_is_free_again_after_its_service(tmp_path: Path) -> None:
    for _ in range(2):
        with ServiceHost(tmp_path, parallel=0) as host:
            socket.create_connection(("127.0.0.1", int(host.address.rpartition(":")[2]))).close()
