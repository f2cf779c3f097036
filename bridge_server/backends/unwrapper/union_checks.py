"""Whether charts that grew together are still good charts: little stretch, no fold, no overlap, room at the outline."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Complex128, Float64, Int64

from bridge_server.backends.unwrapper.chart_state import LaidFlat, Surface, following
from bridge_server.values.texel_grid import cover_centers, gathered

LEAST_SINGULAR, MOST_SINGULAR = 0.3, 3.0
"""No face may shrink or grow by more than this, in any direction."""
OVERLAP_CELLS = 400
"""Cells along an edge of a square as large as the surface; overlap is looked for at this resolution."""
COMPACT = 0.6
"""A chart that covers so much of the square over its longest side may be as long as it is."""
RECTANGLES = 6
APART = 4.0
"""Places on the outline are far apart where the surface has so many gaps between them."""
MOST_SAMPLES = 512
"""Places that one edge of the outline is looked at, at most."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a chart may be."""

    energy: float
    """Mean symmetric Dirichlet energy of a chart, 0 for an isometry."""
    extent_m: float
    """Longest side of the bounding rectangle."""
    fill: float
    """Least share of its bounding rectangle that a chart covers."""
    gap_m: float
    """Parts of one chart that are far apart on the surface keep this distance in the plane."""
    texel_m: float
    """About the size of a texel; no two faces may cover the centre of the same one."""


@dataclass(frozen=True, slots=True)
class Unions:
    """Charts on trial."""

    surface: Surface
    subset: Int64[np.ndarray, "subset"]
    """Their faces."""
    groups: Int64[np.ndarray, "subset"]
    """Which of them each face belongs to."""
    count: int
    joined: Bool[np.ndarray, "half_edges"]
    laid: LaidFlat


@dataclass(frozen=True, slots=True)
class CoveredCells:
    """Cells and the faces that cover them."""

    index: Int64[np.ndarray, "cells"]
    faces: Int64[np.ndarray, "cells"]


def within(unions: Unions, limits: Limits) -> Bool[np.ndarray, "unions"]:
    """Which unions keep all limits."""
    laid, groups, count = unions.laid, unions.groups, unions.count
    area = unions.surface.areas_m2[unions.subset]
    chart_area = np.maximum(np.bincount(groups, area, count), 1e-300)
    energy = np.bincount(groups, area * energies(laid.large, laid.small), count) / chart_area
    good = (energy <= limits.energy) & (np.bincount(groups, distorted(laid), count) == 0)
    sides = bounding_rectangles(laid.corners, area, groups, count)
    longest = np.maximum(sides.max(axis=1), 1e-300)
    good &= (longest <= limits.extent_m) | (chart_area >= COMPACT * longest**2)
    good &= chart_area >= limits.fill * sides.prod(axis=1)
    coarse_m = max(unions.surface.area_m2**0.5 / OVERLAP_CELLS, limits.texel_m)
    good[groups[overlapping(unions, coarse_m, limits.texel_m)]] = False
    return good & ~_crowded(unions, limits.gap_m)


def overlapping(unions: Unions, coarse_m: float, fine_m: float) -> Int64[np.ndarray, "lost"]:
    """Rows of the subset that share a cell with a larger face; those at an outline are looked at more finely."""
    area = unions.surface.areas_m2[unions.subset]
    corners, groups = unions.laid.corners, unions.groups
    lost = folded(chart_cells(corners, groups, coarse_m), area, len(area))
    open_edges = ~unions.joined.reshape(-1, 3)[unions.subset]
    on_rim = np.zeros(int(unions.laid.vertices.max()) + 1, np.bool_)
    on_rim[unions.laid.vertices[open_edges]] = True
    on_rim[np.roll(unions.laid.vertices, -1, axis=1)[open_edges]] = True
    rim = np.flatnonzero(on_rim[unions.laid.vertices].any(axis=1))
    if fine_m < coarse_m and len(rim):
        lost[rim] |= folded(chart_cells(corners[rim], groups[rim], fine_m), area[rim], len(rim))
    return np.flatnonzero(lost)


def distorted(laid: LaidFlat) -> Bool[np.ndarray, "subset"]:
    """Faces that are flipped, or shrunk or grown beyond bearing."""
    return (laid.small < LEAST_SINGULAR) | (laid.large > MOST_SINGULAR)


def energies(large: Float64[np.ndarray, "faces"], small: Float64[np.ndarray, "faces"]) -> Float64[np.ndarray, "faces"]:
    """Symmetric Dirichlet energy of each face, less that of an isometry; large where a face is flipped."""
    least = np.maximum(small, 0.05)
    return (large**2 + large**-2.0 + least**2 + least**-2.0) / 4.0 - 1.0


