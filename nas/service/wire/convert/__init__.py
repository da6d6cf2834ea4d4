"""Between the nouns of this project and their messages: the only module that knows how one is the other.

Every `X_to_message` has an inverse `X_from_message`; `tests/nas/service/test_wire_convert.py` holds them to
it over every field and every member of every enum. A message from a peer is not trusted: what cannot be
a value raises `Incompatible`.
"""

from nas.service.wire.convert.clouds import cloud_from_messages, cloud_to_messages
from nas.service.wire.convert.fronts import (
    comparison_from_message,
    comparison_to_message,
    front_from_messages,
    front_header_to_message,
    optimum_from_message,
    optimum_to_message,
    point_from_message,
    point_to_message,
)
from nas.service.wire.convert.jobs import (
    event_from_message,
    event_to_message,
    job_from_message,
    job_to_message,
    limits_from_message,
    limits_to_message,
    profile_from_message,
    profile_to_message,
    spec_from_text,
    spec_to_text,
)
from nas.service.wire.convert.measurements import (
    forgotten_from_message,
    forgotten_to_message,
    measurement_from_message,
    measurement_to_message,
)
from nas.service.wire.convert.plain import ENUMS, document, member_of, number_of, text
from nas.service.wire.convert.targets import (
    architecture_from_message,
    architecture_to_message,
    target_from_message,
    target_to_message,
)

__all__ = [
    "ENUMS",
    "architecture_from_message",
    "architecture_to_message",
    "cloud_from_messages",
    "cloud_to_messages",
    "comparison_from_message",
    "comparison_to_message",
    "document",
    "event_from_message",
    "event_to_message",
    "forgotten_from_message",
    "forgotten_to_message",
    "front_from_messages",
    "front_header_to_message",
    "job_from_message",
    "job_to_message",
    "limits_from_message",
    "limits_to_message",
    "measurement_from_message",
    "measurement_to_message",
    "member_of",
    "number_of",
    "optimum_from_message",
    "optimum_to_message",
    "point_from_message",
    "point_to_message",
    "profile_from_message",
    "profile_to_message",
    "spec_from_text",
    "spec_to_text",
    "target_from_message",
    "target_to_message",
    "text",
]
