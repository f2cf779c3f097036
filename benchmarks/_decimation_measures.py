"""How near a light mesh comes to a dense one: distances both ways, normals, silhouettes.

The raycaster finds nearest places in single precision, which on needles of one to seven hundred is off by a thousandth
of their length. So each is looked for again in double precision, on the faces around the one that it found.
"""

from dataclasses import dataclass

import numpy as np

from bridge_server.backends.mesh_filter.sampling import Gap, Walkable
from bridge_server.backends.raycaster.base import RAYCASTERS, Raycaster, RayScene
from bridge_server.stages.mesh_distance import surface_samples
from bridge_server.values.mesh import Mesh, face_cross_products

SAMPLES = 60_000
"""Random places on each surface; as many of its vertices at most are added."""
VIEWS = 16
VIEW_PX = 768
BLOCK = 1 << 15


@dataclass(frozen=True)
class Nearness:
    """Lengths are shares of the dense mesh's diagonal."""

    hausdorff: float
    """Largest distance of samples of either surface to the other."""
    mean: float
    """Mean distance of both directions, of samples spread by area."""
    normal_deg: float
    """Mean angle between the normals of the dense mesh and of the nearest light face."""
    silhouette_iou: float
    """Intersection over union of the outlines from sixteen directions, on the average."""


class Judge:
    """Holds what is measured once for a dense mesh."""

    def __init__(self, dense: Mesh) -> None:
        self.dense = dense
        self.nearest_by = RAYCASTERS.load(RAYCASTERS.choose("auto"))
        self.surface = Measured.of(self.nearest_by, dense)
        self.points = surface_samples(dense, SAMPLES)
        self.normals = unit(face_cross_products(dense))
        self.outlines = outlines(self.surface.scene, dense)
        self.random = slice(len(self.points) - SAMPLES, None)
        _, self.own_faces = self.surface.nearest(self.points[self.random])

    def judge(self, light: Mesh) -> Nearness:
        surface = Measured.of(self.nearest_by, light)
        there, faces = surface.nearest(self.points)
        back, _ = self.surface.nearest(surface_samples(light, SAMPLES))
        turned = unit(face_cross_products(light))[faces[self.random]]
        cosines = np.einsum("ij,ij->i", self.normals[self.own_faces], turned)
        seen = outlines(surface.scene, self.dense)
        iou = np.mean([(a & b).sum() / max((a | b).sum(), 1) for a, b in zip(self.outlines, seen, strict=True)])
        scale = self.dense.diagonal_m
        return Nearness(
            hausdorff=max(there.max(), back.max()) / scale,
            mean=(there[self.random].mean() + back[-SAMPLES:].mean()) / 2.0 / scale,
            normal_deg=float(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))).mean()),
            silhouette_iou=float(iou),
        )


@dataclass(frozen=True)
class Measured:
    """A surface that is asked for nearest places."""

    scene: RayScene
    surface: Walkable

    @classmethod
    def of(cls, raycaster: Raycaster, mesh: Mesh) -> "Measured":
        surface = Walkable.of(mesh.positions_m.astype(np.float64), np.array(mesh.faces))
        return cls(raycaster.scene(mesh.positions_m, mesh.faces), surface)

    def nearest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances and faces."""
        starts = [self.scene.nearest(points[start : start + BLOCK]).faces for start in range(0, len(points), BLOCK)]
        gap = Gap.of(points.astype(np.float64), np.concatenate(starts), np.zeros(len(points)))
        gap.walk(self.surface)
        return np.sqrt(gap.found.squares), gap.found.faces


def outlines(scene: RayScene, framed: Mesh) -> list[np.ndarray]:
    """What covers each pixel, seen from afar along sixteen directions (a Fibonacci hemisphere)."""
    low, high = framed.bounds_m
    middle, radius = (low.astype(np.float64) + high) / 2.0, framed.diagonal_m * 0.51
    steps = (np.arange(VIEW_PX) + 0.5) / VIEW_PX * 2.0 - 1.0
    x, y = np.meshgrid(steps * radius, steps * radius)
    found = []
    for view in range(VIEWS):
        height = (view + 0.5) / VIEWS
        turn = view * np.pi * (3.0 - 5.0**0.5)
        flat = (1.0 - height * height) ** 0.5
        toward = np.array([flat * np.cos(turn), height, flat * np.sin(turn)])
        right = np.cross([0.0, 1.0, 0.0], toward)
        right /= np.linalg.norm(right)
        up = np.cross(toward, right)
        origins = middle + toward * radius * 2.0 + x.reshape(-1, 1) * right + y.reshape(-1, 1) * up
        directions = np.broadcast_to((-toward).astype(np.float32), origins.shape)
        found.append(scene.occluded(origins.astype(np.float32), np.ascontiguousarray(directions)))
    return found


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
