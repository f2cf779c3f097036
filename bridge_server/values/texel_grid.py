"""Which texels a UV triangle covers, exactly.

Coordinates are snapped to 1/256 of a texel and everything is decided in integers. A texel centre on an edge belongs
to exactly one of the two triangles that share it (the rule of a centre moved by an infinitesimal amount right, and
by a far smaller one down), so a chart is covered without gaps and without a texel counted twice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, Shaped

SUBSTEPS = 256
"""Positions a texel edge is divided into."""
CELL_BLOCK = 1 << 21
"""About how many texels are handled at once."""


@dataclass(frozen=True, slots=True)
class Covered:
    """Texels, row-major over the square, with the face that covers each."""

    index: Int32[np.ndarray, "texels"]
    faces: Int32[np.ndarray, "texels"]

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, slots=True)
class _Edges:
    """Edge functions ``a x + b y + c`` of every triangle, positive inside, in substeps."""

    a: Int64[np.ndarray, "faces 3"]
    b: Int64[np.ndarray, "faces 3"]
    c: Int64[np.ndarray, "faces 3"]
    low: Int64[np.ndarray, "faces 2"]
    high: Int64[np.ndarray, "faces 2"]
    sound: Bool[np.ndarray, "faces"]


def snapped(uvs: Float32[np.ndarray, "vertices 2"], size_px: int) -> Int64[np.ndarray, "vertices 2"]:
    """Texture coordinates as whole substeps from the top left corner."""
    return np.rint(uvs.astype(np.float64) * (size_px * SUBSTEPS)).astype(np.int64)


def cover_centers(
    uvs: Float32[np.ndarray, "vertices 2"], faces: Int32[np.ndarray, "faces 3"], size_px: int
) -> Iterator[Covered]:
    """Texels whose centre lies in a triangle, in blocks; a texel comes twice only where triangles overlap."""
    yield from _cells(_edges(snapped(uvs, size_px), faces), size_px, touched=False)


def touched_texels(
    uvs: Float32[np.ndarray, "vertices 2"], faces: Int32[np.ndarray, "faces 3"], size_px: int
) -> Iterator[Covered]:
    """Texels whose square shares any area with a triangle, in blocks; neighbours repeat texels along their edges."""
    yield from _cells(_edges(snapped(uvs, size_px), faces), size_px, touched=True)


def gathered(blocks: Iterable[Covered]) -> Covered:
    """All blocks as one."""
    empty = np.zeros(0, np.int32)
    parts = [Covered(index=empty, faces=empty), *blocks]
    return Covered(
        index=np.concatenate([part.index for part in parts]), faces=np.concatenate([part.faces for part in parts])
    )


def weights_at_centers(
    uvs: Float32[np.ndarray, "vertices 2"], faces: Int32[np.ndarray, "faces 3"], size_px: int, cells: Covered
) -> Float64[np.ndarray, "texels 3"]:
    """Barycentric weights of the texel centres; those outside a triangle get the closest place on its border."""
    corners = snapped(uvs, size_px)[faces[cells.faces]].astype(np.float64) / SUBSTEPS
    row, column = np.divmod(cells.index.astype(np.int64), size_px)
    centers = np.stack([column + 0.5, row + 0.5], axis=1)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    point = centers - corners[:, 0]
    area = _cross(first, second)
    safe = np.where(area == 0.0, 1.0, area)
    weights = np.empty((len(cells), 3))
    weights[:, 1] = _cross(point, second) / safe
    weights[:, 2] = _cross(first, point) / safe
    weights[:, 0] = 1.0 - weights[:, 1] - weights[:, 2]
    outside = np.flatnonzero((weights < 0.0).any(axis=1) | (area == 0.0))
    weights[outside] = _closest_weights(corners[outside], centers[outside])
    return weights


def overlap_count(uvs: Float32[np.ndarray, "vertices 2"], faces: Int32[np.ndarray, "faces 3"], size_px: int) -> int:
    """Texel centres that lie in more than one triangle."""
    count = np.zeros(size_px * size_px, np.uint16)
    for cells in cover_centers(uvs, faces, size_px):
        count += np.bincount(cells.index, minlength=len(count)).astype(np.uint16)
    return int((count > 1).sum())


def _cross(a: Shaped[np.ndarray, "n 2"], b: Shaped[np.ndarray, "n 2"]) -> Shaped[np.ndarray, "n"]:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _edges(points: Int64[np.ndarray, "vertices 2"], faces: Int32[np.ndarray, "faces 3"]) -> _Edges:
    corners = points[faces]
    area = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    turned = np.where((area < 0)[:, None, None], corners[:, [0, 2, 1]], corners)
    step = np.roll(turned, -1, axis=1) - turned
    a, b = -step[:, :, 1], step[:, :, 0]
    return _Edges(
        a=a,
        b=b,
        c=-(a * turned[:, :, 0] + b * turned[:, :, 1]),
        low=corners.min(axis=1),
        high=corners.max(axis=1),
        sound=area != 0,
    )


def _cells(edges: _Edges, size_px: int, touched: bool) -> Iterator[Covered]:
    """Walk the rows of every triangle and list the run of texels in each."""
    half = 0 if touched else SUBSTEPS // 2
    last = (edges.high[:, 1] - half - touched) // SUBSTEPS
    first = -((half - edges.low[:, 1]) // SUBSTEPS) if not touched else edges.low[:, 1] // SUBSTEPS
    first, last = np.maximum(first, 0), np.minimum(last, size_px - 1)
    heights = np.where(edges.sound, np.maximum(last - first + 1, 0), 0)
    for part in _blocks(heights, heights, CELL_BLOCK):
        face = np.repeat(np.arange(part.start, part.stop), heights[part])
        row = _runs(first[part], heights[part])
        left, right = _row_span(edges, face, row, size_px, touched)
        length = np.maximum(right - left + 1, 0)
        for run in _blocks(length, length, CELL_BLOCK):
            yield Covered(
                index=(np.repeat(row[run], length[run]) * size_px + _runs(left[run], length[run])).astype(np.int32),
                faces=np.repeat(face[run], length[run]).astype(np.int32),
            )


def _row_span(
    edges: _Edges, face: Int64[np.ndarray, "rows"], row: Int64[np.ndarray, "rows"], size_px: int, touched: bool
) -> tuple[Int64[np.ndarray, "rows"], Int64[np.ndarray, "rows"]]:
    """First and last column of each triangle in each of its rows.

    For centres the edge function is taken at the centre, for touched squares at the corner where it is largest.
    """
    if touched:
        left = np.maximum(edges.low[face, 0] // SUBSTEPS, 0)
        right = np.minimum((edges.high[face, 0] - 1) // SUBSTEPS, size_px - 1)
    else:
        left, right = np.zeros_like(row), np.full_like(row, size_px - 1)
    for k in range(3):
        a, b, c = edges.a[face, k], edges.b[face, k], edges.c[face, k]
        if touched:
            x = np.where(a > 0, SUBSTEPS, 0)
            y = row * SUBSTEPS + np.where(b > 0, SUBSTEPS, 0)
            strict = np.ones_like(a)
        else:
            x = np.full_like(a, SUBSTEPS // 2)
            y = row * SUBSTEPS + SUBSTEPS // 2
            strict = ~((a > 0) | ((a == 0) & (b > 0))) * np.int64(1)
        rest = a * x + b * y + c - strict
        slope = np.where(a == 0, 1, a) * SUBSTEPS
        bound = rest // np.abs(slope)
        left = np.where(a > 0, np.maximum(left, -bound), left)
        right = np.where(a < 0, np.minimum(right, bound), right)
        right = np.where((a == 0) & (rest < 0), -1, right)
    return left, right


def _runs(starts: Int64[np.ndarray, "n"], lengths: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "sum"]:
    """``start, start + 1, ...`` of every run, one after the other."""
    ends = np.cumsum(lengths)
    return np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)


def _blocks(counts: Int64[np.ndarray, "n"], costs: Int64[np.ndarray, "n"], limit: int) -> Iterator[slice]:
    """Consecutive items whose costs add up to about the limit; items of no count are skipped at the ends."""
    total = np.cumsum(np.where(counts > 0, costs, 0))
    start = 0
    while start < len(counts):
        spent = int(total[start - 1]) if start else 0
        stop = max(int(np.searchsorted(total, spent + limit, side="right")), start + 1)
        yield slice(start, stop)
        start = stop


def _closest_weights(
    corners: Float64[np.ndarray, "n 3 2"], points: Float64[np.ndarray, "n 2"]
) -> Float64[np.ndarray, "n 3"]:
    """Weights of the closest place on the three edges of each triangle."""
    best = np.full(len(points), np.inf)
    weights = np.zeros((len(points), 3))
    for k in range(3):
        start, along = corners[:, k], corners[:, (k + 1) % 3] - corners[:, k]
        squared = (along**2).sum(axis=1)
        share = np.clip(((points - start) * along).sum(axis=1) / np.where(squared == 0.0, 1.0, squared), 0.0, 1.0)
        distance = ((start + share[:, None] * along - points) ** 2).sum(axis=1)
        closer = distance < best
        best = np.where(closer, distance, best)
        found = np.zeros_like(weights)
        found[:, k], found[:, (k + 1) % 3] = 1.0 - share, share
        weights[closer] = found[closer]
    return weights
