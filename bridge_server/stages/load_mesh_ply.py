"""Reading PLY (Turk 1994): ASCII, and binary of both byte orders."""

from dataclasses import dataclass

import numpy as np

from bridge_server.errors import InputError
from bridge_server.run import Run
from bridge_server.stages.load_mesh_formats import MAX_TRIANGLES, RawSurface, check_triangle_count, refused
from bridge_server.stages.load_mesh_polygons import polygon_triangles
from bridge_server.values.source import MeshSource
from bridge_server.values.surface_texture import SRGB_TO_LINEAR

SCALARS = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
ROWS_PER_CHECKPOINT = 1 << 16


@dataclass(frozen=True, slots=True)
class PlyProperty:
    """One column of an element; a list where ``count_type`` is set."""

    name: str
    value_type: str
    count_type: str = ""


@dataclass(frozen=True, slots=True)
class PlyElement:
    """A table of rows."""

    name: str
    count: int
    properties: tuple[PlyProperty, ...]

    def index(self, *names: str) -> int | None:
        """Position of the first property that bears one of the names."""
        found = (i for i, prop in enumerate(self.properties) if prop.name in names)
        return next(found, None)


def read_ply(source: MeshSource, run: Run) -> RawSurface:
    """Vertices with their colours, faces as triangles.

    Raises ``InputError`` where the header is wrong, the file is truncated or an index is out of range.
    """
    try:
        return _surface(source, run)
    except InputError:
        raise
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise refused(source.name, f"its structure is broken ({error}).", "MESH_UNREADABLE") from error


def _surface(source: MeshSource, run: Run) -> RawSurface:
    order, elements, start = header_of(source)
    columns = binary_columns(source, elements, start, order, run) if order else ascii_columns(source, elements, start)
    vertex = next((element for element in elements if element.name == "vertex"), None)
    if vertex is None or None in (vertex.index("x"), vertex.index("y"), vertex.index("z")):
        raise refused(source.name, "it has no vertices with x, y and z.", "MESH_UNREADABLE")

    def scalar(*names: str) -> np.ndarray | None:
        found = vertex.index(*names)
        return None if found is None else np.asarray(columns["vertex"][found][0], np.float64)

    positions = np.stack([column for axis in "xyz" if (column := scalar(axis)) is not None], axis=1)
    face = next((element for element in elements if element.name == "face"), None)
    at = None if face is None else face.index("vertex_indices", "vertex_index")
    if face is None or at is None or face.count == 0:
        raise refused(source.name, "the file holds no triangles.", "MESH_NO_FACES")
    corners, lengths = columns["face"][at]
    vertices = corners.astype(np.int64)
    check_triangle_count(source.name, int(np.maximum(lengths - 2, 0).sum()))
    if len(vertices) and (vertices.min() < 0 or vertices.max() >= len(positions)):
        wrong = vertices.min() if vertices.min() < 0 else vertices.max()
        raise refused(source.name, f"a face uses vertex {wrong} of {len(positions)}.", "MESH_INDEX_RANGE")
    corner_index = polygon_triangles(positions, vertices, lengths)
    faces = vertices[corner_index]
    uvs = None
    u, v = scalar("s", "u", "texture_u"), scalar("t", "v", "texture_v")
    at = face.index("texcoord")
    if at is not None and (columns["face"][at][1] == 2 * lengths).all():
        uvs = columns["face"][at][0].astype(np.float64).reshape(-1, 2)[corner_index]
    elif u is not None and v is not None:
        uvs = np.stack([u, v], axis=1)[faces]
    colors = vertex_colors(vertex, scalar("red", "r"), scalar("green", "g"), scalar("blue", "b"), scalar("alpha", "a"))
    return RawSurface(
        positions=positions,
        faces=faces,
        corner_uvs=None if uvs is None else uvs * (1.0, -1.0) + (0.0, 1.0),
        corner_colors=None if colors is None else colors[faces],
    )


def header_of(source: MeshSource) -> tuple[str, list[PlyElement], int]:
    """Byte order (empty for ASCII), elements, and where the body begins."""
    end = source.data.find(b"end_header")
    if not source.data.lstrip().startswith(b"ply") or end < 0:
        raise refused(source.name, "its header has no end.", "MESH_UNREADABLE")
    body = source.data.find(b"\n", end) + 1
    order: str | None = None
    elements: list[PlyElement] = []
    for line in source.data[:end].decode("ascii", "replace").splitlines():
        words = line.split()
        if words[:1] == ["format"]:
            order = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}[words[1]]
        elif words[:1] == ["element"]:
            elements.append(PlyElement(words[1], int(words[2]), ()))
        elif words[:1] == ["property"]:
            last = elements[-1]
            is_list = words[1] == "list"
            value, count = (SCALARS[words[3]], SCALARS[words[2]]) if is_list else (SCALARS[words[1]], "")
            added = PlyProperty(words[-1], value, count)
            elements[-1] = PlyElement(last.name, last.count, (*last.properties, added))
    if order is None:
        raise refused(source.name, "its header names no format.", "MESH_UNREADABLE")
    for element in elements:
        if not 0 <= element.count <= 3 * MAX_TRIANGLES:
            check_triangle_count(source.name, abs(element.count))
    return order, elements, body


Columns = dict[str, list[tuple[np.ndarray, np.ndarray]]]
"""For each element, property by property: all values in one row, and the list length of each row (1 for scalars)."""


