"""Messages of the contract as the plain JSON documents that ``--json`` prints.

Field names are the contract's. Enumerators lose their prefix and case (``JOB_STATE_FAILED`` is ``failed``), whole
numbers stay numbers, times are ISO 8601 in UTC, and optional fields that are not set are null.
"""

from typing import cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def document(message: Message) -> dict[str, object]:
    """The message as a JSON document."""
    content: dict[str, object] = {}
    for field in cast(list[FieldDescriptor], message.DESCRIPTOR.fields):
        if field.containing_oneof is not None and not _is_optional(field):
            if message.HasField(field.name):
                content[field.name] = _value(field, getattr(message, field.name))
        elif field.is_repeated:
            content[field.name] = [_value(field, item) for item in getattr(message, field.name)]
        elif field.has_presence and not message.HasField(field.name):
            content[field.name] = None
        else:
            content[field.name] = _value(field, getattr(message, field.name))
    return content


def enum_word(message: Message, field_name: str) -> str:
    """The enumerator of a field as a lower-case word without its prefix."""
    field = cast(FieldDescriptor, message.DESCRIPTOR.fields_by_name[field_name])
    return _enum_word(field, getattr(message, field_name))


def _is_optional(field: FieldDescriptor) -> bool:
    """Whether the field's oneof is only the compiler's way to write ``optional``."""
    return field.containing_oneof is not None and field.containing_oneof.name == f"_{field.name}"


def _value(field: FieldDescriptor, value: object) -> object:
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Message):
        return document(value)
    if field.enum_type is not None and isinstance(value, int):
        return _enum_word(field, value)
    if isinstance(value, bytes):
        return value.hex()
    return value


def _enum_word(field: FieldDescriptor, number: int) -> str:
    enum = field.enum_type
    known = enum.values_by_number.get(number) if enum is not None else None
    if enum is None or known is None:
        return str(number)
    prefix = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in enum.name).lstrip("_") + "_"
    return str(known.name).removeprefix(prefix).lower()
