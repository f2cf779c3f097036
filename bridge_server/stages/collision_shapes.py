"""Simple collision shapes fitted around points: box, ball, capsule. All of them hold every point."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bridge_server.values.collision import CollisionShape
from bridge_server.values.convex import convex_hull, outside_distance_m
from bridge_server.values.mesh import Mesh, volume_m3

Points = Float64[np.ndarray, "points 3"]
BALL_STEPS = 1000
BOX_GAIN = 0.9
"""A turned box is taken where it needs less than this share of the straight one."""
STRAIGHT = 0.999
"""Largest component of a direction that counts as an axis of space."""
GOLDEN = (1.0 + 5.0**0.5) / 2.0
CAPSULE_SEGMENTS = 8
FINE_POINTS = 1000
FRAME_POINTS = 200
"""More points than this are thinned to the farthest in as many directions before a box's frame is sought."""
CAPSULE_RINGS_RAD = (0.0, 0.6, 1.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedShape:
    """A piece as a mesh, and as the engine will see it."""

    shape: CollisionShape
    mesh: Mesh
    volume_m3: float
    outside_m: Callable[[np.ndarray], np.ndarray]
    """Distance of points outside; negative inside."""
    outline: Points
    """Points whose hull is what the engine sees, where that is rounder than the mesh to a per cent."""


def fit_convex(mesh: Mesh) -> FittedShape:
    """A convex mesh as it is."""
    return FittedShape(
        shape=CollisionShape.CONVEX,
        mesh=mesh,
        volume_m3=volume_m3(mesh),
        outside_m=lambda points: outside_distance_m(mesh, points),
        outline=mesh.positions_m.astype(np.float64),
    )


def fit_box(points: Points, least_m: float) -> FittedShape:
    """Straight; turned about the upright axis or freely where that is clearly smaller."""
    frame = box_frame(points)
    turned = points @ frame.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    spread = np.maximum(least_m - (high - low), 0.0) / 2.0
    low, high = low - spread, high + spread
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    mesh = convex_hull((corners @ frame).astype(np.float32))
    return FittedShape(
        shape=CollisionShape.BOX,
        mesh=mesh,
        volume_m3=float(np.prod(high - low)),
        outside_m=lambda other: outside_distance_m(mesh, other),
        outline=mesh.positions_m.astype(np.float64),
    )


def fit_sphere(points: Points) -> FittedShape:
    """Smallest enclosing ball, to a thousandth (Bădoiu and Clarkson, "Smaller core-sets for balls", 2003)."""
    center, radius = _enclosing_ball(points)
    mesh = convex_hull((center + radius * _icosphere_points()).astype(np.float32))
    return FittedShape(
        shape=CollisionShape.SPHERE,
        mesh=mesh,
        volume_m3=4.0 / 3.0 * np.pi * radius**3,
        outside_m=lambda other: np.linalg.norm(other - center, axis=1) - radius,
        outline=center + radius * even_directions(FINE_POINTS),
    )


def fit_capsule(points: Points) -> FittedShape:
    """Smallest of the capsules along X, Y, Z and the longest side of the box around the points."""
    frame = box_frame(points)
    longest = frame[int(np.argmax(np.ptp(points @ frame.T, axis=0)))]
    axes = [*np.eye(3), *([longest] if np.abs(longest).max() < STRAIGHT else [])]
    return min((_capsule_along(points, axis) for axis in axes), key=lambda fit: fit.volume_m3)


def _capsule_along(points: Points, axis: Float64[np.ndarray, "3"]) -> FittedShape:
    across = np.cross(axis, np.eye(3)[int(np.argmin(np.abs(axis)))])
    across /= np.linalg.norm(across)
    frame = np.stack([across, np.cross(axis, across), axis])
    turned = points @ frame.T
    center2, radius = _enclosing_ball(turned[:, :2])
    away = np.linalg.norm(turned[:, :2] - center2, axis=1)
    cap = np.sqrt(np.maximum(radius**2 - away**2, 0.0))
    top, bottom = float((turned[:, 2] - cap).max()), float((turned[:, 2] + cap).min())
    center = np.array([*center2, (top + bottom) / 2.0]) @ frame
    half = max((top - bottom) / 2.0, 0.0)

    def outside(other: np.ndarray) -> np.ndarray:
        offset = other - center
        along = np.clip(offset @ axis, -half, half)
        distance: np.ndarray = np.linalg.norm(offset - along[:, None] * axis, axis=1) - radius
        return distance

    return FittedShape(
        shape=CollisionShape.CAPSULE,
        mesh=convex_hull((_capsule_points(half, radius) @ frame + center).astype(np.float32)),
        outline=np.concatenate(
            [end + radius * even_directions(FINE_POINTS) for end in (center - half * axis, center + half * axis)]
        ),
        volume_m3=np.pi * radius**2 * (2.0 * half + 4.0 / 3.0 * radius),
        outside_m=outside,
    )


def _capsule_points(half: float, radius: float) -> Points:
    """Around the origin along Z; the poles are points, by which Unreal finds the axis."""
    rows = []
    around = np.linspace(0.0, 2.0 * np.pi, CAPSULE_SEGMENTS, endpoint=False)
    for sign in (-1.0, 1.0):
        for latitude in CAPSULE_RINGS_RAD:
            ring = [np.cos(around) * np.cos(latitude), np.sin(around) * np.cos(latitude)]
            ring.append(np.full(CAPSULE_SEGMENTS, sign * np.sin(latitude)))
            rows.append(np.stack(ring, axis=1) * radius + np.array([0.0, 0.0, sign * half]))
        rows.append(np.array([[0.0, 0.0, sign * (radius + half)]]))
    return np.concatenate(rows)


def _enclosing_ball(points: np.ndarray) -> tuple[np.ndarray, float]:
    center = (points.min(axis=0) + points.max(axis=0)) / 2.0
    best, least = center, np.inf
    for step in range(1, BALL_STEPS):
        offset = points - center
        away = np.einsum("pi,pi->p", offset, offset)
        far = int(np.argmax(away))
        if away[far] < least:
            best, least = center, float(away[far])
        center = center + (points[far] - center) / (step + 1)
    return best, float(np.sqrt(least))


def even_directions(count: int) -> Float64[np.ndarray, "count 3"]:
    """Unit vectors spread evenly (Fibonacci lattice, Swinbank and Purser 2006)."""
    up = 1.0 - (2.0 * np.arange(count) + 1.0) / count
    around = 2.0 * np.pi * np.arange(count) / GOLDEN
    ring = np.sqrt(1.0 - up**2)
    return np.stack([ring * np.cos(around), up, ring * np.sin(around)], axis=1)


def _icosphere_points() -> np.ndarray:
    """The 12 vertices of an icosahedron and the middles of its 30 edges, on the unit sphere."""
    plain = np.array([[0.0, a, b * GOLDEN] for a in (-1.0, 1.0) for b in (-1.0, 1.0)])
    corners = np.concatenate([np.roll(plain, shift, axis=1) for shift in range(3)])
    first, second = np.triu_indices(len(corners), 1)
    edges = np.linalg.norm(corners[first] - corners[second], axis=1) < 2.1
    points = np.concatenate([corners, corners[first[edges]] + corners[second[edges]]])
    unit: np.ndarray = points / np.linalg.norm(points, axis=1, keepdims=True)
    return unit


def box_frame(points: Points) -> Float64[np.ndarray, "3 3"]:
    """Rows are the sides' directions of a small box around the points; see ``fit_box``.

    A free box has a face of the hull on one side and an edge of it along another; the smallest of these is not always
    the smallest of all (O'Rourke 1985), and close to it.
    """
    from scipy.spatial import ConvexHull, QhullError

    if len(points) > FRAME_POINTS:
        points = points[np.unique(np.argmax(points @ even_directions(FRAME_POINTS).T, axis=0))]
    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError):
        return _upright_frame(points)
    corners = points[hull.vertices]
    best = _upright_frame(corners)
    least = BOX_GAIN * float(np.prod(np.ptp(corners @ best.T, axis=0)))
    edges = points[hull.simplices] - points[np.roll(hull.simplices, -1, axis=1)]
    for edge in edges.transpose(1, 0, 2):
        normal = hull.equations[:, :3]
        along = edge / np.maximum(np.linalg.norm(edge, axis=1, keepdims=True), 1e-300)
        frames = np.stack([along, np.cross(normal, along), normal], axis=1)
        sizes = np.ptp(np.einsum("fij,pj->fip", frames, corners), axis=2).prod(axis=1)
        row = int(np.argmin(sizes))
        if sizes[row] < least:
            best, least = frames[row], float(sizes[row])
    return best


def _upright_frame(points: Points) -> Float64[np.ndarray, "3 3"]:
    """Turned about Y so that a side of the floor lies on an edge of its 2D hull; straight if that gains little."""
    from scipy.spatial import ConvexHull, QhullError

    flat = points[:, [0, 2]]
    try:
        outline = flat[ConvexHull(flat).vertices]
    except (QhullError, ValueError):
        return np.eye(3)
    edges = np.roll(outline, -1, axis=0) - outline
    angles = np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2.0)
    cos, sin = np.cos(angles), np.sin(angles)
    along = np.ptp(outline[:, :1] * cos + outline[:, 1:] * sin, axis=0)
    across = np.ptp(outline[:, 1:] * cos - outline[:, :1] * sin, axis=0)
    best = int(np.argmin(along * across))
    if along[best] * across[best] >= BOX_GAIN * float(np.prod(np.ptp(outline, axis=0))):
        return np.eye(3)
    return np.array([[cos[best], 0.0, sin[best]], [0.0, 1.0, 0.0], [-sin[best], 0.0, cos[best]]])
