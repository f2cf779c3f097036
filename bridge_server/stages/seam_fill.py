"""What lies across the seams of a map.

Where two charts meet on the surface, a filter that reads past the edge of one chart has to find there what lies beyond
the seam, which is in the other chart; only then do both sides show the same along the seam. A texel just outside a
chart therefore takes the value at its mirror image in the chart across. Seams at which the low poly has a hard edge
are left alone: the surface ends there, and neither side shall shine through to the other.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.texel_grid import cover_centers

REACH_PX = 1.5
"""How far past its edge a chart is continued, as far as bilinear filtering looks."""
SMOOTH_COSINE = 0.999
"""Normals on both sides that agree as well as this make no hard edge."""
CREASE_COSINE = float(np.cos(np.radians(30.0)))
"""Directions that differ by more across a seam are two sides of an edge of the high poly."""
LEAST_HEIGHT = 1e-4
"""Faces lower than this share of an edge are taken for lines."""
MOST_SHEAR = 0.05
"""Layouts that stretch one direction twenty times as much as the other are taken for mistakes."""
CELL_PX = 8
"""Edge of the cells in which faces near seams are looked for."""
ROUNDS = 2
"""A mirror image may itself lie between texels that are mirrored, so one round is not enough."""


@dataclass(frozen=True, slots=True)
class Seams:
    """Texels outside charts that continue them across seams."""

    texels: Int64[np.ndarray, "texels"]
    """Row-major."""
    across_px: Float32[np.ndarray, "texels 2"]
    """Column and row of each one's mirror image, from the top left corner of the map."""
    turns: Float32[np.ndarray, "texels 3 3"]
    """From the tangent space across to the one on this side."""

    def cross(self, values: Float32[np.ndarray, "size size channels"]) -> Float32[np.ndarray, "size size channels"]:
        """The map with its seam texels replaced."""
        result = values.copy()
        flat = result.reshape(-1, values.shape[2])
        for _ in range(ROUNDS if len(self.texels) else 0):
            flat[self.texels] = between(result, self.across_px)
        return result

    def cross_directions(
        self, values: Float32[np.ndarray, "size size 3"], *, tangent_space: bool
    ) -> Float32[np.ndarray, "size size 3"]:
        """The same for directions. Where they jump at the seam there is an edge, and it stays one."""
        result = values.copy()
        flat = result.reshape(-1, 3)
        own = flat[self.texels]
        for _ in range(ROUNDS if len(self.texels) else 0):
            found = between(result, self.across_px)
            if tangent_space:
                found = np.einsum("tij,tj->ti", self.turns, found)
                found[:, 2] = np.maximum(found[:, 2], 0.0)
            cosine = np.einsum("ti,ti->t", found, own)
            near = cosine > CREASE_COSINE * np.linalg.norm(found, axis=1) * np.linalg.norm(own, axis=1)
            flat[self.texels] = np.where(near[:, None], found, own)
        return result


@dataclass(frozen=True, slots=True)
class _Edges:
    """Smooth seams, each twice: as one chart and as the other sees it."""

    here_px: Float64[np.ndarray, "edges 2 2"]
    """Both ends, so that the chart lies to a known side."""
    there_px: Float64[np.ndarray, "edges 2 2"]
    """The same ends in the chart across."""
    outward: Float64[np.ndarray, "edges 2"]
    """Unit vector out of the chart here."""
    grid_here: Float64[np.ndarray, "edges 2 2"]
    """Columns: one metre along the edge, and one at right angles into the face here, in texels of the map."""
    grid_there: Float64[np.ndarray, "edges 2 2"]
    """The same of the face across."""
    frames_here: Float64[np.ndarray, "edges 2 3 3"]
    """Tangent, bitangent and normal at both ends."""
    frames_there: Float64[np.ndarray, "edges 2 3 3"]


