"""Colours that steer decimation: what the surface field says at the vertices of the high poly."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from bridge_server.backends.mesh_filter.base import MeshFilter, Paint, PaintedFilter
from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import Run
from bridge_server.stages.shading import encode_srgb
from bridge_server.stages.surface_places import SceneLocate
from bridge_server.values.base import Notice
from bridge_server.values.mesh import HighPoly, Mesh


@dataclass(frozen=True, slots=True)
class ColourAware:
    """A mesh filter that knows the colours of one mesh, and decimates any other by shape alone."""

    inner: PaintedFilter
    mesh: Mesh
    paint: Paint

    @property
    def identity(self) -> str:
        """That of the filter inside."""
        return self.inner.identity

    def clean(self, mesh: Mesh, run: Run) -> Mesh:
        """As the filter inside."""
        return self.inner.clean(mesh, run)

    def decimate(self, mesh: Mesh, triangle_count: int, run: Run) -> Mesh:
        """With the colours where the mesh is the painted one."""
        return self.inner.decimate(mesh, triangle_count, run, self.paint if mesh is self.mesh else None)


def colour_aware(
    mesh_filter: MeshFilter, raycaster: Raycaster, high_poly: HighPoly, weight: float, notices: list[Notice]
) -> MeshFilter:
    """The filter with the colours of the high poly; as it is, with a notice, where it cannot use them."""
    if not isinstance(mesh_filter, PaintedFilter):
        message = f"The filter {mesh_filter.identity} knows no colours; decimate.attribute_weight did nothing."
        remedy = "Choose the backend mesh_filter=quadric, and decimate.quality=final."
        notices.append(Notice(code="decimate_without_colours", message=message, remedy=remedy))
        return mesh_filter
    return ColourAware(mesh_filter, high_poly.mesh, Paint(looks_at_vertices(high_poly, raycaster), weight))


def looks_at_vertices(high_poly: HighPoly, raycaster: Raycaster) -> Float32[np.ndarray, "vertices 5"]:
    """Base colour as sRGB encodes it, metallic and roughness."""
    sample = high_poly.field.sample(high_poly.mesh.positions_m, SceneLocate(raycaster))
    colour = encode_srgb(sample.base_color) / np.float32(255.0)
    return np.concatenate([colour, sample.metallic[:, None], sample.roughness[:, None]], axis=1).astype(np.float32)
