"""Ray casting and closest-point queries against triangle meshes."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32, Int32

from bridge_server.backends.table import BackendKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RayHits:
    """First hit of each ray; ``faces`` is -1 and ``distances_m`` infinite where there is none."""

    faces: Int32[np.ndarray, "rays"]
    barycentrics: Float32[np.ndarray, "rays 3"]
    """Weights of the three corners; they sum to 1."""
    distances_m: Float32[np.ndarray, "rays"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NearestPlaces:
    """Closest place on the mesh to each point."""

    faces: Int32[np.ndarray, "points"]
    barycentrics: Float32[np.ndarray, "points 3"]
    distances_m: Float32[np.ndarray, "points"]


class RayScene(Protocol):
    """A mesh made ready for queries. Safe to query from several threads at once."""

    def first_hits(
        self,
        origins_m: Float32[np.ndarray, "rays 3"],
        directions: Float32[np.ndarray, "rays 3"],
        max_distance_m: float = float("inf"),
    ) -> RayHits:
        """First triangle along each ray, either side of it. Directions need not be unit; distances are metres."""

    def occluded(
        self,
        origins_m: Float32[np.ndarray, "rays 3"],
        directions: Float32[np.ndarray, "rays 3"],
        max_distance_m: float = float("inf"),
    ) -> Bool[np.ndarray, "rays"]:
        """Whether anything lies along each ray within the distance."""

    def nearest(self, points_m: Float32[np.ndarray, "points 3"]) -> NearestPlaces:
        """Closest place on the surface to each point."""


class Raycaster(Protocol):
    """Builds scenes."""

    @property
    def identity(self) -> str:
        """Name and version, for the cache key."""

    def scene(self, positions_m: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]) -> RayScene:
        """Build the acceleration structure."""


RAYCASTERS: BackendKind[Raycaster] = BackendKind(
    name="raycaster",
    table={
        "embree": "bridge_server.backends.raycaster.embree:EmbreeRaycaster",
        "warp": "bridge_server.backends.raycaster.warp:WarpRaycaster",
    },
    entry_point_group="open3dforge.raycasters",
)
