"""The few facts of a GLB that a package check compares, read straight from its bytes.

Source: glTF 2.0 specification, section 4.4 (GLB) and 3.6 (accessors).
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class GlbNode:
    """One mesh as a node shows it."""

    triangles: int
    vertices: int
    low_m: tuple[float, ...]
    high_m: tuple[float, ...]


def read_glb_nodes(data: bytes) -> Mapping[str, GlbNode]:
    """Mesh nodes by name. Raises ``ValueError`` that says what is wrong with the file."""
    if len(data) < 20 or data[:4] != b"glTF":
        raise ValueError("is not a GLB")
    version, length, size, kind = struct.unpack("<IIII", data[4:20])
    if version != 2 or length != len(data) or kind != 0x4E4F534A or 20 + size > len(data):
        raise ValueError("is cut short, or no GLB of version 2")
    try:
        document = json.loads(data[20 : 20 + size])
        return {node["name"]: _node(document, node["mesh"]) for node in document["nodes"] if "mesh" in node}
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"has a broken document ({type(error).__name__}: {error})") from error


def _node(document: dict[str, Any], mesh: int) -> GlbNode:
    (primitive,) = document["meshes"][mesh]["primitives"]
    position = document["accessors"][primitive["attributes"]["POSITION"]]
    return GlbNode(
        triangles=document["accessors"][primitive["indices"]]["count"] // 3,
        vertices=position["count"],
        low_m=tuple(float(value) for value in position["min"]),
        high_m=tuple(float(value) for value in position["max"]),
    )
