"""GLB files: glTF 2.0 in one binary, images inside.

Source: glTF 2.0 specification (Khronos 2021), sections 3.6 to 3.9 and 4.4. Metres, Y up, right-handed: our own space,
so positions go in as they are. Nodes and meshes carry the same name, by which Unreal recognises collision.
"""

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from bridge_server.stages.export_model import HullMesh, MaterialFiles, Model, RenderMesh

ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
UINT16, UINT32, FLOAT = 5123, 5125, 5126
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071
GENERATOR = "Open3DForge"


class _Binary:
    """Collects buffer views and accessors while a document is built."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.length = 0
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, data: bytes, target: int | None = None) -> int:
        view: dict[str, Any] = {"buffer": 0, "byteOffset": self.length, "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        padded = data + b"\x00" * (-len(data) % 4)
        self.parts.append(padded)
        self.length += len(padded)
        self.views.append(view)
        return len(self.views) - 1

    def floats(self, array: np.ndarray, *, bounds: bool = False) -> int:
        values = np.ascontiguousarray(array, "<f4")
        accessor: dict[str, Any] = {
            "bufferView": self.view(values.tobytes(), ARRAY_BUFFER),
            "componentType": FLOAT,
            "count": len(values),
            "type": f"VEC{values.shape[1]}",
        }
        if bounds:
            accessor["min"] = [float(value) for value in values.min(axis=0)]
            accessor["max"] = [float(value) for value in values.max(axis=0)]
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def indices(self, faces: np.ndarray, vertices: int) -> int:
        # 65535 itself is the primitive restart value of 16-bit indices and may not occur.
        short = vertices <= 65535
        flat = np.ascontiguousarray(faces.reshape(-1), "<u2" if short else "<u4")
        self.accessors.append(
            {
                "bufferView": self.view(flat.tobytes(), ELEMENT_ARRAY_BUFFER),
                "componentType": UINT16 if short else UINT32,
                "count": len(flat),
                "type": "SCALAR",
            }
        )
        return len(self.accessors) - 1


def write_glb(model: Model) -> bytes:
    """The file's bytes. All meshes share the material; collision pieces have none, and positions only."""
    binary = _Binary()
    meshes = [_render_mesh(mesh, binary) for mesh in model.meshes] + [_hull_mesh(hull, binary) for hull in model.hulls]
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": GENERATOR},
        "scene": 0,
        "scenes": [{"name": model.meshes[0].name, "nodes": list(range(len(meshes)))}],
        "nodes": [{"name": mesh["name"], "mesh": number} for number, mesh in enumerate(meshes)],
        "meshes": meshes,
    }
    document |= _material(model.material, binary)
    document["accessors"] = binary.accessors
    document["bufferViews"] = binary.views
    document["buffers"] = [{"byteLength": binary.length}]
    return _container(document, binary.parts)


def _render_mesh(mesh: RenderMesh, binary: _Binary) -> dict[str, Any]:
    attributes = {
        "POSITION": binary.floats(mesh.positions_m, bounds=True),
        "NORMAL": binary.floats(mesh.normals),
        "TANGENT": binary.floats(mesh.tangents),
        "TEXCOORD_0": binary.floats(mesh.uvs),
    }
    if mesh.lightmap_uvs is not None:
        attributes["TEXCOORD_1"] = binary.floats(mesh.lightmap_uvs)
    indices = binary.indices(mesh.faces, len(mesh.positions_m))
    return {"name": mesh.name, "primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}


def _hull_mesh(hull: HullMesh, binary: _Binary) -> dict[str, Any]:
    position = binary.floats(hull.positions_m, bounds=True)
    indices = binary.indices(hull.faces, len(hull.positions_m))
    return {"name": hull.name, "primitives": [{"attributes": {"POSITION": position}, "indices": indices}]}


def _material(material: MaterialFiles, binary: _Binary) -> dict[str, Any]:
    images: list[dict[str, Any]] = []

    def texture(data: bytes, path: str) -> dict[str, int]:
        kind = "image/jpeg" if data[:2] == b"\xff\xd8" else "image/png"
        images.append({"name": path.rpartition(".")[0], "mimeType": kind, "bufferView": binary.view(data)})
        return {"index": len(images) - 1}

    surface: dict[str, Any] = {}
    entry: dict[str, Any] = {"name": material.name, "pbrMetallicRoughness": surface}
    if material.base_color is not None:
        surface["baseColorTexture"] = texture(material.base_color, material.base_color_path)
    if material.orm is not None:
        surface["metallicRoughnessTexture"] = texture(material.orm, material.orm_path)
        entry["occlusionTexture"] = dict(surface["metallicRoughnessTexture"])
    else:
        surface["metallicFactor"] = 0.0
    if material.normal is not None:
        entry["normalTexture"] = texture(material.normal, material.normal_path)
    parts: dict[str, Any] = {"materials": [entry]}
    if images:
        parts["textures"] = [
            {"name": image["name"], "sampler": 0, "source": number} for number, image in enumerate(images)
        ]
        parts["images"] = images
        parts["samplers"] = [
            {
                "magFilter": LINEAR,
                "minFilter": LINEAR_MIPMAP_LINEAR,
                "wrapS": CLAMP_TO_EDGE,
                "wrapT": CLAMP_TO_EDGE,
            }
        ]
    return parts


def _container(document: dict[str, Any], parts: Sequence[bytes]) -> bytes:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    size = sum(len(part) for part in parts)
    head = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + size)
    return b"".join(
        [head, struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", size, b"BIN\x00"), *parts]
    )
