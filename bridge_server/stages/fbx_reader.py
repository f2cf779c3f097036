"""Reading the container of binary FBX back into nodes, as ``fbx_nodes`` writes them; safe against broken files.

Versions 7.1 to 7.7: from 7.5 on, offsets and counts have 64 bits. Sources: as in ``fbx_nodes``.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bridge_server.stages.fbx_nodes import Node, Property

MAGIC = b"Kaydara FBX Binary  \x00"
HEADER_BYTES = 27
OLDEST, WIDE_FROM = 7000, 7500
MAX_DEPTH = 64
MAX_ARRAY_BYTES = 1 << 30
MAX_NODES = 2_000_000
ARRAY_TYPES = {b"f": "<f4", b"d": "<f8", b"l": "<i8", b"i": "<i4", b"b": "<u1", b"c": "<u1"}
SCALARS: dict[bytes, tuple[str, int]] = {
    b"C": ("<?", 1),
    b"B": ("<?", 1),
    b"Y": ("<h", 2),
    b"I": ("<i", 4),
    b"F": ("<f", 4),
    b"D": ("<d", 8),
    b"L": ("<q", 8),
}


class FbxError(ValueError):
    """What is wrong with the file."""


@dataclass(slots=True)
class _Reader:
    data: memoryview
    wide: bool
    wanted: Callable[[tuple[str, ...]], bool]
    nodes: int = 0
    unpacked: int = 0


def is_binary_fbx(data: bytes) -> bool:
    """By the first bytes."""
    return data[: len(MAGIC)] == MAGIC


def read_file(data: bytes, wanted: Callable[[tuple[str, ...]], bool]) -> list[Node]:
    """All top-level nodes; of nodes whose path of names is not wanted, neither properties nor children are read.

    Raises ``FbxError`` saying what is wrong.
    """
    if not is_binary_fbx(data) or len(data) < HEADER_BYTES:
        raise FbxError("it is no binary FBX")
    (version,) = struct.unpack_from("<I", data, 23)
    if not OLDEST <= version < 8000:
        raise FbxError(f"it is FBX version {version / 1000:.1f}; binary FBX 7.1 to 7.7 is read")
    reader = _Reader(memoryview(data), version >= WIDE_FROM, wanted)
    return list(_siblings(reader, HEADER_BYTES, len(data), ()))


def _siblings(reader: _Reader, at: int, end: int, path: tuple[str, ...]) -> Iterator[Node]:
    """Nodes one after the other up to a null record or the end."""
    if len(path) > MAX_DEPTH:
        raise FbxError(f"its nodes lie more than {MAX_DEPTH} deep")
    layout = "<QQQB" if reader.wide else "<IIIB"
    size = struct.calcsize(layout)
    while at + size <= end:
        stop, count, length, name_length = struct.unpack_from(layout, reader.data, at)
        if stop == 0:
            return
        first = at + size + name_length
        if not first + length <= stop <= end:
            raise FbxError(f"a node at byte {at:,} runs past its end")
        reader.nodes += 1
        if reader.nodes > MAX_NODES:
            raise FbxError(f"it has more than {MAX_NODES:,} nodes")
        name = bytes(reader.data[at + size : first]).decode("ascii", "replace")
        here = (*path, name)
        if reader.wanted(here):
            properties = tuple(_properties(reader, first, first + length, count))
            yield Node(name, properties, tuple(_siblings(reader, first + length, stop, here)))
        at = stop
    if path == () and at < end:
        raise FbxError("it is cut short")


def _properties(reader: _Reader, at: int, end: int, count: int) -> Iterator[Property]:
    for _ in range(count):
        if at >= end:
            raise FbxError("a node has fewer properties than it announces")
        kind = bytes(reader.data[at : at + 1])
        at += 1
        if kind in SCALARS:
            layout, size = SCALARS[kind]
            _require(at + size <= end)
            yield struct.unpack_from(layout, reader.data, at)[0]
            at += size
        elif kind in (b"S", b"R"):
            _require(at + 4 <= end)
            (size,) = struct.unpack_from("<I", reader.data, at)
            _require(at + 4 + size <= end)
            raw = bytes(reader.data[at + 4 : at + 4 + size])
            yield raw.decode("utf-8", "replace") if kind == b"S" else raw
            at += 4 + size
        elif kind in ARRAY_TYPES:
            _require(at + 12 <= end)
            number, packed, size = struct.unpack_from("<III", reader.data, at)
            _require(at + 12 + size <= end)
            yield _array(reader, reader.data[at + 12 : at + 12 + size], ARRAY_TYPES[kind], number, packed)
            at += 12 + size
        else:
            raise FbxError(f"a property is of the unknown type {kind!r}")


def _require(holds: bool) -> None:
    if not holds:
        raise FbxError("a property runs past the end of its node")


def _array(reader: _Reader, raw: memoryview, kind: str, number: int, packed: int) -> np.ndarray:
    wanted = number * np.dtype(kind).itemsize
    reader.unpacked += wanted
    if reader.unpacked > MAX_ARRAY_BYTES:
        raise FbxError(f"its arrays unpack to more than {MAX_ARRAY_BYTES >> 30} GiB")
    if packed == 1:
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(raw, wanted) if wanted else b""
        except zlib.error as error:
            raise FbxError(f"an array cannot be unpacked ({error})") from error
    elif packed == 0:
        data = bytes(raw)
    else:
        raise FbxError(f"an array is packed in the unknown way {packed}")
    if len(data) != wanted:
        raise FbxError(f"an array announces {number:,} numbers and holds {len(data) // np.dtype(kind).itemsize:,}")
    return np.frombuffer(data, kind)
