"""Buffers, views and accessors of a glTF 2.0 document as arrays."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import numpy as np

from bridge_server.stages.load_mesh_formats import (
    MAX_TRIANGLES,
    UNCOMPRESSED,
    UNREADABLE_EXTENSIONS,
    companion,
    refused,
)
from bridge_server.values.source import MeshSource

COMPONENT_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
COMPONENT_COUNTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@dataclass(frozen=True, slots=True)
class GltfFile:
    """A parsed document with the bytes it refers to."""

    source: MeshSource
    document: Mapping[str, Any]
    binary: memoryview
    """The GLB's own chunk; empty for a ``.gltf``."""

    def entry(self, kind: str, index: object) -> Mapping[str, Any]:
        """Item of one of the document's lists; raises ``InputError`` where it is missing."""
        entries = self.document.get(kind, [])
        if not isinstance(index, int) or not 0 <= index < len(entries) or not isinstance(entries[index], dict):
            raise refused(self.source.name, f"it refers to {kind}[{index}], which is not there.", "MESH_UNREADABLE")
        return entries[index]

    def buffer(self, index: int) -> memoryview:
        """Bytes of a buffer, from the GLB chunk, a data URI or a companion file."""
        entry = self.entry("buffers", index)
        uri = entry.get("uri")
        self.refuse_compressed(entry)
        data = self.binary if uri is None and index == 0 else memoryview(self.resolve(str(uri or "")))
        if len(data) < entry["byteLength"]:
            raise refused(self.source.name, f"buffer {index} is truncated.", "MESH_TRUNCATED")
        return data[: entry["byteLength"]]

    def refuse_compressed(self, entry: Mapping[str, Any]) -> None:
        """Raise ``InputError`` where the entry's data are there in compressed form alone."""
        for extension in entry.get("extensions", {}):
            if extension in UNREADABLE_EXTENSIONS:
                what = f"its geometry has {UNREADABLE_EXTENSIONS[extension]} ({extension}), which is not read here."
                raise refused(self.source.name, what, "MESH_COMPRESSED", UNCOMPRESSED)

    def resolve(self, uri: str) -> bytes:
        """Bytes behind a URI: data URIs are decoded, anything else is looked up among the companions."""
        if uri.startswith("data:"):
            head, _, body = uri.partition(",")
            try:
                return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote(body).encode()
            except binascii.Error as error:
                raise refused(self.source.name, "a data URI is not valid base64.", "MESH_UNREADABLE") from error
        found = companion(self.source, unquote(uri))
        if found is None:
            raise refused(
                self.source.name, f"it refers to {uri!r}, which was not sent with it.", "MESH_COMPANION_MISSING",
                "Send that file too, or export one self-contained GLB.",
            )  # fmt: skip
        return found

    def view(self, index: int) -> tuple[memoryview, int]:
        """Bytes of a buffer view, and its stride (0 where tightly packed)."""
        entry = self.entry("bufferViews", index)
        start, length = entry.get("byteOffset", 0), entry["byteLength"]
        data = self.buffer(entry["buffer"])
        if start < 0 or length < 0 or start + length > len(data):
            raise refused(self.source.name, f"buffer view {index} runs past its buffer.", "MESH_TRUNCATED")
        return data[start : start + length], entry.get("byteStride", 0)

    def accessor(self, index: int, scaled: bool = True) -> np.ndarray:
        """Elements as (count, components); normalised integers become float64 in [-1, 1] where ``scaled``.

        Applies sparse substitution. Raises ``InputError`` where it reaches past its data.
        """
        entry = self.entry("accessors", index)
        kind = np.dtype(COMPONENT_TYPES[entry["componentType"]])
        width, count = COMPONENT_COUNTS[entry["type"]], int(entry["count"])
        if count < 0:
            raise refused(self.source.name, f"accessor {index} has a negative count.", "MESH_UNREADABLE")
        if "bufferView" in entry:
            values = self._elements(entry["bufferView"], entry.get("byteOffset", 0), kind, count, width)
        else:
            if count > 3 * MAX_TRIANGLES:
                raise refused(self.source.name, f"accessor {index} announces {count:,} elements.", "MESH_TOO_LARGE")
            values = np.zeros((count, width), kind)
        sparse = entry.get("sparse")
        if sparse is not None:
            values = self._substituted(values, sparse, kind)
        if scaled and entry.get("normalized", False) and kind.kind in "iu":
            return np.maximum(values.astype(np.float64) / np.iinfo(kind).max, -1.0)
        return values

    def _elements(self, view: int, offset: int, kind: np.dtype[Any], count: int, width: int) -> np.ndarray:
        data, stride = self.view(view)
        step = stride or kind.itemsize * width
        if offset < 0 or (count and offset + (count - 1) * step + kind.itemsize * width > len(data)):
            raise refused(self.source.name, f"an accessor reaches past buffer view {view}.", "MESH_TRUNCATED")
        return np.ndarray((count, width), kind, data, offset, (step, kind.itemsize))

    def _substituted(self, values: np.ndarray, sparse: Mapping[str, Any], kind: np.dtype[Any]) -> np.ndarray:
        count, where, what = int(sparse["count"]), sparse["indices"], sparse["values"]
        index_kind = np.dtype(COMPONENT_TYPES[where["componentType"]])
        rows = self._elements(where["bufferView"], where.get("byteOffset", 0), index_kind, count, 1)[:, 0]
        if count and int(rows.max()) >= len(values):
            raise refused(self.source.name, "a sparse accessor has an index out of range.", "MESH_INDEX_RANGE")
        result = values.copy()
        result[rows] = self._elements(what["bufferView"], what.get("byteOffset", 0), kind, count, values.shape[1])
        return result
