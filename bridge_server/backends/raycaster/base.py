"""Ray casting and closest-point queries against triangle meshes."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32

from bridge_server.backends.table import BackendKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RayHits:
    """First hit of each ray; ``faces`` is -1 and ``distances_m`` infinite where there is none."""

    faces: Int32[np.ndarray, "rays"]
    barycentrics: Float32[np.ndarray, "rays 3"]
    """Weights of the three corners; they sum to 1."""
    distances_m: Float32[np.ndarray, "rays"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FacingHits:
    """The nearest surface that faces a direction, for each point; as ``RayHits`` where there is none."""

    faces: Int32[np.ndarray, "points"]
    barycentrics: Float32[np.ndarray, "points 3"]
    distances_m: Float32[np.ndarray, "points"]
    covered: Bool[np.ndarray, "points"]
    """Whether something else lies farther out, within the cage, whichever way it faces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearestPlaces:
    """Closest place on the mesh to each point."""

    faces: Int32[np.ndarray, "points"]
    barycentrics: Float32[np.ndarray, "points 3"]
    distances_m: Float32[np.ndarray, "points"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookouts:
    """Points that look out over a hemisphere, each with a set of directions about +Z that is turned to its normal."""

    points_m: Float32[np.ndarray, "points 3"]
    normals: Float32[np.ndarray, "points 3"]
    """Unit length."""
    face_normals: Float32[np.ndarray, "points 3"]
    """Unit length. Rays start off the face, and those that dip below it do not count."""
    turns: Float64[np.ndarray, "points"]
    """Angle in radians by which the set is turned about the normal."""
    chosen: Int32[np.ndarray, "points"]
    """Which set."""


class CastsRays(Protocol):
    """The two plain questions. Safe to ask from several threads at once."""

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


class RayScene(CastsRays, Protocol):
    """A mesh made ready for queries. Safe to query from several threads at once.

    What bakes ask for every texel is a question of its own, so that compiled code can answer it without a stop between
    two rays; ``by_casting`` says in NumPy what the answers are.
    """

    def facing_hits(
        self,
        points_m: Float32[np.ndarray, "points 3"],
        outward: Float32[np.ndarray, "points 3"],
        cage_m: float,
    ) -> FacingHits:
        """Of the surfaces that face outward the nearest to each point along that direction, to either side.

        Directions are of unit length; a point whose direction is zero finds nothing.
        Nothing farther from the point than the cage counts. Surfaces that face away are passed, so that the far side
        of a thin wall is never taken. Distances are from the point and positive on both sides.
        """

    def openness(
        self, sets: Float32[np.ndarray, "sets samples 3"], lookouts: Lookouts, start_m: float, reach_m: float
    ) -> Float32[np.ndarray, "points"]:
        """Share of each point's directions that meet nothing within reach; 1 where all of them dip below the face."""

    def nearest(self, points_m: Float32[np.ndarray, "points 3"]) -> NearestPlaces:
        """Closest place on the surface to each point."""


class Raycaster(Protocol):
    """Builds scenes."""

    @property
    def identity(self) -> str:
        """Name and version, for the cache key."""

    def scene(
        self,
        positions_m: Float32[np.ndarray, "vertices 3"],
        faces: Int32[np.ndarray, "faces 3"],
        *,
        approximate: bool = False,
    ) -> RayScene:
        """Build the acceleration structure.

        An approximate one may now and then let a ray slip between two triangles that share an edge. It is for means
        over many rays, and does no more than the exact one unless that makes it faster.
        """


RAYCASTERS: BackendKind[Raycaster] = BackendKind(
    name="raycaster",
    table={
        "embree": "bridge_server.backends.raycaster.embree:EmbreeRaycaster",
        "warp": "bridge_server.backends.raycaster.warp:WarpRaycaster",
    },
    entry_point_group="open3dforge.raycasters",
)