def binary_columns(source: MeshSource, elements: list[PlyElement], start: int, order: str, run: Run) -> Columns:
    """Read the body. Rows whose lists are all as long as those of the first row are read in one go."""
    columns: Columns = {}
    for element in elements:
        lengths = first_lengths(source, element, start, order)
        layout = row_layout(element, lengths, order)
        end = start + layout.itemsize * element.count
        rows = np.frombuffer(source.data, layout, element.count, start) if end <= len(source.data) else None
        listed = [i for i, prop in enumerate(element.properties) if prop.count_type]
        if rows is not None and all(bool((rows[f"n{i}"] == lengths[i]).all()) for i in listed):
            columns[element.name] = [
                (rows[f"v{i}"].reshape(-1), np.full(element.count, length, np.int64))
                for i, length in enumerate(lengths)
            ]
            start = end
        elif listed:
            columns[element.name], start = ragged_columns(source, element, start, order, run)
        else:
            raise truncated(source)
    return columns


def row_layout(element: PlyElement, lengths: list[int], order: str) -> np.dtype[np.void]:
    """One row with lists of these lengths: ``n`` and the number of the property for a count, ``v`` for values."""
    parts: list[tuple[str, str, tuple[int]]] = []
    for i, (prop, length) in enumerate(zip(element.properties, lengths, strict=True)):
        if prop.count_type:
            parts.append((f"n{i}", order + prop.count_type, (1,)))
        parts.append((f"v{i}", order + prop.value_type, (length,)))
    return np.dtype(parts)


def first_lengths(source: MeshSource, element: PlyElement, at: int, order: str) -> list[int]:
    """List length of each property in the row that begins at this byte; 1 for scalars."""
    lengths: list[int] = []
    for prop in element.properties:
        length = 1
        if prop.count_type and element.count:
            kind = np.dtype(order + prop.count_type)
            if at + kind.itemsize > len(source.data):
                raise truncated(source)
            length = int(np.frombuffer(source.data, kind, 1, at)[0])
            at += kind.itemsize
        if length < 0 or at + length * np.dtype(prop.value_type).itemsize > len(source.data) + 8:
            raise truncated(source)
        at += length * np.dtype(prop.value_type).itemsize
        lengths.append(length)
    return lengths


def ragged_columns(
    source: MeshSource, element: PlyElement, start: int, order: str, run: Run
) -> tuple[list[tuple[np.ndarray, np.ndarray]], int]:
    """Row by row, for polygons of mixed size; the end of the element comes back too."""
    values: list[list[np.ndarray]] = [[] for _ in element.properties]
    counts: list[list[int]] = [[] for _ in element.properties]
    for row in range(element.count):
        if row % ROWS_PER_CHECKPOINT == 0:
            run.checkpoint(row / element.count, "reading polygons")
        for i, prop in enumerate(element.properties):
            length = 1
            if prop.count_type:
                kind = np.dtype(order + prop.count_type)
                if start + kind.itemsize > len(source.data):
                    raise truncated(source)
                length = int(np.frombuffer(source.data, kind, 1, start)[0])
                start += kind.itemsize
            kind = np.dtype(order + prop.value_type)
            if length < 0 or start + length * kind.itemsize > len(source.data):
                raise truncated(source)
            values[i].append(np.frombuffer(source.data, kind, length, start))
            counts[i].append(length)
            start += length * kind.itemsize
    joined = [np.concatenate(parts) if parts else np.zeros(0) for parts in values]
    return [(column, np.array(count, np.int64)) for column, count in zip(joined, counts, strict=True)], start


def ascii_columns(source: MeshSource, elements: list[PlyElement], start: int) -> Columns:
    """Read the words of the body."""
    words = source.data[start:].split()
    columns: Columns = {}
    at = 0
    for element in elements:
        values: list[list[bytes]] = [[] for _ in element.properties]
        counts: list[list[int]] = [[] for _ in element.properties]
        for _ in range(element.count):
            for i, prop in enumerate(element.properties):
                if at >= len(words):
                    raise truncated(source)
                length = 1
                if prop.count_type:
                    length = int(words[at])
                    at += 1
                if length < 0 or at + length > len(words):
                    raise truncated(source)
                values[i].extend(words[at : at + length])
                counts[i].append(length)
                at += length
        columns[element.name] = [
            (np.array(column, dtype="S").astype(np.float64), np.array(count, np.int64))
            for column, count in zip(values, counts, strict=True)
        ]
    return columns


def truncated(source: MeshSource) -> InputError:
    """The body is shorter than the header announces."""
    return refused(
        source.name, "it ends before all announced rows are there.", "MESH_TRUNCATED", "Copy or upload the file again."
    )


def vertex_colors(vertex: PlyElement, *channels: np.ndarray | None) -> np.ndarray | None:
    """Linear colour and alpha of each vertex; the file's numbers are sRGB, integers over their whole range."""
    red = vertex.index("red", "r")
    if red is None or any(channel is None for channel in channels[:3]):
        return None
    kind = np.dtype(vertex.properties[red].value_type)
    scale = np.iinfo(kind).max if kind.kind in "iu" else 1.0
    present = [np.clip(np.nan_to_num(channel) / scale, 0.0, 1.0) for channel in channels if channel is not None]
    colors = np.ones((vertex.count, 4))
    for axis, channel in enumerate(present):
        colors[:, axis] = channel if axis == 3 else SRGB_TO_LINEAR[(channel * 255 + 0.5).astype(np.int64)]
    return colors
