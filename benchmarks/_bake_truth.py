"""What the maps of the Blender benchmark ought to hold: 16 rays a texel, code of its own throughout.

Sub-texels are found by casting rays at the UV layout, places on the high poly by casting from the cage inwards along
the smoothed normal, as Blender does. What they hold is interpolated between the corners of the high poly, whose
normals are smooth up to edges that turn by more than 60 degrees, for both sides; occlusion is from random directions.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks._bake_cases import Scene
from bridge_server.backends.raycaster.base import RAYCASTERS, RayScene
from bridge_server.stages.bake_normal import BakeNormal
from bridge_server.stages.corner_normals import corner_normals, hard_half_edges
from bridge_server.values.mesh import Mesh

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
    faces: np.ndarray
    """(texels, 16)"""
    weights: np.ndarray
    """(texels, 16, 3)"""

    def means(self, corners: np.ndarray) -> np.ndarray:
        """Mean of what is interpolated between the corners of faces, (texels, channels)."""
        return np.einsum("tsc,tscd->td", self.weights, corners[self.faces]) / self.faces.shape[1]


def detail_normals(mesh: Mesh) -> np.ndarray:
    """Normals at the corners of the high poly, (faces, 3, 3)."""
    return corner_normals(mesh, hard_half_edges(mesh, BakeNormal().hard_edge_angle_deg))


def subtexels(scene: Scene, surface: RayScene, texels: int, every: int) -> Subtexels:
    """Each ``every``-th texel along both edges of a map of ``texels``."""
    chosen = np.stack(np.meshgrid(*[np.arange(0, texels, every)] * 2, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    inner = (np.stack(np.meshgrid(*[np.arange(GRID)] * 2, indexing="ij"), axis=-1).reshape(1, -1, 2) + 0.5) / GRID
    uv = ((chosen + inner) / texels)[..., ::-1].reshape(-1, 2)
    inside, start, normal = on_low(scene, uv)
    smooth = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    above = (start + smooth * scene.cage_m).astype(np.float32)
    hits = surface.first_hits(above, (-smooth).astype(np.float32), 2 * scene.cage_m)
    inside &= hits.faces >= 0
    whole = inside.reshape(-1, GRID**2).all(axis=1)
    rows, columns = chosen.reshape(-1, 2)[whole].T
    return Subtexels(
        rows=rows,
        columns=columns,
        faces=hits.faces.reshape(-1, GRID**2)[whole],
        weights=hits.barycentrics.reshape(-1, GRID**2, 3)[whole].astype(np.float64),
    )


def on_low(scene: Scene, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which texture coordinates lie in a chart, where on the low poly, and its normals there, smooth everywhere."""
    low = scene.low
    flat, corners = layout_hits(scene, uv)
    welded = np.zeros((int(low.welded.max()) + 1, 3))
    np.add.at(welded, low.welded, low.normals)
    normals = welded[low.welded] / np.maximum(np.linalg.norm(welded[low.welded], axis=1, keepdims=True), 1e-9)
    start = np.einsum("tc,tcd->td", flat.barycentrics, low.positions_m[corners])
    return flat.faces >= 0, start, np.einsum("tc,tcd->td", flat.barycentrics, normals[corners])


def layout_hits(scene: Scene, uv: np.ndarray) -> tuple:
    """Hits of rays on the UV layout, and the vertices of the faces that they hit."""
    low, caster = scene.low, RAYCASTERS.load(RAYCASTERS.choose("auto"))
    layout = np.concatenate([low.uvs, np.zeros((len(low.uvs), 1), np.float32)], axis=1)
    above = np.concatenate([uv, np.ones((len(uv), 1))], axis=1).astype(np.float32)
    flat = caster.scene(layout, low.faces).first_hits(above, np.tile(np.float32([0, 0, -1]), (len(uv), 1)))
    return flat, low.faces[np.maximum(flat.faces, 0)]


def mean_normals(scene: Scene, places: Subtexels) -> np.ndarray:
    """World normal of each texel."""
    corners = detail_normals(scene.high.mesh)[places.faces]
    each = np.einsum("tsc,tscd->tsd", places.weights, corners)
    each = (each / np.linalg.norm(each, axis=2, keepdims=True)).mean(axis=1)
    return each / np.linalg.norm(each, axis=1, keepdims=True)


def mean_openness(scene: Scene, surface: RayScene, places: Subtexels, start_m: float) -> np.ndarray:
    """Share of cosine-weighted random directions that meet nothing."""
    random, mesh = np.random.default_rng(5), scene.high.mesh
    faces, weights = places.faces.reshape(-1), places.weights.reshape(-1, 3)
    corners, normals = mesh.positions_m[mesh.faces], detail_normals(mesh)
    result = np.empty(len(faces))
    for first in range(0, len(faces), BLOCK):
        part = slice(first, first + BLOCK)
        points = np.einsum("tc,tcd->td", weights[part], corners[faces[part]])
        normal = np.einsum("tc,tcd->td", weights[part], normals[faces[part]])
        normal = (normal / np.linalg.norm(normal, axis=1, keepdims=True))[:, None]
        ball = random.normal(size=(len(points), OCCLUSION_RAYS, 3))
        directions = normal + ball / np.linalg.norm(ball, axis=2, keepdims=True)
        origins = np.broadcast_to(points[:, None] + normal * start_m, directions.shape)
        rays = (np.ascontiguousarray(side.reshape(-1, 3), np.float32) for side in (origins, directions))
        result[part] = 1 - surface.occluded(*rays, scene.reach_m).reshape(len(points), -1).mean(axis=1)
    return result.reshape(places.faces.shape).mean(axis=1)
