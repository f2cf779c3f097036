"""Reading GLB, FBX and PNG files as far as an importer has to: a bare Python, no library."""

import json
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMPONENTS = {5120: ("b", 1), 5121: ("B", 1), 5122: ("h", 2), 5123: ("H", 2), 5125: ("I", 4), 5126: ("f", 4)}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
# What Unreal's glTF translator accepts in extensionsRequired.
ACCEPTED_EXTENSIONS = {
    "KHR_lights", "KHR_lights_punctual", "EXT_lights_ies", "KHR_materials_variants", "KHR_materials_unlit",
    "KHR_materials_ior", "KHR_materials_clearcoat", "KHR_materials_transmission", "KHR_materials_sheen",
    "KHR_materials_specular", "KHR_materials_pbrSpecularGlossiness", "KHR_materials_emissive_strength",
    "KHR_materials_iridescence", "MSFT_packing_occlusionRoughnessMetallic", "MSFT_packing_normalRoughnessMetallic",
    "KHR_texture_transform", "KHR_mesh_quantization", "KHR_draco_mesh_compression",
}  # fmt: skip


class Unreadable(Exception):
    """The file is not what its name says, or uses what the engine does not know."""


@dataclass
class Part:
    """One mesh node, in Unreal's space: centimetres, Z up, left-handed."""

    name: str
    positions: list[tuple[float, float, float]]
    triangles: int
    has_normals: bool = False
    has_tangents: bool = False
    has_uvs: bool = False
    uv_channels: int = 0
    joints: tuple[str, ...] = ()
    """Names of the joints of its skin."""

    def bounds(self) -> tuple[list[float], list[float]]:
        """Lowest and highest corner."""
        columns = list(zip(*self.positions, strict=True))
        return [min(column) for column in columns], [max(column) for column in columns]


@dataclass
class Scene:
    """What a file holds."""

    parts: list[Part] = field(default_factory=list)


def read_glb(path: Path) -> Scene:
    """Mesh nodes with their transforms applied. Raises ``Unreadable``."""
    raw = path.read_bytes()
    if raw[:4] != b"glTF" or struct.unpack_from("<II", raw, 4)[0] != 2:
        raise Unreadable(f"{path.name} is no GLB of version 2")
    document: dict[str, Any] = {}
    binary = b""
    offset = 12
    while offset < len(raw):
        length, kind = struct.unpack_from("<II", raw, offset)
        body = raw[offset + 8 : offset + 8 + length]
        if kind == 0x4E4F534A:
            document = json.loads(body)
        elif kind == 0x004E4942:
            binary = body
        offset += 8 + length
    unknown = set(document.get("extensionsRequired", [])) - ACCEPTED_EXTENSIONS
    if unknown:
        raise Unreadable(f"{path.name} requires {sorted(unknown)}, which the glTF translator does not know")
    scene = Scene()
    roots = document["scenes"][document.get("scene", 0)]["nodes"]
    for root in roots:
        _walk(document, binary, root, _IDENTITY, scene)
    return scene


_IDENTITY = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]


def _walk(document: dict[str, Any], binary: bytes, index: int, parent: list[list[float]], scene: Scene) -> None:
    node = document["nodes"][index]
    matrix = _product(parent, _local(node))
    if "mesh" in node:
        scene.parts.append(_part(document, binary, node, matrix))
    for child in node.get("children", []):
        _walk(document, binary, child, matrix, scene)


def _part(document: dict[str, Any], binary: bytes, node: dict[str, Any], matrix: list[list[float]]) -> Part:
    mesh = document["meshes"][node["mesh"]]
    part = Part(node.get("name") or mesh.get("name") or "Mesh", [], 0)
    if "skin" in node:
        part.joints = tuple(
            document["nodes"][j].get("name", f"Joint_{j}") for j in document["skins"][node["skin"]]["joints"]
        )
    for primitive in mesh["primitives"]:
        attributes = primitive["attributes"]
        for x, y, z in _accessor(document, binary, attributes["POSITION"]):
            placed = [sum(matrix[row][k] * v for k, v in enumerate((x, y, z, 1.0))) for row in range(3)]
            # Metres and Y up become centimetres and Z up.
            part.positions.append((placed[0] * 100.0, placed[2] * 100.0, placed[1] * 100.0))
        part.triangles += document["accessors"][primitive["indices"]]["count"] // 3
        part.has_normals |= "NORMAL" in attributes
        part.has_tangents |= "TANGENT" in attributes
        part.has_uvs |= "TEXCOORD_0" in attributes
        part.uv_channels = max(part.uv_channels, sum(f"TEXCOORD_{channel}" in attributes for channel in range(8)))
    return part


