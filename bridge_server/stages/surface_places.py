"""Nearest places on the mesh that a surface field hangs on, with one ray scene for each mesh."""

import threading
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.backends.raycaster.base import Raycaster, RayScene
from bridge_server.values.surface import SurfacePlaces


@dataclass(frozen=True, slots=True, eq=False)
class SceneLocate:
    """A ``Locate`` for the duration of one stage: builds the scene of a mesh once, from whatever thread asks first."""

    raycaster: Raycaster
    scenes: list[tuple[Float32[np.ndarray, "vertices 3"], RayScene]] = field(default_factory=list, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(
        self,
        positions_m: Float32[np.ndarray, "vertices 3"],
        faces: Int32[np.ndarray, "faces 3"],
        points_m: Float32[np.ndarray, "points 3"],
    ) -> SurfacePlaces:
        """One place for each point."""
        with self.lock:
            scene = next((scene for known, scene in self.scenes if known is positions_m), None)
            if scene is None:
                scene = self.raycaster.scene(positions_m, faces)
                self.scenes.append((positions_m, scene))
        nearest = scene.nearest(points_m)
        return SurfacePlaces(faces=nearest.faces, barycentrics=nearest.barycentrics)
