"""Reading STL, binary and ASCII."""

import re

import numpy as np

from bridge_server.stages.load_mesh_formats import RawSurface, check_triangle_count, refused
from bridge_server.values.base import Notice
from bridge_server.values.source import MeshSource

LAST_LINE_BYTES = 4096
HEADER_BYTES, RECORD_BYTES = 84, 50
RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_stl(source: MeshSource) -> RawSurface:
    """Triangles, three vertices each. Raises ``InputError`` where the file is truncated or is no STL."""
    data = source.data
    announced = int.from_bytes(data[80:84], "little") if len(data) >= HEADER_BYTES else 0
    fits = len(data) == HEADER_BYTES + announced * RECORD_BYTES
    if data.lstrip()[:5].lower() == b"solid" and not fits and b"\0" not in data[:512]:
        corners, notices = ascii_corners(source), unended(data)
    elif len(data) < HEADER_BYTES:
        raise refused(source.name, "the file ends within its header.", "MESH_TRUNCATED")
    else:
        check_triangle_count(source.name, announced)
        if len(data) < HEADER_BYTES + announced * RECORD_BYTES:
            held = (len(data) - HEADER_BYTES) // RECORD_BYTES
            raise refused(
                source.name,
                f"it announces {announced:,} triangles and holds {held:,}.",
                "MESH_TRUNCATED",
                "Copy or upload the file again.",
            )
        corners = np.frombuffer(data, RECORD, announced, HEADER_BYTES)["corners"].reshape(-1, 3)
        notices = []
    faces = np.arange(len(corners), dtype=np.int64).reshape(-1, 3)
    return RawSurface(positions=corners.astype(np.float64), faces=faces, notices=notices)


def unended(data: bytes) -> list[Notice]:
    """A notice where ASCII lacks its last line: cut off between two triangles, it reads like a whole one."""
    if b"endsolid" in data[-LAST_LINE_BYTES:].lower():
        return []
    message = "The file has no line endsolid at its end, so it may have been cut short."
    return [Notice(code="maybe_truncated", message=message, remedy="Copy it again, or export it again as GLB.")]


def ascii_corners(source: MeshSource) -> np.ndarray:
    """All ``vertex`` lines as rows."""
    found = re.findall(rb"vertex\s+(\S+)\s+(\S+)\s+(\S+)", source.data, re.IGNORECASE)
    if len(found) % 3:
        raise refused(source.name, "it ends in the middle of a triangle.", "MESH_TRUNCATED")
    check_triangle_count(source.name, len(found) // 3)
    try:
        return np.array(found, dtype="S").astype(np.float64).reshape(-1, 3)
    except ValueError as error:
        raise refused(source.name, f"a vertex cannot be read ({error}).", "MESH_UNREADABLE") from error
