"""Where on a mesh its texture coordinates lie."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from bridge_server.backends.raycaster.base import NearestPlaces, Raycaster, RayScene
from bridge_server.values.mesh import UnwrappedMesh

LAYER = 4.0
"""Charts lie so far apart when a place is sought by its texture coordinates: farther than any two places of one."""


@dataclass(frozen=True, slots=True, eq=False)
class TexturePlaces:
    """The charts of a mesh one above the other, made ready for queries."""

    mesh: UnwrappedMesh
    charts: Int32[np.ndarray, "vertices"]
    scene: RayScene

    @classmethod
    def of(cls, raycaster: Raycaster, mesh: UnwrappedMesh) -> "TexturePlaces":
        """May be asked from several threads."""
        charts = mesh.charts_of_vertices()
        layers = np.concatenate([mesh.uvs, LAYER * charts[:, None]], axis=1).astype(np.float32)
        scene = raycaster.scene(layers, mesh.faces)
        scene.nearest(layers[:1])  # what is built at the first question is not to be built in several threads
        return cls(mesh, charts, scene)

    def nearest(self, uvs: np.ndarray, charts: Int32[np.ndarray, "places"]) -> NearestPlaces:
        """The places that texture coordinates mean, or the nearest of the same chart on the texture."""
        return self.scene.nearest(np.concatenate([uvs, LAYER * charts[:, None]], axis=1).astype(np.float32))
