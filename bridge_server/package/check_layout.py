"""The UV layout of a file that was read, in the form in which the checklist judges layouts."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from bridge_server.stages.load_mesh_formats import RawSurface
from bridge_server.stages.unwrap_measures import atlas_figures
from bridge_server.values.mesh import Mesh, UnwrappedMesh, vertex_normals
from bridge_server.values.mesh_topology import face_components

ASSUMED_PX = 2048
"""Size for which density is told where the file brings no texture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UvLayout:
    """Charts are what hangs together in the texture."""

    unwrapped: UnwrappedMesh
    chart_count: int


def uv_layout(raw: RawSurface, mesh: Mesh, rows: Int64[np.ndarray, "faces"], light_map_px: int = 0) -> UvLayout | None:
    """Of the first coordinate set; None where the file has none, or all of it lies in one point.

    The second set comes along where ``light_map_px`` says that it is for baked light.
    """
    if raw.corner_uvs is None:
        return None
    corner_uvs = np.nan_to_num(raw.corner_uvs[rows]).astype(np.float32)
    if float(np.ptp(corner_uvs.reshape(-1, 2), axis=0).max()) <= 0.0:
        return None
    sets = [corner_uvs.reshape(-1, 2)]
    if light_map_px and raw.second_uvs is not None:
        sets.append(raw.second_uvs[rows].astype(np.float32).reshape(-1, 2))
    places = [np.round(np.nan_to_num(uvs).astype(np.float64), 6) for uvs in sets]
    wedges = np.column_stack([mesh.faces.reshape(-1), *places])
    _, first, owner = np.unique(wedges, axis=0, return_index=True, return_inverse=True)
    faces = owner.reshape(-1, 3).astype(np.int32)
    vertices = mesh.faces.reshape(-1)[first]
    uvs = corner_uvs.reshape(-1, 2)[first]
    charts = face_components(faces).astype(np.int32)
    images = [material.base_color_image for material in raw.materials if material.base_color_image is not None]
    atlas_px = max((max(image.pixels.shape[:2]) for image in images), default=ASSUMED_PX)
    figures = atlas_figures(mesh.positions_m[mesh.faces], uvs[faces], charts, atlas_px)
    unwrapped = UnwrappedMesh(
        positions_m=mesh.positions_m[vertices],
        normals=vertex_normals(mesh)[vertices],
        tangents=np.tile(np.array([1.0, 0.0, 0.0, 1.0], np.float32), (len(vertices), 1)),
        uvs=uvs,
        faces=faces,
        charts=charts,
        welded=np.unique(vertices, return_inverse=True)[1].reshape(-1).astype(np.int32),
        padding_px=0,
        atlas_px=atlas_px,
        texel_density_px_per_m=figures.texel_density_px_per_m,
        texel_density_spread=figures.texel_density_spread,
        packing_efficiency=figures.packing_efficiency,
        stretch=figures.stretch,
        method="file",
        lightmap_uvs=sets[1][first] if len(sets) > 1 else None,
        lightmap_px=light_map_px if len(sets) > 1 else 0,
    )
    return UvLayout(unwrapped=unwrapped, chart_count=int(charts.max(initial=-1)) + 1)
