"""The surface field: what colour and finish a point of the high poly has, whoever generated it.

A bake hands points to ``SurfaceField.sample`` and never learns which generator ran. Fields that hang on a mesh
(vertex colours, textures) find the nearest place on their own mesh through the ``Locate`` they are given; voxel
fields look their cells up.
"""

import abc
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.values.base import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceSample:
    """Material of each sampled point. Colours are linear light, not sRGB."""

    base_color: Float32[np.ndarray, "points 3"]
    metallic: Float32[np.ndarray, "points"]
    roughness: Float32[np.ndarray, "points"]
    opacity: Float32[np.ndarray, "points"]
    emissive: Float32[np.ndarray, "points 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfacePlaces:
    """Places on a mesh: a face, and weights of its three corners that sum to 1."""

    faces: Int32[np.ndarray, "points"]
    barycentrics: Float32[np.ndarray, "points 3"]


@runtime_checkable
class Locate(Protocol):
    """Finds, for each point, the nearest place on a mesh given by its arrays."""

    def __call__(
        self,
        positions_m: Float32[np.ndarray, "vertices 3"],
        faces: Int32[np.ndarray, "faces 3"],
        points_m: Float32[np.ndarray, "points 3"],
    ) -> SurfacePlaces:
        """One place for each point."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceField(Value, abc.ABC):
    """Material as a function of place."""

    @abc.abstractmethod
    def sample(self, points_m: Float32[np.ndarray, "points 3"], locate: Locate) -> SurfaceSample:
        """Material at each point; points off the surface take that of the nearest place on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VertexField(SurfaceField):
    """Attributes on the vertices of a mesh, interpolated over its faces."""

    positions_m: Float32[np.ndarray, "vertices 3"]
    faces: Int32[np.ndarray, "faces 3"]
    base_color: Float32[np.ndarray, "vertices 3"]
    """Linear light."""
    metallic: Float32[np.ndarray, "vertices"]
    roughness: Float32[np.ndarray, "vertices"]

    def sample(self, points_m: Float32[np.ndarray, "points 3"], locate: Locate) -> SurfaceSample:
        """Barycentric interpolation at the nearest place."""
        places = locate(self.positions_m, self.faces, points_m)
        corners = self.faces[places.faces]
        weights = places.barycentrics
        count = len(points_m)
        return SurfaceSample(
            base_color=np.einsum("pc,pcd->pd", weights, self.base_color[corners]).astype(np.float32),
            metallic=np.einsum("pc,pc->p", weights, self.metallic[corners]).astype(np.float32),
            roughness=np.einsum("pc,pc->p", weights, self.roughness[corners]).astype(np.float32),
            opacity=np.ones(count, np.float32),
            emissive=np.zeros((count, 3), np.float32),
        )
