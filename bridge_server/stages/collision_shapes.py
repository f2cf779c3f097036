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
TURNED_BOX_GAIN = 0.9
"""A box turned about the upright axis is taken where it needs less than this share of the straight one's floor."""
GOLDEN = (1.0 + 5.0**0.5) / 2.0
CAPSULE_SEGMENTS = 8
CAPSULE_RINGS_RAD = (0.0, 0.6, 1.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedShape:
    """A piece as a mesh, and as the engine will see it."""

    shape: CollisionShape
    mesh: Mesh
    volume_m3: float
    outside_m: Callable[[np.ndarray], np.ndarray]
    """Distance of points outside; negative inside."""


def fit_convex(mesh: Mesh) -> FittedShape:
    """A convex mesh as it is."""
    return FittedShape(
        shape=CollisionShape.CONVEX,
        mesh=mesh,
        volume_m3=volume_m3(mesh),
        outside_m=lambda points: outside_distance_m(mesh, points),
    )


def fit_box(points: Points, least_m: float) -> FittedShape:
    """Axis-aligned, or turned about Y where that is clearly smaller."""
    angle = _best_turn(points)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    turned = points @ turn.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    spread = np.maximum(least_m - (high - low), 0.0) / 2.0
    low, high = low - spread, high + spread
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    mesh = convex_hull((corners @ turn).astype(np.float32))
    return FittedShape(
        shape=CollisionShape.BOX,
        mesh=mesh,
        volume_m3=float(np.prod(high - low)),
        outside_m=lambda other: outside_distance_m(mesh, other),
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
    )


def fit_capsule(points: Points) -> FittedShape:
    """Smallest of the three capsules along X, Y and Z."""
    return min((_capsule_along(points, axis) for axis in range(3)), key=lambda fit: fit.volume_m3)


def _capsule_along(points: Points, axis: int) -> FittedShape:
    across = [other for other in range(3) if other != axis]
    center2, radius = _enclosing_ball(points[:, across])
    away = np.linalg.norm(points[:, across] - center2, axis=1)
    cap = np.sqrt(np.maximum(radius**2 - away**2, 0.0))
    top, bottom = float((points[:, axis] - cap).max()), float((points[:, axis] + cap).min())
    center = np.empty(3)
    center[across], center[axis] = center2, (top + bottom) / 2.0
    half = np.zeros(3)
    half[axis] = max((top - bottom) / 2.0, 0.0)

    def outside(other: np.ndarray) -> np.ndarray:
        nearest = np.clip(other - center, -half, half)
        distance: np.ndarray = np.linalg.norm(other - center - nearest, axis=1) - radius
        return distance

    return FittedShape(
        shape=CollisionShape.CAPSULE,
        mesh=convex_hull(_capsule_points(center, half, axis, radius).astype(np.float32)),
        volume_m3=np.pi * radius**2 * (2.0 * float(half[axis]) + 4.0 / 3.0 * radius),
        outside_m=outside,
    )


def _capsule_points(center: np.ndarray, half: np.ndarray, axis: int, radius: float) -> Points:
    rows = []
    for sign in (-1.0, 1.0):
        for latitude in CAPSULE_RINGS_RAD:
            around = np.linspace(0.0, 2.0 * np.pi, CAPSULE_SEGMENTS, endpoint=False)
            ring = [np.cos(around) * np.cos(latitude), np.sin(around) * np.cos(latitude)]
            ring.insert(axis, np.full(CAPSULE_SEGMENTS, sign * np.sin(latitude)))
            rows.append(np.stack(ring, axis=1) * radius + center + sign * half)
        pole = np.zeros((1, 3))
        pole[0, axis] = sign * radius
        rows.append(pole + center + sign * half)
    return np.concatenate(rows)


def _enclosing_ball(points: np.ndarray) -> tuple[np.ndarray, float]:
    center = (points.min(axis=0) + points.max(axis=0)) / 2.0
    best, least = center, np.inf
    for step in range(1, BALL_STEPS):
        away = np.linalg.norm(points - center, axis=1)
        far = int(np.argmax(away))
        if away[far] < least:
            best, least = center, float(away[far])
        center = center + (points[far] - center) / (step + 1)
    return best, least


def _icosphere_points() -> np.ndarray:
    """The 12 vertices of an icosahedron and the middles of its 30 edges, on the unit sphere."""
    plain = np.array([[0.0, a, b * GOLDEN] for a in (-1.0, 1.0) for b in (-1.0, 1.0)])
    corners = np.concatenate([np.roll(plain, shift, axis=1) for shift in range(3)])
    first, second = np.triu_indices(len(corners), 1)
    edges = np.linalg.norm(corners[first] - corners[second], axis=1) < 2.1
    points = np.concatenate([corners, corners[first[edges]] + corners[second[edges]]])
    unit: np.ndarray = points / np.linalg.norm(points, axis=1, keepdims=True)
    return unit


def _best_turn(points: Points) -> float:
    """Angle about Y of the least floor rectangle (one side lies on an edge of the 2D hull); 0 where it gains little."""
    from scipy.spatial import ConvexHull, QhullError

    flat = points[:, [0, 2]]
    try:
        outline = flat[ConvexHull(flat).vertices]
    except (QhullError, ValueError):
        return 0.0
    edges = np.roll(outline, -1, axis=0) - outline
    angles = np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2.0)
    cos, sin = np.cos(angles), np.sin(angles)
    along = np.ptp(outline[:, :1] * cos + outline[:, 1:] * sin, axis=0)
    across = np.ptp(outline[:, 1:] * cos - outline[:, :1] * sin, axis=0)
    best = int(np.argmin(along * across))
    straight = float(np.prod(np.ptp(outline, axis=0)))
    return float(-angles[best]) if along[best] * across[best] < TURNED_BOX_GAIN * straight else 0.0