def bounding_rectangles(
    laid: Complex128[np.ndarray, "faces 3"],
    area: Float64[np.ndarray, "faces"],
    groups: Int64[np.ndarray, "faces"],
    count: int,
) -> Float64[np.ndarray, "charts 2"]:
    """Sides of the smallest of some rectangles round each chart, one of them along its principal axes."""
    middle = laid.mean(axis=1)
    weight = np.maximum(np.bincount(groups, area, count), 1e-300)
    total = np.bincount(groups, area * middle.real, count) + 1j * np.bincount(groups, area * middle.imag, count)
    away = laid - (total / weight)[groups][:, None]
    square = (away**2).mean(axis=1) * area
    axis = np.sqrt(np.bincount(groups, square.real, count) + 1j * np.bincount(groups, square.imag, count))
    axis = np.where(np.abs(axis) > 0, axis / np.maximum(np.abs(axis), 1e-300), 1.0)
    best, sides = np.full(count, np.inf), np.zeros((count, 2))
    for turn in np.exp(-0.5j * np.pi * np.arange(RECTANGLES) / RECTANGLES):
        turned = away * (np.conj(axis) * turn)[groups][:, None]
        trial = np.stack([_ranges(part, groups, count) for part in (turned.real, turned.imag)], axis=1)
        better = trial.prod(axis=1) < best * (1.0 - 1e-9)
        best, sides = np.where(better, trial.prod(axis=1), best), np.where(better[:, None], trial, sides)
    return sides


def _ranges(
    values: Float64[np.ndarray, "faces 3"], groups: Int64[np.ndarray, "faces"], count: int
) -> Float64[np.ndarray, "charts"]:
    """Greatest less least value of each group; 0 where it has no face."""
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    one, two, three = values.T  # three columns are faster compared by hand than reduced
    np.minimum.at(low, groups, np.minimum(np.minimum(one, two), three))
    np.maximum.at(high, groups, np.maximum(np.maximum(one, two), three))
    return np.where(np.isfinite(low), high - low, 0.0)


def chart_cells(
    laid: Complex128[np.ndarray, "faces 3"], groups: Int64[np.ndarray, "faces"], cell_m: float
) -> CoveredCells:
    """Cells whose centre a face covers, numbered apart for each chart; every chart has a grid of its own."""
    count = int(groups.max()) + 1
    low = np.full((2, count), np.inf)
    for axis, part in enumerate((laid.real, laid.imag)):
        one, two, three = part.T
        np.minimum.at(low[axis], groups, np.minimum(np.minimum(one, two), three))
    place = np.stack([laid.real, laid.imag], axis=2) - low.T[groups][:, None, :]
    size = int(np.ceil(place.max() / cell_m)) + 1
    uvs = (place.reshape(-1, 2) / (cell_m * size)).astype(np.float32)
    cells = gathered(cover_centers(uvs, np.arange(len(uvs), dtype=np.int32).reshape(-1, 3), size))
    faces = cells.faces.astype(np.int64)
    return CoveredCells(index=groups[faces] * (size * size) + cells.index, faces=faces)


def folded(cells: CoveredCells, rank: Float64[np.ndarray, "faces"], count: int) -> Bool[np.ndarray, "faces"]:
    """Faces that share a cell with another one of higher rank."""
    ordered = np.sort(cells.index)
    shared = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    result = np.zeros(count, np.bool_)
    if len(shared):
        there = np.flatnonzero(shared[np.minimum(np.searchsorted(shared, cells.index), len(shared) - 1)] == cells.index)
        index, faces = cells.index[there], cells.faces[there]
        order = np.lexsort((faces, rank[faces], index))
        beaten = index[order][1:] == index[order][:-1]
        result[faces[order][:-1][beaten]] = True
    return result


def _crowded(unions: Unions, gap_m: float) -> Bool[np.ndarray, "unions"]:
    """Charts of which two places on the outline come closer than the gap though they are far apart on the surface."""
    from scipy.spatial import cKDTree

    surface = unions.surface
    half_edges = (unions.subset[:, None] * 3 + np.arange(3)).reshape(-1)
    rim = np.flatnonzero(~unions.joined[half_edges])
    steps = np.clip(np.ceil(surface.lengths_m[half_edges[rim]] / gap_m), 1, MOST_SAMPLES).astype(np.int64)
    row = np.repeat(rim, steps)
    share = (np.arange(len(row)) - np.repeat(np.cumsum(steps) - steps, steps) + 0.5) / np.repeat(steps, steps)
    flat, corner = unions.laid.corners.reshape(-1), surface.faces[unions.subset].reshape(-1)
    place = flat[row] * (1.0 - share) + flat[following(row)] * share
    start_m, end_m = surface.positions_m[corner[row]], surface.positions_m[corner[following(row)]]
    place_m = start_m + (end_m - start_m) * share[:, None]
    chart = unions.groups[row // 3]
    apart = max(float(np.abs(place).max()), gap_m) * 4.0
    tree = cKDTree(np.stack([place.real, place.imag, chart * apart], axis=1))
    near = tree.query_pairs(gap_m, output_type="ndarray")
    far = np.linalg.norm(place_m[near[:, 0]] - place_m[near[:, 1]], axis=1) > APART * gap_m
    found = np.zeros(unions.count, np.bool_)
    found[chart[near[far, 0]]] = True
    return found
