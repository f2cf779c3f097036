"""Part id map: a flat colour for each part of the high poly, for masks in painting programs."""

import enum

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from bridge_server.stages.gutter import texel_of
from bridge_server.values.mesh import HighPoly
from bridge_server.values.mesh_topology import face_components
from bridge_server.values.surface_texture import TextureField
from bridge_server.values.texture import TexelHits

COLOR_STEP = 0x9E3779
"""Odd, so that its multiples visit every 24-bit colour once; near the golden ratio, so that neighbours differ."""


class PartKind(enum.StrEnum):
    """What counts as a part."""

    COMPONENT = "component"
    """Triangles that hang together by their edges."""
    MATERIAL = "material"
    """Triangles of the same material of the file."""


def face_parts(high_poly: HighPoly, kind: PartKind) -> Int64[np.ndarray, "faces"]:
    """Part of each face, counted from 0; one part where the field knows no materials of these faces."""
    if kind is PartKind.COMPONENT:
        return face_components(high_poly.mesh.faces)
    field = high_poly.field
    if isinstance(field, TextureField) and np.array_equal(field.faces, high_poly.mesh.faces):
        return np.unique(field.face_materials, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return np.zeros(len(high_poly.mesh.faces), np.int64)


def part_ids(parts: Int64[np.ndarray, "faces"], hits: TexelHits) -> Int32[np.ndarray, "size size"]:
    """Part under each texel, by the hit nearest to its centre, because a mean of two ids is a third; -1 where none."""
    size, step = hits.resolution_px, hits.supersample
    row, column = np.divmod(hits.index.astype(np.int64), size * step)
    off = np.abs(2 * (row % step) + 1 - step) + np.abs(2 * (column % step) + 1 - step)
    texel = texel_of(hits)
    order = np.lexsort((off, texel))
    first = np.concatenate([[True], np.diff(texel[order]) > 0]) if len(order) else np.zeros(0, np.bool_)
    chosen = order[first]
    result = np.full(size * size, -1, np.int32)
    result[texel[chosen]] = parts[hits.high_face[chosen]]
    return result.reshape(size, size)


def part_colors(count: int) -> UInt8[np.ndarray, "count 3"]:
    """A colour for each part, all different, none black; part 0 is (158, 55, 121)."""
    code = (np.arange(1, count + 1, dtype=np.int64) * COLOR_STEP) % (1 << 24)
    return np.stack([code >> 16, code >> 8 & 255, code & 255], axis=1).astype(np.uint8)
