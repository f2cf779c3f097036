"""Surface field made of pictures that look at a mesh: photo resolution, however coarse the mesh is."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.values.surface import Locate, SurfaceField, SurfaceSample
from bridge_server.values.surface_texture import SRGB_TO_LINEAR, TextureImage, bilinear


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectedField(SurfaceField):
    """Each vertex knows where each picture shows it and how much that picture counts there; faces interpolate both.

    Weights of a vertex sum to at most 1; what is missing is made up by ``fill_color``, for places no picture shows.
    """

    positions_m: Float32[np.ndarray, "vertices 3"]
    faces: Int32[np.ndarray, "faces 3"]
    pictures: tuple[TextureImage, ...]
    """sRGB, three channels, clamped at their borders."""
    uvs: Float32[np.ndarray, "pictures vertices 2"]
    weights: Float32[np.ndarray, "pictures vertices"]
    fill_color: Float32[np.ndarray, "vertices 3"]
    """Linear light."""
    metallic: float = 0.0
    roughness: float = 0.6

    def sample(self, points_m: Float32[np.ndarray, "points 3"], locate: Locate) -> SurfaceSample:
        """Read the pictures at the place nearest to each point."""
        places = locate(self.positions_m, self.faces, points_m)
        corners = self.faces[places.faces]
        barycentrics = places.barycentrics
        count = len(points_m)
        color = np.zeros((count, 3), np.float32)
        missing = np.ones(count, np.float32)
        for picture, uvs, weights in zip(self.pictures, self.uvs, self.weights, strict=True):
            weight = np.einsum("pc,pc->p", barycentrics, weights[corners]).astype(np.float32)
            seen = np.flatnonzero(weight > 1e-4)
            uv = np.einsum("pc,pcd->pd", barycentrics[seen].astype(np.float64), uvs[corners[seen]].astype(np.float64))
            color[seen] += weight[seen, None] * bilinear(picture, uv, SRGB_TO_LINEAR)[:, :3]
            missing[seen] -= weight[seen]
        fill = np.einsum("pc,pcd->pd", barycentrics, self.fill_color[corners])
        color += np.maximum(missing, 0.0)[:, None] * fill
        return SurfaceSample(
            base_color=np.clip(color, 0.0, 1.0).astype(np.float32),
            metallic=np.full(count, self.metallic, np.float32),
            roughness=np.full(count, self.roughness, np.float32),
            opacity=np.ones(count, np.float32),
            emissive=np.zeros((count, 3), np.float32),
        )
