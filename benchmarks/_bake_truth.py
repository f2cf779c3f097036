"""What the maps of the Blender benchmark ought to hold: 16 rays a texel on the surface's formula, own code throughout.

Sub-texels are found by casting rays at the UV layout, places on the high poly by casting from the cage inwards along
the smoothed normal, as Blender does. Normals come from a formula, occlusion from random directions.
"""

from dataclasses import dataclass

import numpy as np

from bridge_server.backends.raycaster.base import Raycaster, RayScene
from bridge_server.values.mesh import Mesh, UnwrappedMesh

GRID = 4
"""Sub-texels along each edge of a texel."""
OCCLUSION_RAYS = 64
"""From each sub-texel, so 1024 a texel."""
BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class Subtexels:
    """Places on the high poly, 16 for each texel that is looked at; texels whose sub-texels all hit."""

    rows: np.ndarray
    columns: np.ndarray
    places_m: np.ndarray
    """(texels, 16, 3)"""


def bumpy(unit: np.ndarray) -> np.ndarray:
    """Points of the surface in the directions ``unit``."""
    return 0.5 * unit * _swell(unit)[:, None]


def bumpy_normals(points: np.ndarray) -> np.ndarray:
    """Outward unit normals: the gradient of |p| - swell(p / |p|) / 2, by central differences."""
    gradient = np.empty_like(points)
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 1e-5
        gradient[:, axis] = _level(points + step) - _level(points - step)
    return gradient / np.linalg.norm(gradient, axis=1, keepdims=True)


def color(points: np.ndarray) -> np.ndarray:
    """Linear base colour, with waves about 0.2 m long."""
    waves = [np.sin(30 * points[:, axis] + axis) * np.cos(25 * points[:, axis - 1]) for axis in range(3)]
    return 0.5 + 0.4 * np.stack(waves, axis=1)


def subtexels(
    caster: Raycaster, scene: RayScene, high: Mesh, low: UnwrappedMesh, cage_m: float, texels: int, every: int
) -> Subtexels:
    """Each ``every``-th texel along both edges of a map of ``texels``."""
    chosen = np.stack(np.meshgrid(*[np.arange(0, texels, every)] * 2, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    inner = (np.stack(np.meshgrid(*[np.arange(GRID)] * 2, indexing="ij"), axis=-1).reshape(1, -1, 2) + 0.5) / GRID
    uv = ((chosen + inner) / texels)[..., ::-1].reshape(-1, 2)
    layout = np.concatenate([low.uvs, np.zeros((len(low.uvs), 1), np.float32)], axis=1)
    above = np.concatenate([uv, np.ones((len(uv), 1))], axis=1).astype(np.float32)
    down = np.tile(np.float32([0, 0, -1]), (len(uv), 1))
    flat = caster.scene(layout, low.faces).first_hits(above, down)
    inside = flat.faces >= 0
    corners = low.faces[np.maximum(flat.faces, 0)]
    start = np.einsum("tc,tcd->td", flat.barycentrics, low.positions_m[corners])
    normal = np.einsum("tc,tcd->td", flat.barycentrics, low.normals[corners])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    hits = scene.first_hits((start + normal * cage_m).astype(np.float32), (-normal).astype(np.float32), 2 * cage_m)
    inside &= hits.faces >= 0
    places = np.einsum("tc,tcd->td", hits.barycentrics, high.positions_m[high.faces[np.maximum(hits.faces, 0)]])
    whole = inside.reshape(-1, GRID**2).all(axis=1)
    rows, columns = chosen.reshape(-1, 2)[whole].T
    return Subtexels(rows=rows, columns=columns, places_m=places.reshape(-1, GRID**2, 3)[whole].astype(np.float64))


def mean_normals(places: Subtexels) -> np.ndarray:
    """World normal of each texel."""
    each = bumpy_normals(places.places_m.reshape(-1, 3)).reshape(places.places_m.shape).mean(axis=1)
    return each / np.linalg.norm(each, axis=1, keepdims=True)


def mean_openness(scene: RayScene, places: Subtexels, start_m: float, reach_m: float) -> np.ndarray:
    """Share of cosine-weighted random directions that meet nothing."""
    random = np.random.default_rng(5)
    points = places.places_m.reshape(-1, 3)
    result = np.empty(len(points))
    for first in range(0, len(points), BLOCK):
        part = points[first : first + BLOCK]
        normal = bumpy_normals(part)[:, None]
        ball = random.normal(size=(len(part), OCCLUSION_RAYS, 3))
        directions = normal + ball / np.linalg.norm(ball, axis=2, keepdims=True)
        directions /= np.linalg.norm(directions, axis=2, keepdims=True)
        origins = np.broadcast_to(part[:, None] + normal * start_m, directions.shape)
        rays = (np.ascontiguousarray(side.reshape(-1, 3), np.float32) for side in (origins, directions))
        result[first : first + BLOCK] = 1 - scene.occluded(*rays, reach_m).reshape(len(part), -1).mean(axis=1)
    return result.reshape(places.places_m.shape[:2]).mean(axis=1)


def _swell(unit: np.ndarray) -> np.ndarray:
    x, y, z = (unit * 0.5).T
    return 1 + 0.15 * np.sin(9 * x) * np.cos(11 * y + 2) * np.sin(8 * z + 1)


def _level(points: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(points, axis=1)
    return length - 0.5 * _swell(points / length[:, None])
