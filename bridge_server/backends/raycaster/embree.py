"""Ray casting by Intel Embree on the CPU, called from compiled kernels (benchmarks/raycasters.py says how fast).

Rays run through the robust traversal, unless an approximate scene is asked for: it lets none slip between two triangles
that share an edge; under one in a hundred of those aimed exactly at a vertex still passes (single precision). Occlusion
without it takes about a sixth less of the processor. Closest points are Warp's, whose hierarchy
is built on the first such call.
"""

from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from types import ModuleType

import numpy as np
from jaxtyping import Bool, Float32, Int32

from bridge_server.backends.raycaster.base import FacingHits, Lookouts, NearestPlaces, RayHits
from bridge_server.backends.raycaster.embree_library import CommittedScene, Embree, embree, library_path
from bridge_server.backends.raycaster.launching import FAR, Launcher, facing_hits_of, hits_of, occluded_of, openness_of
from bridge_server.backends.raycaster.rays import checked_points, checked_triangles
from bridge_server.backends.raycaster.warp import WarpRaycaster, WarpScene, start_warp, warp_availability
from bridge_server.backends.table import Availability


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
        if library_path() is None:
            return Availability(
                available=False, detail="embreex is not installed.", remedy="pip install embreex (x86-64 only)"
            )
        closest = warp_availability()
        return closest if not closest.available else Availability(available=True, detail=f"embree {version('embreex')}")

    def scene(
        self,
        positions_m: Float32[np.ndarray, "vertices 3"],
        faces: Int32[np.ndarray, "faces 3"],
        *,
        approximate: bool = False,
    ) -> "EmbreeScene":
        """Build the hierarchy; needs at least one triangle and finite corners."""
        positions_m, faces = checked_triangles(positions_m, faces)
        library = embree()
        kernels = load_kernels()
        launch = Launcher(kernels, kernels.wp.get_device("cpu"))
        scene = library.scene(positions_m, faces, robust=not approximate)
        return EmbreeScene(embree=library, committed=scene, launch=launch, positions_m=positions_m, triangles=faces)


@dataclass(frozen=True, eq=False)
class EmbreeScene:
    """One committed scene."""

    embree: Embree
    committed: CommittedScene
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
        asked = (self.embree.intersect, self.committed.address, min(max_distance_m, FAR))
        return hits_of(self.launch, "first_hits", asked, (origins_m, directions))

    def occluded(
        self,
        origins_m: Float32[np.ndarray, "rays 3"],
        directions: Float32[np.ndarray, "rays 3"],
        max_distance_m: float = float("inf"),
    ) -> Bool[np.ndarray, "rays"]:
        """Whether anything lies along each ray within the distance."""
        asked = (self.embree.occluded, self.committed.address, min(max_distance_m, FAR))
        return occluded_of(self.launch, asked, (origins_m, directions))

    def facing_hits(
        self, points_m: Float32[np.ndarray, "points 3"], outward: Float32[np.ndarray, "points 3"], cage_m: float
    ) -> FacingHits:
        """The nearest surface along a direction, to either side, that faces that way."""
        asked = (self.embree.intersect_packet, self.committed.address, int(self.embree.wide), cage_m)
        return facing_hits_of(self.launch, asked, (points_m, outward), 16 if self.embree.wide else 8)

    def openness(
        self, sets: Float32[np.ndarray, "sets samples 3"], lookouts: Lookouts, start_m: float, reach_m: float
    ) -> Float32[np.ndarray, "points"]:
        """Share of directions that meet nothing within reach."""
        embree = self.embree
        asked = (embree.occluded_packet, self.committed.address, int(embree.wide), min(reach_m, FAR), start_m)
        return openness_of(self.launch, asked, sets, lookouts)

    def nearest(self, points_m: Float32[np.ndarray, "points 3"]) -> NearestPlaces:
        """Closest place on the surface to each point, by Warp."""
        return self._closest.nearest(checked_points(points_m))

    @cached_property
    def _closest(self) -> WarpScene:
        return WarpRaycaster().scene(self.positions_m, self.triangles)


def load_kernels() -> ModuleType:
    """The kernels that call Embree, compiled if they have to be."""
    wp = start_warp()
    from bridge_server.backends.raycaster import embree_kernels

    wp.load_module(embree_kernels, device="cpu")
    return embree_kernels
