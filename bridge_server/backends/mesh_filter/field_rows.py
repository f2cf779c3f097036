"""Whole rows of quads that may go where a mesh has too many: no vertex around gets irregular by it."""

import numpy as np
from jaxtyping import Int64

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.field_extraction import Extracted
from bridge_server.backends.mesh_filter.field_quads import Ground, diagonals
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh_topology import half_edge_ends

MOST_TRIED = 60
LEAST_COSINE = 0.9
"""A row stays where the surface turns by more than this across it: a fold, an edge or the tip of an ear."""


def rows_of(light: Extracted, ground: Ground, most: int) -> list[Int64[np.ndarray, "rungs 2"]]:
    """Ends of the rungs of each row that takes at most ``most`` triangles with it.

    Rows between two single triangles come first, the shortest of them first; then the longest of the others.
    """
    loops = compiled_loops("field_rows")
    opposite = opposite_half_edges(light.faces)
    cut = np.zeros(light.faces.size, np.bool_)
    cut[diagonals(light.places, light.faces, light.hard).reshape(-1)] = True
    quad = np.asarray(cut.reshape(-1, 3).any(axis=1), np.bool_)
    seen, rungs = np.full(light.faces.size, -1, np.int64), np.zeros(most + 2, np.int64)
    ends = half_edge_ends(light.faces)
    length = np.linalg.norm(light.places[ends[:, 0]] - light.places[ends[:, 1]], axis=1)
    normals = ground.surface.normals[light.origins]
    flat = np.asarray(np.einsum("hi,hi->h", normals[ends[:, 0]], normals[ends[:, 1]]) > LEAST_COSINE, np.bool_)
    found: list[tuple[tuple[float, ...], Int64[np.ndarray, "rungs 2"]]] = []
    # A row that ends is begun at its end, so that one walk sees all of it; loops at any half-edge not walked yet.
    inner = np.repeat(quad, 3) & ~cut
    loose = inner & ((opposite < 0) | ~quad[opposite // 3])
    for start in np.concatenate([np.flatnonzero(loose), np.flatnonzero(inner & ~loose)]).tolist():
        if seen[start] >= 0:
            continue
        count, closed = loops.trace_row(opposite, cut, start, seen, start, rungs)
        if count < 2 or not (closed or loose[start]):
            continue
        taken = rungs[:count].copy()
        singles = 0 if closed else int(opposite[start] >= 0) + int(not quad[taken[-1] // 3])
        gone = 2 * (count if closed else count - 1) + singles
        if gone <= most and flat[taken].all():
            order = (-singles, gone if singles == 2 else length[taken].mean() * 1e3 / gone)
            found.append((order, ends[taken]))
    found.sort(key=lambda entry: entry[0])
    return [row for _, row in found[:MOST_TRIED]]
