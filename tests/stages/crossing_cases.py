"""Single closed shells that run through themselves, and a count of faces that cross which asks every pair."""

import numpy as np

from bridge_server.values.mesh import HighPoly, Mesh, volume_m3
from bridge_server.values.surface import VertexField
from tests import shapes
from tests.stages.repair_cases import revolved, welded

RADIUS_M = 0.12


def rings(axis, radius, around, closed=False):
    """Points (rows, around, 3) on circles of ``radius`` (one, or one a row) around a curve."""
    ahead = np.roll(axis, -1, 0) - np.roll(axis, 1, 0) if closed else np.gradient(axis, axis=0)
    ahead = ahead / np.linalg.norm(ahead, axis=1, keepdims=True)
    sides = [np.cross(ahead[0], [0.3, 0.2, 1.0])]
    for way in ahead[1:]:
        sides.append(sides[-1] - (sides[-1] @ way) * way)
    one = np.array(sides) / np.linalg.norm(sides, axis=1, keepdims=True)
    angle = np.linspace(0.0, 2.0 * np.pi, around, endpoint=False)
    ring = np.cos(angle)[:, None] * one[:, None] + np.sin(angle)[:, None] * np.cross(ahead, one)[:, None]
    return axis[:, None] + np.broadcast_to(radius, len(axis))[:, None, None] * ring


def outward(mesh):
    return mesh if volume_m3(mesh) > 0.0 else shapes.flipped(mesh)


def capped(place):
    """Rings closed to a shell, with a point in the middle of either end."""
    rows, around = place.shape[:2]
    ends = np.concatenate([np.broadcast_to(place[row].mean(axis=0), (1, around, 3)) for row in (0, -1)])
    everything = np.concatenate([ends[:1], place, ends[1:]])
    grid = welded(shapes.grid_surface(rows + 2, around, everything, wrap_rows=False, wrap_columns=True))
    a, b, c = grid.faces.T
    return outward(Mesh(positions_m=grid.positions_m, faces=grid.faces[(a != b) & (b != c) & (c != a)]))


def looped_axis(count=80):
    """A way that crosses itself once, a little beside."""
    s = np.linspace(-1.0, 1.0, count)
    return np.stack([2.0 * s**3 - 1.2 * s, 1.0 - 1.5 * s**2, 0.03 * s], axis=1)


def eight_axis(count=96):
    """A closed way like a figure of eight, whose crossing is a little lifted."""
    s = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    return np.stack([np.sin(s), 0.6 * np.sin(2.0 * s), 0.03 * np.cos(s)], axis=1)


def thrice_axis(count=260):
    """A closed way that comes by the origin along each of the three axes."""
    from scipy.interpolate import CubicSpline

    stops = np.array(
        [[-1.5, 0, 0], [0, 0, 0.03], [1.5, 0, 0], [1.6, 1.6, 0], [0, 1.5, 0], [0.02, 0, 0.05], [0, -1.5, 0],
         [0, -1.6, -1.6], [0, 0, -1.5], [0, 0.03, 0], [0, 0, 1.5], [-1.6, 0, 1.6], [-1.5, 0, 0]]
    )  # fmt: skip
    way = CubicSpline(np.arange(len(stops)), stops, bc_type="periodic")
    return way(np.linspace(0.0, len(stops) - 1.0, count, endpoint=False))


def bent_tube(around=12):
    return capped(rings(looped_axis(), RADIUS_M, around))


def looped_tube(axis, radius, around=12):
    place = rings(axis, radius, around, closed=True)
    grid = shapes.grid_surface(len(axis), around, place, wrap_rows=True, wrap_columns=True)
    return outward(grid)


def arm_through_the_body(around=14):
    """A ball out of which an arm grows that bends back, goes through the ball and comes out on the other side."""
    from scipy.interpolate import CubicSpline

    polar = np.linspace(0.1, np.pi - np.arcsin(2.0 * RADIUS_M), 24)
    ball = np.stack([0.0 * polar, -0.5 * np.cos(polar), 0.0 * polar], axis=1)
    stops = [[0, 0.6], [0, 0.9], [0.4, 1.2], [0.9, 0.9], [0.9, 0.4], [0.6, 0.05], [0, 0], [-1, 0]]
    arm = CubicSpline(np.arange(len(stops)), stops)(np.linspace(0.0, len(stops) - 1.0, 70))
    axis = np.concatenate([ball, np.concatenate([arm, np.full((len(arm), 1), 0.02)], axis=1)])
    return capped(rings(axis, np.append(0.5 * np.sin(polar), np.full(len(arm), RADIUS_M)), around))


def flush_bar():
    """A square bar that goes through itself, its upper and lower sides in one plane: 2.875 cubic metres.

    All coordinates are quarters, so that nothing is rounded.
    """
    way = np.array([[-2, 0], [2, 0], [2, 2], [0, 2], [0, -2]], np.float64)
    left = np.array([[0, 1], [-1, 1], [-1, -1], [1, -1], [1, 0]], np.float64)
    ring = [np.concatenate([way + 0.25 * side * left, np.full((len(way), 1), 0.25 * up)], axis=1)
            for side, up in ((1, 1), (-1, 1), (-1, -1), (1, -1))]  # fmt: skip
    return capped(np.stack(ring, axis=1))


def dent_through_the_bottom():
    """A ball whose top is pushed in so far that the dent leaves it at the bottom, where it is inside out."""
    angle = np.linspace(0.0, np.pi - 0.4, 30)
    ball = np.stack([0.5 * np.sin(angle), -0.5 * np.cos(angle)], axis=1)
    return outward(revolved([*ball.tolist(), [0.12, 0.3], [0.11, -0.7], [0.0, -0.8]], around=31))


def striped(mesh, axis, around):
    """Colours that tell the row of a tube along ``axis``: red and green go once around a circle on the way."""
    row = (np.arange(len(mesh.positions_m)) // around) / len(axis) * 2.0 * np.pi
    color = np.stack([0.5 + 0.4 * np.cos(row), 0.5 + 0.4 * np.sin(row), 0.0 * row], axis=1)
    none = np.zeros(len(row), np.float32)
    field = VertexField(
        positions_m=mesh.positions_m,
        faces=mesh.faces,
        base_color=color.astype(np.float32),
        metallic=none,
        roughness=none,
    )
    return HighPoly(mesh=mesh, field=field, source="test")


def crossing_by_brute_force(mesh):
    """Number of pairs where an edge of one face goes through the other, by Cramer's rule.

    All pairs whose boxes touch are asked. Edges that end at a corner which both faces share are left out, and so are
    those that end where the other has one.
    """
    mesh = welded(mesh)
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    low, high = corners.min(axis=1), corners.max(axis=1)
    found = set()
    for face, (a, b, c) in enumerate(corners):
        others = np.flatnonzero(((low <= high[face]) & (high >= low[face])).all(axis=1))
        own = np.isin(mesh.faces[others], mesh.faces[face])
        for corner in range(3):
            onward = (corner + 1) % 3
            start, way = corners[others, corner], corners[others, onward] - corners[others, corner]
            normal = np.cross(b - a, c - a)
            with np.errstate(all="ignore"):
                at = (a - start) @ normal / (way @ normal)
                beside = np.cross(start - a, way)
                u, v = (-beside @ (c - a)) / (way @ normal), (beside @ (b - a)) / (way @ normal)
                hit = (at > 0) & (at < 1) & (u >= 0) & (v >= 0) & (u + v <= 1) & ~own[:, corner] & ~own[:, onward]
            found |= {(min(face, other), max(face, other)) for other in others[hit].tolist()}
    return len(found)
