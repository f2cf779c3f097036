"""One mesh of an FBX file: polygons become triangles, layers are spread to their corners."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from bridge_server.stages.fbx_nodes import Node
from bridge_server.stages.fbx_reader import FbxError
from bridge_server.stages.load_mesh_polygons import polygon_triangles
from bridge_server.values.surface_texture import SRGB_TO_LINEAR

MAPPINGS = {"ByPolygonVertex", "ByVertex", "ByVertice", "ByPolygon", "AllSame"}


@dataclass(frozen=True, slots=True)
class LayerElement:
    """How a kind of layer is called, and how many numbers a value of it has."""

    name: str
    data: str
    index: str
    width: int


UVS = LayerElement("LayerElementUV", "UV", "UVIndex", 2)
NORMALS = LayerElement("LayerElementNormal", "Normals", "NormalsIndex", 3)
COLORS = LayerElement("LayerElementColor", "Colors", "ColorIndex", 4)


@dataclass(frozen=True, slots=True)
class FbxGeometry:
    """In world space."""

    positions: Float64[np.ndarray, "vertices 3"]
    faces: Int64[np.ndarray, "faces 3"]
    uvs: Float64[np.ndarray, "faces 3 2"] | None
    """Origin top left."""
    normals: Float64[np.ndarray, "faces 3 3"] | None
    colors: Float64[np.ndarray, "faces 3 4"] | None
    """Linear light."""
    materials: Int64[np.ndarray, "faces"]


@dataclass(frozen=True, slots=True)
class Corners:
    """The triangles' corners, as layers count them."""

    corner: Int64[np.ndarray, "faces 3"]
    """Place in the file's list of polygon corners."""
    vertex: Int64[np.ndarray, "faces 3"]
    polygon: Int64[np.ndarray, "faces"]

    def places(self, mapping: str) -> Int64[np.ndarray, "faces 3"]:
        """Where the corners' values stand in a layer that maps this way."""
        if mapping == "ByPolygonVertex":
            return self.corner
        if mapping in ("ByVertex", "ByVertice"):
            return self.vertex
        polygon = self.polygon if mapping == "ByPolygon" else np.zeros_like(self.polygon)
        return np.repeat(polygon[:, None], 3, axis=1)


def read_geometry(
    geometry: Node, world: Float64[np.ndarray, "4 4"], slots: Sequence[int], no_material: int
) -> FbxGeometry:
    """``slots`` are the materials of its model in order, ``no_material`` the one to take where there is none."""
    parts = {part.name: part for part in reversed(geometry.children)}
    vertices = array_of(parts, "Vertices").astype(np.float64)
    if len(vertices) % 3:
        raise FbxError("a mesh has a vertex with less than three coordinates")
    vertices = vertices.reshape(-1, 3)
    corners = triangulated(vertices, array_of(parts, "PolygonVertexIndex").astype(np.int64))
    with np.errstate(invalid="ignore", over="ignore"):  # vertices that are not finite are dealt with after reading
        positions = vertices @ world[:3, :3].T + world[:3, 3]
    mirrored = bool(np.linalg.det(world[:3, :3]) < 0.0)
    uvs = layer(parts, UVS, corners)
    if uvs is not None:
        uvs = uvs * (1.0, -1.0) + (0.0, 1.0)
    normals = layer(parts, NORMALS, corners)
    if normals is not None:
        linear = world[:3, :3]
        cofactor = np.stack([np.cross(linear[(row + 1) % 3], linear[(row + 2) % 3]) for row in range(3)])
        normals = normals @ (cofactor * np.sign(np.linalg.det(linear))).T
    colors = layer(parts, COLORS, corners)
    if colors is not None:
        srgb = (np.clip(np.nan_to_num(colors[..., :3]), 0.0, 1.0) * 255.0 + 0.5).astype(np.int64)
        colors = np.concatenate([SRGB_TO_LINEAR[srgb], np.clip(colors[..., 3:], 0.0, 1.0)], axis=-1)
    order = [2, 1, 0] if mirrored else [0, 1, 2]
    return FbxGeometry(
        positions=positions,
        faces=corners.vertex[:, order],
        uvs=None if uvs is None else uvs[:, order],
        normals=None if normals is None else normals[:, order],
        colors=None if colors is None else colors[:, order],
        materials=face_materials(parts, corners, slots, no_material),
    )


def triangulated(vertices: Float64[np.ndarray, "vertices 3"], index: Int64[np.ndarray, "corners"]) -> Corners:
    """Triangles of the polygons; the last corner of each is stored as its complement."""
    ends = np.flatnonzero(index < 0)
    if len(index) and (not len(ends) or ends[-1] != len(index) - 1):
        raise FbxError("the last polygon of a mesh does not end")
    vertex = np.where(index < 0, ~index, index)
    if len(vertex) and int(vertex.max()) >= len(vertices):
        raise FbxError(f"a polygon uses vertex {vertex.max()} of {len(vertices)}")
    lengths = np.diff(ends, prepend=-1)
    corner = polygon_triangles(vertices, vertex, lengths)
    return Corners(corner, vertex[corner], np.repeat(np.arange(len(ends)), np.maximum(lengths - 2, 0)))


def array_of(parts: Mapping[str, Node], name: str) -> np.ndarray:
    """A child's array. Raises ``FbxError`` where it has none."""
    node = parts.get(name)
    if node is None or not node.properties or not isinstance(node.properties[0], np.ndarray):
        raise FbxError(f"a mesh has no {name}")
    return node.properties[0]


def layer(
    parts: Mapping[str, Node], element: LayerElement, corners: Corners
) -> Float64[np.ndarray, "faces 3 width"] | None:
    """The element's first layer, value by corner; None where there is none or it does not fit the mesh."""
    if element.name not in parts:
        return None
    inside = {part.name: part for part in parts[element.name].children}
    mapping = str(inside["MappingInformationType"].properties[0]) if "MappingInformationType" in inside else ""
    if mapping not in MAPPINGS or element.data not in inside:
        return None
    values = array_of(inside, element.data).astype(np.float64)
    values = values[: len(values) // element.width * element.width].reshape(-1, element.width)
    places = corners.places(mapping)
    if element.index in inside:
        table = array_of(inside, element.index).astype(np.int64)
        if places.size and int(places.max()) >= len(table):
            return None
        places = table[places]
    if places.size and not (int(places.min()) >= 0 and int(places.max()) < len(values)):
        return None
    return values[places]


def face_materials(
    parts: Mapping[str, Node], corners: Corners, slots: Sequence[int], no_material: int
) -> Int64[np.ndarray, "faces"]:
    """Index of each face's material among those of the file."""
    table = np.array([*slots, no_material], np.int64)
    chosen = np.zeros(len(corners.polygon), np.int64)
    if "LayerElementMaterial" in parts:
        inside = {part.name: part for part in parts["LayerElementMaterial"].children}
        mapping = str(inside["MappingInformationType"].properties[0]) if "MappingInformationType" in inside else ""
        if mapping in ("ByPolygon", "AllSame") and "Materials" in inside:
            stored = array_of(inside, "Materials").astype(np.int64)
            place = corners.places(mapping)[:, 0]
            if len(stored) and (not len(place) or int(place.max()) < len(stored)):
                chosen = stored[place]
    return table[np.where((chosen >= 0) & (chosen < len(slots)), chosen, len(slots))]
