"""Bodies of requests: JSON, YAML and protobuf, with the refusals of Go's decoders."""

from kcontroller.embedded.bodies.reading import (
    JSON,
    LIMIT,
    MAX_DEPTH,
    PROTOBUF,
    YAML,
    Body,
    decode,
    decode_apply,
    media_type_of,
    read,
    too_large,
    unsupported,
)

__all__ = [
    "JSON",
    "LIMIT",
    "MAX_DEPTH",
    "PROTOBUF",
    "YAML",
    "Body",
    "decode",
    "decode_apply",
    "media_type_of",
    "read",
    "too_large",
    "unsupported",
]
