"""Colour borders in the quadrics of a collapse.

Where a face goes from one colour to another, its vertices are held across the border, and free along it: a vertex that
moves by a step pays for the change of colour over that step, as the generalised quadrics of Garland and Heckbert
("Simplifying surfaces with color and texture using quadric error metrics", 1998) would for the colour it leaves
behind. Gentle changes are left to interpolation, which reproduces them, and cost nothing.
"""

import numpy as np
from jaxtyping import Float64

from bridge_server.backends.mesh_filter.base import Paint
from bridge_server.values.mesh import Mesh

GENTLE, STRONG = 0.1, 0.3
"""Change of colour over a face below which it is no border, and from which it is one in full."""


def paint_on(source: Mesh, mesh: Mesh, paint: Paint) -> Float64[np.ndarray, "source channels"]:
    """Looks for the vertices of a mesh whose vertices are among those of the painted one."""
    if np.array_equal(source.positions_m, mesh.positions_m):
        return paint.values.astype(np.float64)
    everything = np.concatenate([mesh.positions_m, source.positions_m]) + np.float32(0.0)
    number = np.unique(np.ascontiguousarray(everything).view("V12").reshape(-1), return_inverse=True)[1].reshape(-1)
    first = np.zeros(int(number.max()) + 1, np.int64)
    count = len(mesh.positions_m)
    first[number[:count][::-1]] = np.arange(count - 1, -1, -1)
    return paint.values[first[number[count:]]].astype(np.float64)


def paint_quadrics(
    places: Float64[np.ndarray, "vertices 3"],
    faces: np.ndarray,
    values: Float64[np.ndarray, "vertices channels"],
    weight: float,
) -> Float64[np.ndarray, "vertices 11"]:
    """Of each vertex what a step costs, in the layout of ``quadric_kernels``; places are shares of the diagonal."""
    result = np.zeros((len(places), 11))
    spread = np.ptp(values[faces], axis=1).max(axis=1)
    share = np.clip((spread - GENTLE) / (STRONG - GENTLE), 0.0, 1.0)
    rows = np.flatnonzero(share > 0.0)
    corners, colours = places[faces[rows]], values[faces[rows]]
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    cross = np.cross(one, two)
    square = np.einsum("fi,fi->f", cross, cross)
    sound = square > 1e-30
    rows, cross, square, one, two, colours = (part[sound] for part in (rows, cross, square, one, two, colours))
    # Gradient of a function over a triangle, from its changes along two sides
    along = np.stack([np.cross(two, cross), np.cross(cross, one)], axis=1) / square[:, None, None]
    changes = np.stack([colours[:, 1] - colours[:, 0], colours[:, 2] - colours[:, 0]], axis=1)
    gradient = np.einsum("fsi,fsc->fci", along, changes)
    area = np.sqrt(square) / 6.0
    matrix = np.einsum("fci,fcj->fij", gradient, gradient) * (weight * weight * share[rows] * area)[:, None, None]
    upper = matrix[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]]
    for corner in range(3):
        vertex = faces[rows, corner]
        place = places[vertex]
        linear = -np.einsum("fij,fj->fi", matrix, place)
        constant = -np.einsum("fi,fi->f", linear, place)
        np.add.at(
            result, vertex, np.concatenate([upper, linear, constant[:, None], np.zeros((len(vertex), 1))], axis=1)
        )
    return result
