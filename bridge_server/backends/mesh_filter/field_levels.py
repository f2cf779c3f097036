"""Coarser and coarser copies of a surface's vertices, on which a field is smoothed first (Jakob et al. 2015, 3.3)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32, Int64, UInt8

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.field_surface import LINE, FieldSurface
from bridge_server.values.mesh_topology import half_edge_ends

FEWEST = 32
LEAST_GAIN = 0.9
"""A level that keeps more than this share of the vertices is the last."""


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """Vertices and who lies beside whom."""

    places: Float64[np.ndarray, "vertices 3"]
    normals: Float64[np.ndarray, "vertices 3"]
    areas: Float64[np.ndarray, "vertices"]
    kinds: UInt8[np.ndarray, "vertices"]
    along: Float64[np.ndarray, "vertices 3"]
    origins: Int64[np.ndarray, "vertices"]
    """Vertex of the surface that each stands for; those on lines and points lie exactly there."""
    starts: Int64[np.ndarray, "vertices_and_one"]
    """Where the neighbours of each vertex begin."""
    beside: Int32[np.ndarray, "links"]
    weights: Float64[np.ndarray, "links"]
    coarser: Int32[np.ndarray, "vertices"]
    """Index of each vertex on the next level; empty on the last."""


def levels_of(surface: FieldSurface) -> list[Level]:
    """From the surface itself to the coarsest."""
    ends = half_edge_ends(surface.faces)
    rows, columns, weights = _links(ends[:, 0], ends[:, 1], np.ones(len(ends)), len(surface.places))
    weights[:] = 1.0
    found: list[Level] = []
    data: tuple[np.ndarray, ...] = (
        surface.places, surface.normals, surface.areas, surface.kinds, surface.along, np.arange(len(surface.places)),
    )  # fmt: skip
    while True:
        count = len(data[0])
        starts = np.searchsorted(rows, np.arange(count + 1)).astype(np.int64)
        pairs = _pairs(data, rows, columns)
        label = np.full(count, -1, np.int32)
        label[pairs[:, 0]] = label[pairs[:, 1]] = np.arange(len(pairs))
        single = np.flatnonzero(label < 0)
        label[single] = len(pairs) + np.arange(len(single))
        fewer = len(pairs) + len(single)
        last = count <= FEWEST or fewer > LEAST_GAIN * count
        coarser = np.zeros(0, np.int32) if last else label
        places, normals, areas, kinds, along, origins = data
        found.append(
            Level(places, normals, areas, kinds, along, origins, starts, columns.astype(np.int32), weights, coarser)
        )
        if last:
            return found
        data = _merged(data, np.concatenate([pairs, np.stack([single, single], 1)]))
        rows, columns, weights = _links(label[rows], label[columns], weights, fewer)


def _links(
    one: np.ndarray, other: np.ndarray, weights: Float64[np.ndarray, "n"], count: int
) -> tuple[Int64[np.ndarray, "links"], Int64[np.ndarray, "links"], Float64[np.ndarray, "links"]]:
    """Both directions of all links, ordered; equal ones are added up, those to themselves left out."""
    one, other = one.astype(np.int64), other.astype(np.int64)
    keep = one != other
    codes = np.concatenate([one[keep] * count + other[keep], other[keep] * count + one[keep]])
    unique, inverse = np.unique(codes, return_inverse=True)
    total = np.bincount(inverse.reshape(-1), np.tile(weights[keep], 2), len(unique))
    return unique // count, unique % count, total


def _pairs(
    data: tuple[np.ndarray, ...], rows: Int64[np.ndarray, "links"], columns: Int64[np.ndarray, "links"]
) -> Int64[np.ndarray, "pairs 2"]:
    """Neighbours that become one: small ones that face the same way first, each at most once."""
    half = rows < columns
    one, other = rows[half], columns[half]
    _, normals, areas, _, _, _ = data
    score = np.einsum("ij,ij->i", normals[one], normals[other]) / np.maximum(areas[one] + areas[other], 1e-300)
    order = np.argsort(-score, kind="stable")
    order = order[score[order] > 0.0]
    chosen = np.zeros(len(order), np.bool_)
    compiled_loops("field").match(one[order], other[order], np.zeros(len(areas), np.bool_), chosen)
    return np.stack([one[order][chosen], other[order][chosen]], axis=1)


def _merged(data: tuple[np.ndarray, ...], pairs: Int64[np.ndarray, "coarse 2"]) -> tuple[np.ndarray, ...]:
    """One vertex for each pair, the middle by area; a line or point leads what is less."""
    places, normals, areas, kinds, along, origins = data
    one, other = pairs.T
    total = np.where(one == other, areas[one], areas[one] + areas[other])
    share = (areas[one] / np.maximum(areas[one] + areas[other], 1e-300))[:, None]
    leads = kinds[one].astype(np.int64) - kinds[other]
    first = np.where(leads >= 0, one, other)
    share = np.where((kinds[first] > 0)[:, None], (leads >= 0)[:, None], share)
    normal = normals[one] * areas[one][:, None] + normals[other] * areas[other][:, None]
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = np.where(length > 0.0, normal / np.maximum(length, 1e-300), normals[first])
    kind = kinds[first]
    line = along[first] - np.einsum("ij,ij->i", along[first], normal)[:, None] * normal
    line /= np.maximum(np.linalg.norm(line, axis=1, keepdims=True), 1e-300)
    line[kind != LINE] = 0.0
    return places[one] * share + places[other] * (1.0 - share), normal, total, kind, line, origins[first]
