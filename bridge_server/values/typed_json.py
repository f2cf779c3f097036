"""Frozen dataclasses to JSON text and back, strictly: every key there, none unknown, every type right.

An entry that came later than the first version of its document has the default None and may be missing when read.

Field types may be str, int, float, bool, ``X | None``, ``tuple[X, ...]``, ``tuple[X, X, X]``, ``Mapping[str, X]``,
other dataclasses, and ``JsonText`` for a foreign document that is carried along unread.
"""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, NewType, TypeVar

from bridge_server.errors import InputError

JsonText = NewType("JsonText", str)
"""JSON text of a foreign document; it stands in the written file as itself, not as a string."""

T = TypeVar("T")


def dump(value: Any) -> str:
    """Deterministic, readable JSON text of a dataclass, keys in field order, ending in a newline."""
    return json.dumps(_plain(value, type(value)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def load(kind: type[T], text: str | bytes, subject: str) -> T:
    """The dataclass that ``text`` holds. Raises ``InputError`` that names the place in the document."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error}).", subject=subject) from error
    return typing.cast(T, _read(document, kind, "", subject))


def _plain(value: Any, hint: Any) -> Any:
    if hint is JsonText:
        return json.loads(value)
    if dataclasses.is_dataclass(value):
        hints = typing.get_type_hints(type(value))
        return {f.name: _plain(getattr(value, f.name), hints[f.name]) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        inner = typing.get_args(hint)[0]
        return [_plain(item, inner) for item in value]
    if isinstance(value, Mapping):
        inner = typing.get_args(hint)[1]
        return {key: _plain(value[key], inner) for key in sorted(value)}
    return value


def _read(document: Any, hint: Any, place: str, subject: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is JsonText:
        return JsonText(json.dumps(document, ensure_ascii=False, sort_keys=True))
    if origin in (types.UnionType, typing.Union):
        return None if document is None else _read(document, arguments[0], place, subject)
    if origin is tuple:
        return _read_list(document, arguments, place, subject)
    if origin is Mapping:
        _expect(isinstance(document, dict), "an object", document, place, subject)
        return {key: _read(item, arguments[1], f"{place}.{key}", subject) for key, item in document.items()}
    if dataclasses.is_dataclass(hint):
        return _read_object(document, typing.cast(type, hint), place, subject)
    return _read_scalar(document, hint, place, subject)


def _read_scalar(document: Any, hint: Any, place: str, subject: str) -> Any:
    if hint is float:
        good = isinstance(document, (int, float)) and not isinstance(document, bool) and math.isfinite(document)
        _expect(good, "a number", document, place, subject)
        return float(document)
    wanted = {str: "a string", int: "a whole number", bool: "true or false"}[hint]
    _expect(type(document) is hint, wanted, document, place, subject)
    return document


def _read_list(document: Any, arguments: tuple[Any, ...], place: str, subject: str) -> tuple[Any, ...]:
    _expect(isinstance(document, list), "a list", document, place, subject)
    if arguments[-1] is not Ellipsis:
        _expect(len(document) == len(arguments), f"a list of {len(arguments)}", document, place, subject)
    return tuple(_read(item, arguments[0], f"{place}[{number}]", subject) for number, item in enumerate(document))


def _read_object(document: Any, kind: type[T], place: str, subject: str) -> T:
    _expect(isinstance(document, dict), "an object", document, place, subject)
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(typing.cast(Any, kind))
    names = [field.name for field in fields]
    for field in fields:
        if field.name not in document and field.default is not None:
            raise InputError(f"{_path(place, field.name)} is missing.", subject=subject)
    for name in document:
        if name not in names:
            raise InputError(f"{_path(place, name)} is unknown.", subject=subject)
    given = [name for name in names if name in document]
    return kind(**{name: _read(document[name], hints[name], _path(place, name), subject) for name in given})


def _path(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _expect(good: bool, wanted: str, document: Any, place: str, subject: str) -> None:
    if not good:
        shown = json.dumps(document)
        raise InputError(
            f"{place or 'the document'} must be {wanted}, not {shown[:60]}{'...' if len(shown) > 60 else ''}.",
            subject=subject,
        )
