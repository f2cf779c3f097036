"""Values of the job queue as JSON and back, by their type annotations."""

import dataclasses
import enum
import functools
import json
import types
import typing
from datetime import datetime
from typing import Any, TypeVar

T = TypeVar("T")


def encode(value: Any) -> str:
    """JSON text of a dataclass made of dataclasses, tuples, enums, times, text, numbers and None."""
    return json.dumps(value, default=_plain, separators=(",", ":"), sort_keys=True)


def decode(kind: type[T], text: str) -> T:
    """What ``encode`` was given. Fields that the text lacks keep their defaults."""
    return typing.cast(T, _build(kind, json.loads(text)))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in the job database")


def _build(kind: Any, data: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        inner = next(part for part in typing.get_args(kind) if part is not type(None))
        return None if data is None else _build(inner, data)
    if origin is tuple:
        return tuple(_build(typing.get_args(kind)[0], item) for item in data)
    if dataclasses.is_dataclass(kind):
        made: Any = kind
        hints = _hints(made)
        return made(**{name: _build(hints[name], item) for name, item in data.items()})
    if kind is datetime:
        return datetime.fromisoformat(data)
    return kind(data) if issubclass(kind, enum.Enum) else data


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
