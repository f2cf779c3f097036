"""Hollow bodies with a wall, by formulas, for the tests of repair."""

import numpy as np

from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.run import SilentRun
from bridge_server.stages.repair import Repair
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import boundary_loops, compacted, welded_exactly
from tests import shapes


def repaired(mesh, **fields):
    """Mesh and notices by code."""
    high = Repair(**fields)(SilentRun(), RAYCASTERS.load("embree"), high_poly=shapes.painted(mesh))
    return high.mesh, {notice.code: notice for notice in high.notices}


def welded(mesh):
    kept, owner = welded_exactly(mesh.positions_m)
    return Mesh(positions_m=mesh.positions_m[kept], faces=owner[mesh.faces].astype(np.int32))


def middles(mesh):
    return mesh.positions_m[mesh.faces].mean(axis=1)


def without(mesh, gone):
    return compacted(mesh.positions_m, mesh.faces[~gone])


def walled(outer, thickness=0.9):
    """An open surface around the origin, with a wall to a smaller copy of itself: closed, and hollow."""
    count = len(outer.positions_m)
    rims = []
    for loop in boundary_loops(outer.faces):
        a, b = loop, np.roll(loop, -1)
        rims += [np.stack([b, a, a + count], 1), np.stack([b, a + count, b + count], 1)]
    faces = np.concatenate([outer.faces, outer.faces[:, ::-1] + count, *rims]).astype(np.int32)
    return Mesh(positions_m=np.concatenate([outer.positions_m, outer.positions_m * np.float32(thickness)]), faces=faces)


def ball_with_holes(width, axes=((0, 1, 0),), subdivisions=4):
    """A sphere of radius 1 m with round holes of ``width`` around the given axes."""
    ball = shapes.sphere(1.0, subdivisions)
    along = middles(ball) @ np.array(axes, np.float64).T / np.linalg.norm(axes, axis=1)
    return without(ball, (along > np.sqrt(1.0 - (width / 2.0) ** 2)).any(axis=1))


def revolved(outline, around=64):
    """A closed body around Y from an outline of (radius, height) that begins and ends on the axis or meets itself."""
    corners = np.array(outline, np.float64)
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    along = np.linspace(0.0, steps[-1], 120)
    radius, height = np.interp(along, steps, corners[:, 0]), np.interp(along, steps, corners[:, 1])
    angle = np.linspace(0.0, 2.0 * np.pi, around, endpoint=False)
    place = np.stack(
        [
            radius[:, None] * np.cos(angle),
            np.broadcast_to(height[:, None], (len(along), around)),
            -radius[:, None] * np.sin(angle),
        ],
        axis=-1,
    )
    surface = welded(shapes.grid_surface(len(along), around, place, wrap_rows=False, wrap_columns=True))
    a, b, c = surface.faces.T
    return Mesh(positions_m=surface.positions_m, faces=surface.faces[(a != b) & (b != c) & (c != a)][:, ::-1])