def _accessor(document: dict[str, Any], binary: bytes, index: int) -> list[tuple[float, ...]]:
    accessor = document["accessors"][index]
    view = document["bufferViews"][accessor["bufferView"]]
    letter, size = COMPONENTS[accessor["componentType"]]
    width = WIDTHS[accessor["type"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride", size * width)
    if stride == size * width:
        flat = struct.unpack_from(f"<{accessor['count'] * width}{letter}", binary, start)
        return [flat[i : i + width] for i in range(0, len(flat), width)]
    return [struct.unpack_from(f"<{width}{letter}", binary, start + i * stride) for i in range(accessor["count"])]


def _local(node: dict[str, Any]) -> list[list[float]]:
    if "matrix" in node:
        m = node["matrix"]
        return [[m[column * 4 + row] for column in range(4)] for row in range(4)]
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    sx, sy, sz = node.get("scale", (1.0, 1.0, 1.0))
    tx, ty, tz = node.get("translation", (0.0, 0.0, 0.0))
    return [
        [(1 - 2 * (y * y + z * z)) * sx, 2 * (x * y - z * w) * sy, 2 * (x * z + y * w) * sz, tx],
        [2 * (x * y + z * w) * sx, (1 - 2 * (x * x + z * z)) * sy, 2 * (y * z - x * w) * sz, ty],
        [2 * (x * z - y * w) * sx, 2 * (y * z + x * w) * sy, (1 - 2 * (x * x + y * y)) * sz, tz],
        [0.0, 0.0, 0.0, 1.0],
    ]


def _product(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    return [[sum(a[i][k] * b[k][j] for k in range(4)) for j in range(4)] for i in range(4)]


@dataclass(frozen=True)
class Picture:
    """Header of a PNG."""

    width: int
    height: int
    bit_depth: int
    channels: int


def read_png(path: Path) -> Picture:
    """Size and format; the pixel data is unpacked to see that it is whole. Raises ``Unreadable``."""
    raw = path.read_bytes()
    if raw[:8] != b"\x89PNG\r\n\x1a\n":
        raise Unreadable(f"{path.name} is no PNG")
    offset, packed, header = 8, b"", (0, 0, 0, 0)
    while offset < len(raw):
        (length,) = struct.unpack_from(">I", raw, offset)
        kind, body = raw[offset + 4 : offset + 8], raw[offset + 8 : offset + 8 + length]
        if kind == b"IHDR":
            header = struct.unpack(">IIBB", body[:10])
        elif kind == b"IDAT":
            packed += body
        offset += 12 + length
    width, height, depth, color = header
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    if len(zlib.decompress(packed)) != height * (1 + (width * channels * depth + 7) // 8):
        raise Unreadable(f"{path.name} is cut short")
    return Picture(width, height, depth, channels)


def read_fbx(path: Path) -> Scene:
    """Geometry of a binary FBX whose axes are Y up and whose unit is the centimetre. Raises ``Unreadable``."""
    raw = path.read_bytes()
    if raw[:18] != b"Kaydara FBX Binary":
        raise Unreadable(f"{path.name} is no binary FBX")
    (version,) = struct.unpack_from("<I", raw, 23)
    wide = version >= 7500
    scene = Scene()
    models: dict[int, str] = {}
    geometries: dict[int, Part] = {}
    links: list[tuple[int, int]] = []
    for name, children in _fbx_children(raw, 27, len(raw), wide):
        for kind, values, inner in children:
            if name == "Objects" and kind == "Geometry":
                content = {key: given for key, given, _ in inner}
                flat = content["Vertices"][0]
                corners = content["PolygonVertexIndex"][0]
                points = [(flat[i], -flat[i + 2], flat[i + 1]) for i in range(0, len(flat), 3)]
                geometries[values[0]] = Part("", points, sum(index < 0 for index in corners))
            elif name == "Objects" and kind == "Model":
                models[values[0]] = values[1].split("\x00")[0]
            elif name == "Connections" and kind == "C" and values[0] == "OO":
                links.append((values[1], values[2]))
    for child, parent in links:
        if child in geometries and parent in models:
            geometries[child].name = models[parent]
            scene.parts.append(geometries[child])
    return scene


def _fbx_children(
    raw: bytes, offset: int, end: int, wide: bool
) -> list[tuple[str, list[tuple[str, list[Any], list[Any]]]]]:
    return [(name, inner) for name, _values, inner in _fbx_nodes(raw, offset, end, wide)]


def _fbx_nodes(raw: bytes, offset: int, end: int, wide: bool) -> list[tuple[str, list[Any], list[Any]]]:
    nodes = []
    head = struct.Struct("<QQQB" if wide else "<IIIB")
    while offset + head.size <= end:
        stop, count, length, name_length = head.unpack_from(raw, offset)
        if stop == 0:
            break
        start = offset + head.size
        name = raw[start : start + name_length].decode("ascii", "replace")
        start += name_length
        values = _fbx_values(raw, start, count)
        nodes.append((name, values, _fbx_nodes(raw, start + length, stop, wide)))
        offset = stop
    return nodes


def _fbx_values(raw: bytes, offset: int, count: int) -> list[Any]:
    values: list[Any] = []
    plain = {"Y": "<h", "C": "<?", "I": "<i", "F": "<f", "D": "<d", "L": "<q"}
    arrays = {"f": "f", "d": "d", "l": "q", "i": "i", "b": "?"}
    for _ in range(count):
        kind = chr(raw[offset])
        offset += 1
        if kind in plain:
            values.append(struct.unpack_from(plain[kind], raw, offset)[0])
            offset += struct.calcsize(plain[kind])
        elif kind in "SR":
            (length,) = struct.unpack_from("<I", raw, offset)
            body = raw[offset + 4 : offset + 4 + length]
            values.append(body.decode("utf-8", "replace") if kind == "S" else body)
            offset += 4 + length
        else:
            length, encoding, size = struct.unpack_from("<III", raw, offset)
            body = raw[offset + 12 : offset + 12 + size]
            values.append(struct.unpack(f"<{length}{arrays[kind]}", zlib.decompress(body) if encoding else body))
            offset += 12 + size
    return values
