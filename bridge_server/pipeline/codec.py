"""Values to bytes and back: one JSON header that says what is there, then the raw arrays.

    8 bytes   "O3DFVAL1"
    8 bytes   length of the header, little-endian
    header    JSON: {"schema", "tree", "buffers": [{"offset", "size", "dtype", "shape"}]}; offsets count from the end
              of the header, rounded up to 64; a buffer without dtype is plain bytes
    buffers   each at a multiple of 64, so that a memory-mapped file is read without a copy

Equal values give equal bytes. Only dataclasses and enums that live in ``bridge_server.values`` are written or made;
nothing is ever executed, so a hostile blob can at worst be refused.
"""

import dataclasses
import enum
import importlib
import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge_server.errors import StoreError
from bridge_server.values.base import Value

SCHEMA = "open3dforge.value.v1"
MAGIC = b"O3DFVAL1"
ALIGNMENT = 64
VALUES = "bridge_server.values."
_LARGEST_HEADER = 64 << 20
_ARRAY_KINDS = "biuf"
_DAMAGE = (ValueError, TypeError, LookupError, AttributeError, ImportError, ArithmeticError, RecursionError)
"""What a wrong header makes of constructors and lookups."""

Tree = None | bool | int | float | str | dict[str, Any]


@dataclass(slots=True)
class _Writer:
    buffers: list[memoryview] = dataclasses.field(default_factory=list)
    described: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    size: int = 0

    def add(self, buffer: memoryview, **described: Any) -> int:
        self.described.append({"offset": self.size, "size": buffer.nbytes, **described})
        self.buffers.append(buffer)
        self.size += buffer.nbytes + -buffer.nbytes % ALIGNMENT
        return len(self.buffers) - 1

    def tree(self, content: object) -> Tree:
        """The JSON form of anything that a value may hold."""
        if isinstance(content, np.bool_ | np.number):
            content = content.item()
        if content is None or isinstance(content, bool | int | float | str):
            return _scalar(content)
        if isinstance(content, tuple):
            return {"tuple": [self.tree(part) for part in content]}
        if isinstance(content, np.ndarray):
            return {"array": self._array(content)}
        if isinstance(content, bytes):
            return {"bytes": self.add(memoryview(content))}
        if dataclasses.is_dataclass(content) and not isinstance(content, type):
            fields = {field.name: self.tree(getattr(content, field.name)) for field in dataclasses.fields(content)}
            return {"value": _name_of(type(content)), "fields": fields}
        raise StoreError(f"{type(content).__name__} cannot be stored.", subject="value")

    def _array(self, array: np.ndarray) -> int:
        if array.dtype.kind not in _ARRAY_KINDS:
            raise StoreError(f"an array of {array.dtype} cannot be stored.", subject="value")
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        return self.add(plain.reshape(-1).view(np.uint8).data, dtype=plain.dtype.str, shape=list(array.shape))


def encode(value: Value) -> Iterator[memoryview]:
    """The pieces of the blob, in order; arrays are handed out as they lie in memory, not copied."""
    writer = _Writer()
    tree = writer.tree(value)
    header = canonical_json({"schema": SCHEMA, "tree": tree, "buffers": writer.described})
    start = len(MAGIC) + 8 + len(header)
    yield memoryview(MAGIC + struct.pack("<Q", len(header)) + header + bytes(-start % ALIGNMENT))
    for buffer in writer.buffers:
        yield buffer
        if buffer.nbytes % ALIGNMENT:
            yield memoryview(bytes(-buffer.nbytes % ALIGNMENT))


def decode(blob: memoryview) -> Value:
    """The value, its arrays read-only views of ``blob``. Raises ``StoreError`` where the blob is damaged."""
    try:
        value = _decode(blob)
    except StoreError:
        raise
    except _DAMAGE as error:
        raise StoreError(f"is damaged ({type(error).__name__}: {error}).", subject="stored value") from error
    if not isinstance(value, Value):
        raise StoreError("holds no value.", subject="stored value")
    return value


def plain_tree(content: object) -> Tree:
    """The JSON form of something without arrays, for keys and records. Raises ``StoreError`` where it has any."""
    writer = _Writer()
    tree = writer.tree(content)
    if writer.buffers:
        raise StoreError("arrays do not belong here.", subject="record")
    return tree


def from_plain_tree(tree: Any) -> Any:
    """What ``plain_tree`` was given. Raises like ``json`` and constructors do where the tree is wrong."""
    return _build(tree, [])


def canonical_json(content: object) -> bytes:
    """JSON bytes that are the same for equal content."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def _decode(blob: memoryview) -> Any:
    if len(blob) < 16 or bytes(blob[:8]) != MAGIC:
        raise StoreError("does not start like a stored value.", subject="stored value")
    (length,) = struct.unpack("<Q", blob[8:16])
    if length > min(_LARGEST_HEADER, len(blob) - 16):
        raise StoreError("is cut short.", subject="stored value")
    header = json.loads(bytes(blob[16 : 16 + length]))
    if header["schema"] != SCHEMA:
        raise StoreError(f"has the schema {header['schema']!r}, not {SCHEMA!r}.", subject="stored value")
    start = 16 + length
    body = blob[start + -start % ALIGNMENT :]
    return _build(header["tree"], [_buffer(body, described) for described in header["buffers"]])


def _buffer(body: memoryview, described: dict[str, Any]) -> Any:
    offset, size = described["offset"], described["size"]
    if offset < 0 or size < 0 or offset + size > len(body):
        raise StoreError("is cut short.", subject="stored value")
    piece = body[offset : offset + size]
    if "dtype" not in described:
        return bytes(piece)
    dtype = np.dtype(described["dtype"])
    if dtype.kind not in _ARRAY_KINDS:
        raise StoreError(f"holds an array of {dtype}.", subject="stored value")
    array = np.frombuffer(piece, dtype).reshape(described["shape"])
    array.flags.writeable = False
    return array


def _build(tree: Any, buffers: list[Any]) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "value" in tree and "fields" in tree:
        kind = _class_of(tree["value"])
        return kind(**{name: _build(part, buffers) for name, part in tree["fields"].items()})
    if "enum" in tree:
        return _class_of(tree["enum"])(tree["value"])
    if "tuple" in tree:
        return tuple(_build(part, buffers) for part in tree["tuple"])
    if "float" in tree:
        return float(tree["float"])
    return buffers[tree["array"] if "array" in tree else tree["bytes"]]


def _scalar(content: bool | int | float | str | None) -> Tree:
    if isinstance(content, enum.StrEnum):
        return {"enum": _name_of(type(content)), "value": content.value}
    if isinstance(content, float) and not math.isfinite(content):
        return {"float": repr(content)}
    return content


def _name_of(kind: type) -> str:
    name = f"{kind.__module__}:{kind.__qualname__}"
    if not name.startswith(VALUES):
        raise StoreError(f"{name} is no class of {VALUES[:-1]} and cannot be stored.", subject="value")
    return name


def _class_of(name: str) -> Any:
    module, _, class_name = name.partition(":")
    if not module.startswith(VALUES) or not all(part.isidentifier() for part in (*module.split("."), class_name)):
        raise StoreError(f"names {name!r}, which is no class of values.", subject="stored value")
    kind = getattr(importlib.import_module(module), class_name)
    storable = isinstance(kind, type) and (dataclasses.is_dataclass(kind) or issubclass(kind, enum.StrEnum))
    if not storable or kind.__module__ != module:
        raise StoreError(f"names {name!r}, which is no class of values.", subject="stored value")
    return kind
