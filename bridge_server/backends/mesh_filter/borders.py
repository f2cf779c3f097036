"""Borders in the fit of a decimated mesh: its border edges are drawn to those of the dense mesh, both ways.

Samples of each border find their nearest place on the other one, and pull as the samples of the surfaces do. Corners
of the dense border, and places where two borders lie on each other, stay where the collapse left them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32, Int64, UInt8

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.collapsing import Light
from bridge_server.backends.mesh_filter.sampling import Walkable
from bridge_server.blocks import over_blocks
from bridge_server.values.mesh_topology import EdgeTable, edge_table

BORDER_WEIGHT = 40.0
"""How heavy the samples around a border vertex are together, over those of the surface around a vertex."""
CORNER_COSINE = 0.75
"""A dense border that turns by more than this has a corner."""
MOST_PAIRS = 40_000_000
"""Borders with more pairs of samples and edges than this stay: the search looks at each pair."""
PLACES = np.array([0.0, 0.25, 0.5, 0.75])
"""Where a light border edge is sampled; its end is the start of the next one."""
BLOCK = 256


@dataclass(frozen=True, slots=True, eq=False)
class Borders:
    """The border of the dense mesh by its edges, and how much it matters."""

    dense_starts: Float64[np.ndarray, "dense 3"]
    dense_ends: Float64[np.ndarray, "dense 3"]
    weight: float
    """Of all samples of one border together, over that of one vertex's samples on the surface."""


def borders_of(dense: Walkable, slim: Walkable, light: Light) -> tuple[Borders | None, UInt8[np.ndarray, "vertices"]]:
    """The borders that are fitted, if any, and 1 for the vertices of the light mesh that stay."""
    held = np.zeros(len(slim.places), np.uint8)
    slim_table = edge_table(slim.faces)
    held[slim_table.edges[slim_table.counts != 2].reshape(-1)] = 1
    if not held.any():
        return None, held
    count = int((slim_table.counts == 1).sum())
    dense_table = edge_table(dense.faces)
    ends = dense_table.edges[dense_table.counts == 1]
    if not len(ends) or len(ends) * count * (2 + len(PLACES)) > MOST_PAIRS:
        return None, held
    free = np.zeros(len(held), np.uint8)
    free[slim_table.edges[slim_table.counts == 1].reshape(-1)] = 1
    free[slim_table.edges[slim_table.counts > 2].reshape(-1)] = 0
    owner = light.owners[fixed_vertices(dense, dense_table)]
    free[owner[owner >= 0]] = 0
    weight = BORDER_WEIGHT * count / len(slim.places)
    starts, stops = (np.ascontiguousarray(dense.places[ends[:, k]]) for k in range(2))
    return Borders(starts, stops, weight), held & (1 - free)


def fixed_vertices(dense: Walkable, table: EdgeTable) -> Int64[np.ndarray, "vertices"]:
    """Vertices of the dense border at corners, forks and places that another vertex of the border shares."""
    ends = table.edges[table.counts == 1]
    count = len(dense.places)
    directions = dense.places[ends[:, 1]] - dense.places[ends[:, 0]]
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-300)
    away = np.zeros((count, 3))
    np.add.at(away, ends[:, 0], directions)
    np.add.at(away, ends[:, 1], -directions)
    edges_at = np.bincount(ends.reshape(-1), minlength=count)
    on_border = np.flatnonzero(edges_at)
    # Two unit vectors away from a vertex, at an angle whose cosine is -c on a border that turns by c: |sum|^2 = 2 - 2c
    sharp = (away[on_border] ** 2).sum(axis=1) > 2.0 - 2.0 * CORNER_COSINE
    number, copies = np.unique(dense.places[on_border], axis=0, return_inverse=True, return_counts=True)[1:]
    shared = copies[number.reshape(-1)] > 1
    return on_border[sharp | shared | (edges_at[on_border] != 2)]


def border_pulls(borders: Borders, light: Walkable, opposite: Int32[np.ndarray, "faces 3"]) -> tuple[Any, ...]:
    """Faces, shares, directions, residuals and weights as in ``fitting_kernels.Pulls``.

    ``opposite`` is -1 at the border edges of the light mesh, which change their faces when edges are turned.
    """
    faces, corner = np.nonzero(opposite < 0)
    one = light.places[light.faces[faces, corner]]
    two = light.places[light.faces[faces, (corner + 1) % 3]]
    middles = (borders.dense_starts + borders.dense_ends) / 2.0
    there = np.concatenate([borders.dense_starts, middles])
    row, along = nearest(there, one, two)
    back_row, back_along = np.repeat(np.arange(len(faces)), len(PLACES)), np.tile(PLACES, len(faces))
    here = one[back_row] + back_along[:, None] * (two - one)[back_row]
    hit, hit_along = nearest(here, borders.dense_starts, borders.dense_ends)
    ahead = borders.dense_starts[hit] + hit_along[:, None] * (borders.dense_ends - borders.dense_starts)[hit]
    gaps = np.concatenate([there - one[row] - along[:, None] * (two - one)[row], ahead - here])
    row, along = np.concatenate([row, back_row]), np.concatenate([along, back_along])
    shares = np.zeros((len(row), 3))
    shares[np.arange(len(row)), corner[row]] = 1.0 - along
    shares[np.arange(len(row)), (corner[row] + 1) % 3] = along
    residuals = np.linalg.norm(gaps, axis=1)
    directions = gaps / np.maximum(residuals, 1e-300)[:, None]
    lengths = np.linalg.norm(borders.dense_ends - borders.dense_starts, axis=1)
    back_lengths = np.linalg.norm(two - one, axis=1)[back_row]
    weights = np.concatenate([np.tile(lengths, 2) / (2.0 * lengths.sum()), back_lengths / back_lengths.sum()])
    return faces[row].astype(np.int32), shares, directions, residuals, weights * (borders.weight / 2.0)


def nearest(
    points: Float64[np.ndarray, "points 3"],
    starts: Float64[np.ndarray, "edges 3"],
    ends: Float64[np.ndarray, "edges 3"],
) -> tuple[Int64[np.ndarray, "points"], Float64[np.ndarray, "points"]]:
    """Nearest edge of each point and how far along it."""
    rows, shares = np.zeros(len(points), np.int64), np.zeros(len(points))
    loop = compiled_loops("border").nearest_edges
    over_blocks(lambda block: loop(points, starts, ends, rows, shares, block.start, block.stop), len(points), BLOCK)
    return rows, shares
