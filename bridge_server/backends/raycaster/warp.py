"""Ray casting by NVIDIA Warp: the same kernels on CUDA and on the CPU, and exact closest points.

The kernels are compiled once for each machine and Warp version (3 to 10 s) into ``warp`` of the cache folder;
``./forge`` does it at set-up, so that no job waits for it.
"""

import importlib.util
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32

from bridge_server.backends.raycaster.base import FacingHits, Lookouts, NearestPlaces, RayHits
from bridge_server.backends.raycaster.launching import FAR, Launcher, facing_hits_of, hits_of, occluded_of, openness_of
from bridge_server.backends.raycaster.rays import checked_points, checked_triangles
from bridge_server.backends.table import Availability
from bridge_server.home import cache_home

LEAF_SIZE = 4
"""Triangles in a leaf of the hierarchy; the fastest of 1, 2, 4 and 8 over rays and closest points together."""


@dataclass(frozen=True, slots=True)
class WarpRaycaster:
    """Builds Warp meshes on the first CUDA device, or on the CPU where there is none."""

    @property
    def identity(self) -> str:
        """Version; CPU and CUDA agree to rounding, so the device is no part of it."""
        return f"warp {version('warp-lang')}"

    @classmethod
    def availability(cls) -> Availability:
        """Present or not; does not start Warp."""
        return warp_availability()

    def scene(
        self,
        positions_m: Float32[np.ndarray, "vertices 3"],
        faces: Int32[np.ndarray, "faces 3"],
        *,
        approximate: bool = False,  # noqa: ARG002 - one hierarchy serves for both
    ) -> "WarpScene":
        """Build the hierarchy, the same for both; needs at least one triangle and finite corners."""
        positions_m, faces = checked_triangles(positions_m, faces)
        kernels = load_kernels()
        wp = kernels.wp
        device = wp.get_preferred_device()
        mesh = wp.Mesh(
            points=wp.array(positions_m, dtype=wp.vec3, device=device),
            indices=wp.array(faces.reshape(-1), dtype=wp.int32, device=device),
            bvh_leaf_size=LEAF_SIZE,
        )
        return WarpScene(mesh=mesh, launch=Launcher(kernels, device), positions_m=positions_m, triangles=faces)


@dataclass(frozen=True, slots=True, eq=False)
class WarpScene:
    """One mesh on one device."""

    mesh: Any
    launch: Launcher
    positions_m: Float32[np.ndarray, "vertices 3"] = field(repr=False)
    triangles: Int32[np.ndarray, "faces 3"] = field(repr=False)

    def first_hits(
        self,
        origins_m: Float32[np.ndarray, "rays 3"],
        directions: Float32[np.ndarray, "rays 3"],
        max_distance_m: float = float("inf"),
    ) -> RayHits:
        """First triangle along each ray, either side of it."""
        return hits_of(self.launch, "first_hits", (self.mesh.id, min(max_distance_m, FAR)), (origins_m, directions))

    def occluded(
        self,
        origins_m: Float32[np.ndarray, "rays 3"],
        directions: Float32[np.ndarray, "rays 3"],
        max_distance_m: float = float("inf"),
    ) -> Bool[np.ndarray, "rays"]:
        """Whether anything lies along each ray within the distance."""
        return occluded_of(self.launch, (self.mesh.id, min(max_distance_m, FAR)), (origins_m, directions))

    def facing_hits(
        self, points_m: Float32[np.ndarray, "points 3"], outward: Float32[np.ndarray, "points 3"], cage_m: float
    ) -> FacingHits:
        """The nearest surface along a direction, to either side, that faces that way."""
        return facing_hits_of(self.launch, (self.mesh.id, cage_m), (points_m, outward))

    def openness(
        self, sets: Float32[np.ndarray, "sets samples 3"], lookouts: Lookouts, start_m: float, reach_m: float
    ) -> Float32[np.ndarray, "points"]:
        """Share of directions that meet nothing within reach."""
        return openness_of(self.launch, (self.mesh.id, min(reach_m, FAR), start_m), sets, lookouts)

    def nearest(self, points_m: Float32[np.ndarray, "points 3"]) -> NearestPlaces:
        """Closest place on the surface to each point.

        Warp passes over triangles without area; a point that finds nothing else takes the closest vertex.
        """
        points = checked_points(points_m)
        found = hits_of(self.launch, "nearest", (self.mesh.id, FAR), (points,))
        faces, weights, distances = found.faces, found.barycentrics, found.distances_m
        lost = np.flatnonzero(faces < 0)
        if len(lost):
            faces[lost], weights[lost], distances[lost] = self._nearest_vertex(points[lost])
        return NearestPlaces(faces=faces, barycentrics=weights, distances_m=distances)

    def _nearest_vertex(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        from scipy.spatial import cKDTree

        corners = self.triangles.reshape(-1)
        distance, index = cKDTree(self.positions_m[corners]).query(points)
        return (index // 3).astype(np.int32), np.eye(3, dtype=np.float32)[index % 3], distance.astype(np.float32)


def warp_availability() -> Availability:
    """Whether Warp is installed; shared with Embree, which takes its closest points from here."""
    if importlib.util.find_spec("warp") is None:
        return Availability(available=False, detail="warp-lang is not installed.", remedy="pip install warp-lang")
    try:
        return Availability(available=True, detail=f"warp-lang {version('warp-lang')}")
    except PackageNotFoundError:
        return Availability(available=False, detail="another package is called warp.", remedy="pip install warp-lang")


def start_warp() -> ModuleType:
    """Import Warp quietly, with its cache in the cache folder."""
    import warp as wp

    wp.config.log_level = wp.LOG_WARNING
    wp.config.kernel_cache_dir = str(cache_home() / "warp")
    wp.init()
    return wp


def load_kernels() -> ModuleType:
    """The kernels, compiled if they have to be."""
    wp = start_warp()
    from bridge_server.backends.raycaster import warp_kernels

    wp.load_module(warp_kernels, device=wp.get_preferred_device())
    return warp_kernels
