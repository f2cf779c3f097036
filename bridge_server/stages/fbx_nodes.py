"""The container of binary FBX: a tree of named nodes with typed properties, and the file around it.

Source: "FBX binary file format specification" of Blender's developers (code.blender.org, 2013): header, node records
with 32-bit offsets (version 7400), array properties with zlib, and the footer.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

VERSION = 7400
HEADER = b"Kaydara FBX Binary  \x00\x1a\x00" + struct.pack("<I", VERSION)
NULL_RECORD = bytes(13)
FILE_ID = bytes.fromhex("28b32aebb624ccc2bfc8b02aa92bfcf1")
CREATION_TIME = "1970-01-01 10:00:00:000"
"""File id and footer id are derived from this time, so it is the one that fits both."""
FOOTER_ID = bytes.fromhex("fabcab09d0c8d466b176fb831cf7267e")
FOOTER_END = bytes.fromhex("f85a8c6adef5d97eece90ce3758f290b")
ARRAY_CODES = {"float32": b"f", "float64": b"d", "int32": b"i", "int64": b"l", "bool": b"b"}
PLAIN_BELOW_BYTES = 128
COMPRESSION_LEVEL = 4

Property = bool | int | float | str | bytes | np.ndarray | np.int16 | np.int64


@dataclass(frozen=True, slots=True)
class Node:
    """One record. Python ints are written as 32 bits, ``np.int64`` as 64, floats as doubles, bytes as raw data."""

    name: str
    properties: tuple[Property, ...] = ()
    children: tuple["Node", ...] = ()


def node(name: str, *properties: Property, children: Sequence[Node] = ()) -> Node:
    """A node, spelled short."""
    return Node(name, properties, tuple(children))


def write_file(top: Sequence[Node]) -> bytes:
    """The whole file around the top-level nodes."""
    parts = [HEADER]
    offset = len(HEADER)
    for item in top:
        record = _record(item, offset)
        parts.append(record)
        offset += len(record)
    parts += [NULL_RECORD, FOOTER_ID, bytes(4)]
    offset += len(NULL_RECORD) + len(FOOTER_ID) + 4
    parts += [bytes(16 - offset % 16), struct.pack("<I", VERSION), bytes(120), FOOTER_END]
    return b"".join(parts)


def _record(item: Node, start: int) -> bytes:
    name = item.name.encode("ascii")
    values = b"".join(_property(value) for value in item.properties)
    offset = start + 13 + len(name) + len(values)
    nested = []
    for child in item.children:
        record = _record(child, offset)
        nested.append(record)
        offset += len(record)
    if nested or not item.properties:
        nested.append(NULL_RECORD)
        offset += len(NULL_RECORD)
    head = struct.pack("<IIIB", offset, len(item.properties), len(values), len(name))
    return b"".join([head, name, values, *nested])


def _property(value: Property) -> bytes:
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, bool):
        return b"C" + struct.pack("<?", value)
    if isinstance(value, np.int64):
        return b"L" + struct.pack("<q", int(value))
    if isinstance(value, (int, np.int16)):
        return b"I" + struct.pack("<i", int(value))
    if isinstance(value, float):
        return b"D" + struct.pack("<d", value)
    data, code = (value.encode(), b"S") if isinstance(value, str) else (value, b"R")
    return code + struct.pack("<I", len(data)) + data


def _array(values: np.ndarray) -> bytes:
    code = ARRAY_CODES[values.dtype.name]
    data = np.ascontiguousarray(values.reshape(-1), values.dtype.newbyteorder("<")).tobytes()
    if len(data) <= PLAIN_BELOW_BYTES:
        return code + struct.pack("<III", values.size, 0, len(data)) + data
    packed = zlib.compress(data, COMPRESSION_LEVEL)
    return code + struct.pack("<III", values.size, 1, len(packed)) + packed
