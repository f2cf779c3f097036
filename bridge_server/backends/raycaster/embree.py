"""Ray casting by Intel Embree on the CPU, two to five times as fast as Warp there (benchmarks/raycasters.py).

Rays run through the robust traversal, which lets none slip between two triangles that share an edge; under one in a
hundred of those aimed exactly at a vertex still passes (single precision). The binding has no closest-point query,
so ``nearest`` asks Warp, whose hierarchy is built on the first such call.
"""

import importlib.util
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32

from bridge_server.backends.raycaster.base import NearestPlaces, RayHits
from bridge_server.backends.raycaster.rays import checked_triangles, prepared_rays
from bridge_server.backends.raycaster.warp import WarpRaycaster, WarpScene, warp_availability
from bridge_server.backends.table import Availability
from bridge_server.blocks import over_blocks

FAR = 1e36


@dataclass(frozen=True, slots=True)
class EmbreeRaycaster:
    """Builds Embree scenes."""

    @property
    def identity(self) -> str:
        """Versions of both libraries that answer."""
        return f"embree {version('embreex')}, {WarpRaycaster().identity}"

    @classmethod
    def availability(cls) -> Availability:
        """Present or not."""
        if importlib.util.find_spec("embreex") is None:
            return Availability(
                available=False, detail="embreex is not installed.", remedy="pip install embreex (x86-64 only)"
            )
        closest = warp_availability()
        return closest if not closest.available else Availability(available=True, detail=f"embree {version('embreex')}")

    def scene(
        self, positions_m: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]
    ) -> "EmbreeScene":
        """Build the hierarchy; needs at least one triangle and finite corners."""
        positions_m, faces = checked_triangles(positions_m, faces)
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene as NativeScene

        native = NativeScene(robust=True)
        TriangleMesh(native, positions_m, faces)
        nowhere = np.zeros((1, 3), np.float32)
        native.run(nowhere, nowhere + 1)  # the first query builds the hierarchy, and must not do so in two threads
        return EmbreeScene(native=native, positions_m=positions_m, triangles=faces)


@dataclass(frozen=True, eq=False)
class EmbreeScene:
    """One committed scene."""

    native: Any
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
        count = len(rays.origins_m)
        faces = np.full(count, -1, np.int32)
        weights = np.zeros((count, 3), np.float32)
        distances = np.full(count, np.inf, np.float32)

        def cast(block: slice) -> None:
            far = np.full(block.stop - block.start, min(max_distance_m, FAR), np.float32)
            found = self.native.run(rays.origins_m[block], rays.directions[block], dists=far, output=True)
            hit = (found["primID"] >= 0) & rays.usable[block]
            second, third = np.clip(found["u"], 0.0, 1.0), np.clip(found["v"], 0.0, 1.0)
            corners = np.stack([np.maximum(1.0 - second - third, 0.0), second, third], axis=1)
            faces[block] = np.where(hit, found["primID"], -1)
            weights[block] = np.where(hit[:, None], corners / corners.sum(axis=1, keepdims=True), 0.0)
            distances[block] = np.where(hit, found["tfar"], np.inf)

        over_blocks(cast, count)
        return RayHits(faces=faces, barycentrics=weights, distances_m=distances)

    def occluded(
        self,
        origins_m: Float32[np.ndarray, "rays 3"],
        directions: Float32[np.ndarray, "rays 3"],
        max_distance_m: float = float("inf"),
    ) -> Bool[np.ndarray, "rays"]:
        """Whether anything lies along each ray within the distance."""
        rays = prepared_rays(origins_m, directions)
        hit = np.zeros(len(rays.origins_m), np.bool_)

        def cast(block: slice) -> None:
            far = np.full(block.stop - block.start, min(max_distance_m, FAR), np.float32)
            found = self.native.run(rays.origins_m[block], rays.directions[block], dists=far, query="OCCLUDED")
            hit[block] = (found != -1) & rays.usable[block]

        over_blocks(cast, len(hit))
        return hit

    def nearest(self, points_m: Float32[np.ndarray, "points 3"]) -> NearestPlaces:
        """Closest place on the surface to each point, by Warp."""
        return self._closest.nearest(points_m)

    @cached_property
    def _closest(self) -> WarpScene:
        return WarpRaycaster().scene(self.positions_m, self.triangles)
