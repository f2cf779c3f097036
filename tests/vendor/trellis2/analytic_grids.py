"""Solids with a formula as flexible dual grids, and a dense dual contouring that shares no code with ours.

The cube from -0.5 to 0.5 holds `resolution` cells an edge. Everything here is numpy on whole grids; faces come out
oriented, since here the sign of the field is known.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from vendor.trellis2.dual_grid import DualGrid
from vendor.trellis2.voxels import Voxels

Field = Callable[[np.ndarray], np.ndarray]
"""Signed distance at points `[..., 3]`, negative inside."""


def sphere(points: np.ndarray, radius: float = 0.37) -> np.ndarray:
    return np.linalg.norm(points - (0.013, -0.021, 0.008), axis=-1) - radius


def torus(points: np.ndarray, major: float = 0.29, minor: float = 0.11) -> np.ndarray:
    x, y, z = np.moveaxis(points - (0.011, 0.007, -0.017), -1, 0)
    return np.hypot(np.hypot(x, y) - major, z) - minor


@dataclass(frozen=True)
class DenseField:
    """A solid sampled on the corners of a grid, with one vertex in each cell that its surface touches."""

    resolution: int
    inside: np.ndarray
    """Corner by corner, `[R + 1, R + 1, R + 1]`."""
    vertices: np.ndarray
    """In cells from the grid's lowest corner, `[R, R, R, 3]`; nan where the surface does not come."""


def sample(field: Field, resolution: int) -> DenseField:
    """Vertices minimise the squared distances to the planes at the crossings (Ju et al. 2002), drawn to their mean."""
    grid = np.stack(np.meshgrid(*[np.arange(resolution + 1)] * 3, indexing="ij"), axis=-1).astype(float)
    value = field(grid / resolution - 0.5)
    inside = value < 0
    shape = (resolution,) * 3
    matrix, right, count, mean = (np.zeros(shape + tail) for tail in ((3, 3), (3,), (), (3,)))
    for axis in range(3):
        ends = np.moveaxis(inside, axis, 0)
        for place in np.argwhere(np.moveaxis(ends[1:] != ends[:-1], 0, axis)):
            far = place + np.eye(3, dtype=int)[axis]
            share = value[tuple(place)] / (value[tuple(place)] - value[tuple(far)])
            point = place + share * np.eye(3)[axis]
            normal = gradient(field, point / resolution - 0.5)
            for step in around(axis):
                cell = tuple(place - 1 + step)
                if min(cell) < 0 or max(cell) >= resolution:
                    continue
                matrix[cell] += np.outer(normal, normal)
                right[cell] += normal * (normal @ point)
                count[cell] += 1
                mean[cell] += point
    used = count > 0
    center = mean[used] / count[used][:, None]
    pull = 0.05 * count[used][:, None]
    left = matrix[used] + pull[..., None] * np.eye(3)
    vertices = np.full((*shape, 3), np.nan)
    vertices[used] = np.linalg.solve(left, (right[used] + pull * center)[..., None])[..., 0]
    return DenseField(resolution, inside, vertices)


def around(axis: int) -> list[np.ndarray]:
    """The four cells around an edge, relative to the corner it starts at, counter-clockwise seen from its far end.

    Steps of 1 are the cell above the corner, 0 the cell below; along the edge itself the cell is always above.
    """
    turn = [(0, 0), (1, 0), (1, 1), (0, 1)]
    cells = []
    for first, second in turn:
        step = np.ones(3, dtype=int)
        step[(axis + 1) % 3], step[(axis + 2) % 3] = first, second
        cells.append(step)
    return cells


def gradient(field: Field, point: np.ndarray, step: float = 1e-4) -> np.ndarray:
    steps = np.eye(3) * step
    slope = np.array([field(point + s) - field(point - s) for s in steps]).ravel()
    return slope / np.linalg.norm(slope)


def dual_contour(dense: DenseField) -> list[tuple[tuple[int, int, int], ...]]:
    """Quads of cells, outward: for every edge whose ends differ, the cells around it. One edge after another."""
    quads = []
    for axis in range(3):
        unit = np.eye(3, dtype=int)[axis]
        for place in np.ndindex(*(dense.resolution + 1 - unit)):
            near, far = dense.inside[place], dense.inside[tuple(place + unit)]
            if near == far:
                continue
            cells = [tuple(int(c) for c in np.array(place) - 1 + step) for step in around(axis)]
            quads.append(tuple(cells if near else cells[::-1]))
    return quads


def encode(dense: DenseField, seed: int = 0) -> DualGrid:
    """What a perfect decoder would say of this solid, cells in random order, split weights random."""
    random = np.random.default_rng(seed)
    cells = random.permutation(np.argwhere(~np.isnan(dense.vertices[..., 0])))
    crossed = np.zeros((len(cells), 3), bool)
    for axis in range(3):
        start = cells + 1
        start[:, axis] -= 1
        far = start + np.eye(3, dtype=int)[axis]
        crossed[:, axis] = dense.inside[tuple(start.T)] != dense.inside[tuple(far.T)]
    return DualGrid(
        voxels=Voxels(torch.from_numpy(cells).int()),
        offsets=torch.from_numpy(dense.vertices[tuple(cells.T)] - cells).float(),
        crossed=torch.from_numpy(crossed),
        split_weight=torch.from_numpy(random.uniform(0.1, 2.0, len(cells))).float(),
    )
