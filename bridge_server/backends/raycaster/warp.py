"""Ray casting by NVIDIA Warp: the same kernels on CUDA and on the CPU, and exact closest points.

The kernels are compiled once for each machine and Warp version (3 to 10 s) into ``warp`` of the cache folder;
``./forge`` does it at set-up, so that no job waits for it.
``python -m bridge_server.backends.raycaster.warp`` does it ahead of time.
"""

import importlib.util
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32

from bridge_server.backends.raycaster.base import NearestPlaces, RayHits
from bridge_server.backends.raycaster.rays import checked_points, checked_triangles, prepared_rays
from bridge_server.backends.table import Availability
from bridge_server.blocks import over_blocks
from bridge_server.home import cache_home

FAR = 1e18
"""Stands for no limit; its square still fits single precision."""
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

    def scene(self, positions_m: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]) -> "WarpScene":
        """Build the hierarchy; needs at least one triangle and finite corners."""
        positions_m, faces = checked_triangles(positions_m, faces)
        kernels = load_kernels()
        wp = kernels.wp
        device = wp.get_preferred_device()
        mesh = wp.Mesh(
            points=wp.array(positions_m, dtype=wp.vec3, device=device),
            indices=wp.array(faces.reshape(-1), dtype=wp.int32, device=device),
            bvh_leaf_size=LEAF_SIZE,
        )
        return WarpScene(mesh=mesh, kernels=kernels, positions_m=positions_m, triangles=faces)


@dataclass(frozen=True, slots=True, eq=False)
class WarpScene:
    """One mesh on one device."""

    mesh: Any
    kernels: ModuleType
    positions_m: Float32[np.ndarray, "vertices 3"] = field(repr=False)
    triangles: Int32[np.ndarray, "faces 3"] = field(repr=False)

    def first_hits(
        self,
        origins_m: Float32[np.ndarray, "rays 3"],
        directions: Float32[np.ndarray, "rays 3"],
        max_distance_m: float = float("inf"),
    ) -> RayHits:
        """First triangle along each ray, either side of it."""
        rays = prepared_rays(origins_m, directions)
        faces = np.full(len(rays.origins_m), -1, np.int32)
        places = np.zeros((len(faces), 3), np.float32)
        far = min(max_distance_m, FAR)
        self._launch(self.kernels.first_hits, (rays.origins_m, rays.directions), far, (faces, places))
        faces[~rays.usable] = -1
        hit = faces >= 0
        return RayHits(
            faces=faces,
            barycentrics=_weights(places, hit),
            distances_m=np.where(hit, places[:, 2], np.float32(np.inf)),
        )

    def occluded(
        self,
        origins_m: Float32[np.ndarray, "rays 3"],
        directions: Float32[np.ndarray, "rays 3"],
        max_distance_m: float = float("inf"),
    ) -> Bool[np.ndarray, "rays"]:
        """Whether anything lies along each ray within the distance."""
        rays = prepared_rays(origins_m, directions)
        hit = np.zeros(len(rays.origins_m), np.uint8)
        far = min(max_distance_m, FAR)
        self._launch(self.kernels.occluded, (rays.origins_m, rays.directions), far, (hit,))
        return (hit != 0) & rays.usable

    def nearest(self, points_m: Float32[np.ndarray, "points 3"]) -> NearestPlaces:
        """Closest place on the surface to each point.

        Warp passes over triangles without area; a point that finds nothing else takes the closest vertex.
        """
        points = checked_points(points_m)
        faces = np.full(len(points), -1, np.int32)
        places = np.zeros((len(points), 3), np.float32)
        self._launch(self.kernels.nearest, (points,), FAR, (faces, places))
        weights, distances = _weights(places, faces >= 0), places[:, 2].copy()
        lost = np.flatnonzero(faces < 0)
        if len(lost):
            faces[lost], weights[lost], distances[lost] = self._nearest_vertex(points[lost])
        return NearestPlaces(faces=faces, barycentrics=weights, distances_m=distances)

    def _nearest_vertex(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        from scipy.spatial import cKDTree

        corners = self.triangles.reshape(-1)
        distance, index = cKDTree(self.positions_m[corners]).query(points)
        return (index // 3).astype(np.int32), np.eye(3, dtype=np.float32)[index % 3], distance.astype(np.float32)

    def _launch(self, kernel: Any, inputs: tuple[np.ndarray, ...], far: float, outputs: tuple[np.ndarray, ...]) -> None:
        """Run a kernel over all rows of the inputs and write the outputs in place."""
        wp, device = self.kernels.wp, self.mesh.device
        kinds = {np.dtype(np.int32): wp.int32, np.dtype(np.uint8): wp.uint8, np.dtype(np.float32): wp.vec3}
        if device.is_cpu:

            def share(array: np.ndarray, block: slice) -> Any:
                return wp.array(array[block], dtype=kinds[array.dtype], device=device, copy=False)

            def launch(block: slice) -> None:
                wp.launch(
                    kernel,
                    dim=block.stop - block.start,
                    inputs=[self.mesh.id, *(share(array, block) for array in inputs), far],
                    outputs=[share(array, block) for array in outputs],
                    device=device,
                )

            over_blocks(launch, len(outputs[0]))
            return
        there = [wp.array(array, dtype=kinds[array.dtype], device=device) for array in outputs]
        sent = [wp.array(array, dtype=kinds[array.dtype], device=device) for array in inputs]
        wp.launch(kernel, dim=len(outputs[0]), inputs=[self.mesh.id, *sent, far], outputs=there, device=device)
        for array, result in zip(outputs, there, strict=True):
            array[...] = result.numpy()


def _weights(places: Float32[np.ndarray, "n 3"], found: Bool[np.ndarray, "n"]) -> Float32[np.ndarray, "n 3"]:
    """All three weights of the places that were found, zeros for the others."""
    first, second = np.clip(places[:, 0], 0.0, 1.0), np.clip(places[:, 1], 0.0, 1.0)
    weights = np.stack([first, second, np.maximum(1.0 - first - second, 0.0)], axis=1)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.where(found[:, None], weights, np.float32(0.0))


def warp_availability() -> Availability:
    """Whether Warp is installed; shared with Embree, which takes its closest points from here."""
    if importlib.util.find_spec("warp") is None:
        return Availability(available=False, detail="warp-lang is not installed.", remedy="pip install warp-lang")
    try:
        return Availability(available=True, detail=f"warp-lang {version('warp-lang')}")
    except PackageNotFoundError:
        return Availability(available=False, detail="another package is called warp.", remedy="pip install warp-lang")


def load_kernels() -> ModuleType:
    """Import Warp quietly, with its cache in the cache folder, and load the kernels, compiled if they have to be."""
    import warp as wp

    wp.config.log_level = wp.LOG_WARNING
    wp.config.kernel_cache_dir = str(cache_home() / "warp")
    wp.init()
    from bridge_server.backends.raycaster import warp_kernels

    wp.load_module(warp_kernels, device=wp.get_preferred_device())
    return warp_kernels


if __name__ == "__main__":
    load_kernels()