def seams_of(low: UnwrappedMesh, size_px: int) -> Seams:
    """Plan what lies across all smooth seams of a map."""
    edges = _smooth_seams(low, size_px)
    edge, texel = _texels_beside(edges, size_px)
    free = ~_centers_covered(low, size_px, texel)
    edge, texel = edge[free], texel[free]
    center = np.stack([texel % size_px, texel // size_px], axis=1) + 0.5
    offset_px = center - edges.here_px[edge, 0]
    along_m, inward_m = np.linalg.solve(edges.grid_here[edge], offset_px[:, :, None])[:, :, 0].T
    unfolded_m = np.stack([along_m, -inward_m], axis=1)
    share = np.einsum("ei,ei->e", edges.grid_here[edge, :, 0] * along_m[:, None], _along(edges.here_px)[edge])
    return Seams(
        texels=texel,
        across_px=(edges.there_px[edge, 0] + np.einsum("eij,ej->ei", edges.grid_there[edge], unfolded_m)).astype(
            np.float32
        ),
        turns=_turns(edges, edge, np.clip(share / _length(edges.here_px)[edge], 0.0, 1.0)).astype(np.float32),
    )


def _smooth_seams(low: UnwrappedMesh, size_px: int) -> _Edges:
    opposite = opposite_half_edges(low.welded[low.faces])
    half = np.flatnonzero(opposite >= 0)
    other = opposite[half]
    corners, across = _ends(low, half), _ends(low, other)[:, ::-1]
    places = low.uvs.astype(np.float64) * size_px
    parted = np.abs(places[corners] - places[across]).max(axis=(1, 2)) > 1e-3
    smooth = np.einsum("eki,eki->ek", low.normals[corners], low.normals[across]).min(axis=1) > SMOOTH_COSINE
    sound = (_length(places[corners]) > 1e-6) & (_length(places[across]) > 1e-6)
    kept = parted & smooth & sound
    corners, across = corners[kept], across[kept]
    frames = _frames(low)
    third_here = low.faces[half[kept] // 3, (half[kept] + 2) % 3]
    third_there = low.faces[other[kept] // 3, (other[kept] + 2) % 3]
    return _Edges(
        here_px=places[corners],
        there_px=places[across],
        outward=-_towards(places[corners], places[third_here]),
        grid_here=_grid(low.positions_m, places, corners, third_here),
        grid_there=_grid(low.positions_m, places, across, third_there),
        frames_here=frames[corners],
        frames_there=frames[across],
    )


def _grid(
    positions_m: Float32[np.ndarray, "vertices 3"],
    places_px: Float64[np.ndarray, "vertices 2"],
    ends: Int64[np.ndarray, "edges 2"],
    third: Int32[np.ndarray, "edges"],
) -> Float64[np.ndarray, "edges 2 2"]:
    """What a metre along an edge, and one at right angles to it within the face, are in the map.

    A face so thin that it says nothing of the second is taken to be laid out without distortion.
    """
    start, stop, tip = (positions_m[corner].astype(np.float64) for corner in (ends[:, 0], ends[:, 1], third))
    length = np.maximum(np.linalg.norm(stop - start, axis=1), 1e-12)
    unit = (stop - start) / length[:, None]
    forth = np.einsum("ei,ei->e", tip - start, unit)
    height = np.linalg.norm(tip - start - forth[:, None] * unit, axis=1)
    along = (places_px[ends[:, 1]] - places_px[ends[:, 0]]) / length[:, None]
    rise = places_px[third] - places_px[ends[:, 0]] - forth[:, None] * along
    scale = np.linalg.norm(along, axis=1, keepdims=True)
    plain = _towards(places_px[ends], places_px[third]) * scale
    inward = np.divide(rise, height[:, None], out=plain.copy(), where=height[:, None] > LEAST_HEIGHT * length[:, None])
    across = np.abs(along[:, 0] * inward[:, 1] - along[:, 1] * inward[:, 0])
    odd = (across < MOST_SHEAR * scale[:, 0] ** 2) | (across * MOST_SHEAR > scale[:, 0] ** 2)
    return np.stack([along, np.where(odd[:, None], plain, inward)], axis=2)


def _ends(low: UnwrappedMesh, half: Int64[np.ndarray, "edges"]) -> Int64[np.ndarray, "edges 2"]:
    face, corner = np.divmod(half, 3)
    return np.stack([low.faces[face, corner], low.faces[face, (corner + 1) % 3]], axis=1).astype(np.int64)


def _towards(
    ends: Float64[np.ndarray, "edges 2 2"], third: Float64[np.ndarray, "edges 2"]
) -> Float64[np.ndarray, "edges 2"]:
    """Unit vector at right angles to each edge, to the side on which the third corner lies."""
    along = _along(ends)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    side = np.einsum("ei,ei->e", third - ends[:, 0], normal)
    return normal * np.where(side < 0.0, -1.0, 1.0)[:, None]


def _along(ends: Float64[np.ndarray, "edges 2 2"]) -> Float64[np.ndarray, "edges 2"]:
    return (ends[:, 1] - ends[:, 0]) / _length(ends)[:, None]


def _length(ends: Float64[np.ndarray, "edges 2 2"]) -> Float64[np.ndarray, "edges"]:
    return np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)


def _frames(low: UnwrappedMesh) -> Float64[np.ndarray, "vertices 3 3"]:
    """Rows: tangent, bitangent, normal."""
    normals, tangents = low.normals.astype(np.float64), low.tangents[:, :3].astype(np.float64)
    bitangents = np.cross(normals, tangents) * np.where(low.tangents[:, 3:] < 0.0, -1.0, 1.0)
    return np.stack([tangents, bitangents, normals], axis=1)


def _turns(
    edges: _Edges, edge: Int64[np.ndarray, "texels"], share: Float64[np.ndarray, "texels"]
) -> Float64[np.ndarray, "texels 3 3"]:
    """Both frames are taken on the seam: what differs from it farther in belongs to the low poly's own shape."""
    part = share[:, None, None]
    here = edges.frames_here[edge, 0] * (1.0 - part) + edges.frames_here[edge, 1] * part
    there = edges.frames_there[edge, 0] * (1.0 - part) + edges.frames_there[edge, 1] * part
    volume = np.linalg.det(here)
    flat = np.abs(volume) < 1e-6
    here[flat], there[flat] = np.eye(3), np.eye(3)
    return np.linalg.inv(here.transpose(0, 2, 1)) @ there.transpose(0, 2, 1)


def _centers_covered(
    low: UnwrappedMesh, size_px: int, texel: Int64[np.ndarray, "texels"]
) -> Bool[np.ndarray, "texels"]:
    """Whether the centre of each of some texels lies in a chart; only faces near any of them are looked at.

    Whether a face's box holds any is read off a table of sums (Crow, "Summed-area tables", 1984) over coarse cells.
    """
    count = size_px // CELL_PX + 1
    asked = np.zeros((count + 1, count + 1), np.int64)
    asked[texel // size_px // CELL_PX + 1, texel % size_px // CELL_PX + 1] = 1
    sums = asked.cumsum(axis=0).cumsum(axis=1)
    corners = low.uvs[low.faces].astype(np.float64) * (size_px / CELL_PX)
    (left, top), (right, bottom) = (
        np.clip(np.floor(ends).astype(np.int64) + more, 0, count).T
        for ends, more in ((corners.min(axis=1), 0), (corners.max(axis=1), 1))
    )
    held = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    covered = np.zeros(size_px * size_px, np.bool_)
    for cells in cover_centers(low.uvs, low.faces[held > 0], size_px):
        covered[cells.index] = True
    return covered[texel]


def _texels_beside(edges: _Edges, size_px: int) -> tuple[Int64[np.ndarray, "texels"], Int64[np.ndarray, "texels"]]:
    """The nearest seam of each texel that lies straight outside one, and the texel."""
    steps = np.maximum(np.ceil(_length(edges.here_px)), 1.0).astype(np.int64)
    edge = np.repeat(np.arange(len(steps)), steps)
    first = np.cumsum(steps) - steps
    share = ((np.arange(len(edge)) - first[edge] + 0.5) / steps[edge])[:, None]
    place = edges.here_px[edge, 0] * (1.0 - share) + edges.here_px[edge, 1] * share
    cell = np.floor(place).astype(np.int64)
    parts = []
    for down in range(-2, 3):
        for right in range(-2, 3):
            column, row = cell[:, 0] + right, cell[:, 1] + down
            rows = np.flatnonzero((column >= 0) & (column < size_px) & (row >= 0) & (row < size_px))
            texel = row[rows] * size_px + column[rows]
            gap_px, straight = _measured(edges, edge[rows], texel, size_px)
            near = straight & (gap_px > 0.0) & (gap_px <= REACH_PX)
            parts.append(np.stack([texel[near], edge[rows[near]]]))
    texel, edge = np.concatenate(parts, axis=1)
    order = np.lexsort((edge, _measured(edges, edge, texel, size_px)[0], texel))
    firsts = np.concatenate([[True], np.diff(texel[order]) > 0]) if len(order) else np.zeros(0, np.bool_)
    return edge[order[firsts]], texel[order[firsts]]


def _measured(
    edges: _Edges, edge: Int64[np.ndarray, "texels"], texel: Int64[np.ndarray, "texels"], size_px: int
) -> tuple[Float64[np.ndarray, "texels"], Bool[np.ndarray, "texels"]]:
    """How far outside its edge each texel's centre lies, and whether that is straight outside."""
    center = np.stack([texel % size_px, texel // size_px], axis=1) + 0.5
    offset = center - edges.here_px[edge, 0]
    along = edges.here_px[edge, 1] - edges.here_px[edge, 0]
    share = np.einsum("ti,ti->t", offset, along) / np.einsum("ti,ti->t", along, along)
    return np.einsum("ti,ti->t", offset, edges.outward[edge]), (share >= 0.0) & (share <= 1.0)


def between(
    values: Float32[np.ndarray, "size size channels"], places_px: Float32[np.ndarray, "places 2"]
) -> Float32[np.ndarray, "places channels"]:
    """Bilinear lookup, clamped at the border of the map."""
    last = len(values) - 1
    place = np.clip(places_px - np.float32(0.5), 0.0, last)
    low = np.minimum(np.floor(place).astype(np.int64), max(last - 1, 0))
    right, down = (place - low).T[:, :, None].astype(np.float32)
    column, row = low.T
    next_column, next_row = np.minimum(column + 1, last), np.minimum(row + 1, last)
    upper = values[row, column] * (1 - right) + values[row, next_column] * right
    lower = values[next_row, column] * (1 - right) + values[next_row, next_column] * right
    return upper * (1 - down) + lower * down
