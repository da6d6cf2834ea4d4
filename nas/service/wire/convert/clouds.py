"""A cloud of candidates as messages: columns of little-endian numbers, some rows a message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from nas.cloud import Cloud
from nas.errors import Incompatible
from nas.objectives.objective import Key
from nas.rpc.v1 import service_pb2 as pb

__all__ = ["cloud_from_messages", "cloud_to_messages"]

ROWS_A_MESSAGE = 16_384
"""Some 0.25 MB where two objectives are compared, and far from any limit where there are dozens."""


def cloud_to_messages(cloud: Cloud) -> Iterator[pb.GetCloudResponse]:
    """Inverse of `cloud_from_messages`; at least one message, which names the columns."""
    for start in range(0, max(len(cloud), 1), ROWS_A_MESSAGE):
        part = cloud.part(start, start + ROWS_A_MESSAGE)
        columns = [
            pb.CloudColumn(kind=kind, target=target, values=column.astype("<f4").tobytes())
            for (kind, target), column in part.columns.items()
        ]
        yield pb.GetCloudResponse(digests=part.digests.astype("<u8").tobytes(), columns=columns)


def cloud_from_messages(parts: Iterable[pb.GetCloudResponse]) -> Cloud:
    """Inverse of `cloud_to_messages`.

    Raises:
        Incompatible: the columns are not numbers of one length.
    """
    try:
        return Cloud.joined([_part(message) for message in parts])
    except (ValueError, KeyError, IndexError) as error:
        raise Incompatible(f"not a cloud of candidates: {error}") from error


def _part(message: pb.GetCloudResponse) -> Cloud:
    columns = {_key(c): np.frombuffer(c.values, "<f4").astype(np.float32) for c in message.columns}
    return Cloud(np.frombuffer(message.digests, "<u8").astype(np.uint64), columns)


def _key(column: pb.CloudColumn) -> Key:
    return column.kind, column.target if column.HasField("target") else None
