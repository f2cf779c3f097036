"""The input's own texture coordinates on the low poly: found again, judged, and kept where they are good.

They can be kept where the low poly still has the triangles of the input, which is so when nothing had to be decimated.
"""

import enum
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from bridge_server.backends.unwrapper.base import Atlas
from bridge_server.stages.unwrap_measures import atlas_figures, least_gap_px
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import face_areas, face_components
from bridge_server.values.surface import SurfaceField
from bridge_server.values.surface_texture import TextureField
from bridge_server.values.texel_grid import cover_centers, overlap_count

BORDER_TOLERANCE = 1e-3
"""So far outside the unit square coordinates are taken for rounding, and clipped."""
MOST_BARE = 0.01
"""Share of the surface that may have no area in the map."""
MOST_OVERLAP = 0.001
"""Share of covered texels that may lie under more than one triangle."""
LEAST_GAP_PX, LEAST_EFFICIENCY, MOST_STRETCH, MOST_SPREAD = 2, 0.25, 1.5, 0.5
"""Good coordinates keep charts so far apart, cover so much of the square, and stretch and vary no more than this."""


class KeepUvs(enum.StrEnum):
    """Whether texture coordinates of the input stay."""

    AUTO = "auto"
    """Where the triangles are still those of the input and their coordinates are good."""
    NEVER = "never"
    ALWAYS = "always"
    """Wherever they can be baked to, good or not."""


@dataclass(frozen=True, slots=True)
class OwnUvs:
    """What became of the input's coordinates."""

    atlas: Atlas | None
    """None where they cannot serve."""
    objection: str = ""
    """Why they cannot serve, or, with an atlas, why they are not good; empty where they are."""
    wanted: bool = True
    """False where the input had none on these triangles, so that nobody misses them."""


def uvs_of_input(mesh: Mesh, field: SurfaceField, resolution_px: int) -> OwnUvs:
    """Look for the triangles of ``mesh`` in the field and judge their coordinates."""
    if not isinstance(field, TextureField) or not field.corner_uvs.any():
        return OwnUvs(atlas=None, objection="the input has no texture coordinates", wanted=False)
    corners = _found_again(mesh, field)
    if corners is None:
        return OwnUvs(atlas=None, objection="the triangles are no longer those of the input", wanted=False)
    uvs = corners
    if not np.isfinite(uvs).all():
        return OwnUvs(atlas=None, objection="some are not finite numbers")
    if (uvs < -BORDER_TOLERANCE).any() or (uvs > 1.0 + BORDER_TOLERANCE).any():
        return OwnUvs(atlas=None, objection="some lie outside the unit square")
    uvs = np.clip(uvs, 0.0, 1.0).astype(np.float32)
    atlas = _atlas_of(mesh, uvs)
    unusable = _unusable(mesh, atlas, resolution_px)
    if unusable:
        return OwnUvs(atlas=None, objection=unusable)
    return OwnUvs(atlas=atlas, objection=_not_good(mesh, atlas, resolution_px))


def _found_again(mesh: Mesh, field: TextureField) -> Float32[np.ndarray, "faces 3 2"] | None:
    """Coordinates at the corners of the mesh; None where one of its triangles with an area is not in the field."""
    places = np.concatenate([field.positions_m, mesh.positions_m]) + np.float32(0.0)
    point = np.unique(np.ascontiguousarray(places).view("V12").reshape(-1), return_inverse=True)[1].reshape(-1)
    theirs, ours = point[field.faces], point[mesh.faces + len(field.positions_m)]
    their_order, our_order = np.argsort(theirs, axis=1), np.argsort(ours, axis=1)
    rows = np.concatenate([np.take_along_axis(theirs, their_order, 1), np.take_along_axis(ours, our_order, 1)])
    _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    match = first[group.reshape(-1)[len(theirs) :]]
    lost = match >= len(theirs)
    if bool((lost & (face_areas(mesh) > 0.0)).any()):
        return None
    match = np.where(lost, 0, match)
    uvs = np.empty((len(ours), 3, 2), np.float32)
    faces: Int64[np.ndarray, "faces"] = np.arange(len(ours))
    for k in range(3):
        uvs[faces, our_order[:, k]] = field.corner_uvs[match, their_order[match, k]]
    uvs[lost] = 0.0
    return uvs


def _atlas_of(mesh: Mesh, uvs: Float32[np.ndarray, "faces 3 2"]) -> Atlas:
    """One vertex for each point and place in the map; charts hang together in both."""
    keys = np.empty(mesh.faces.size, dtype=[("point", np.int32), ("uv", np.void, 8)])
    keys["point"] = mesh.faces.reshape(-1)
    keys["uv"] = np.ascontiguousarray(uvs.reshape(-1, 2) + np.float32(0.0)).view("V8").reshape(-1)
    _, first, inverse = np.unique(keys.view("V12"), return_index=True, return_inverse=True)
    faces: Int32[np.ndarray, "faces 3"] = inverse.reshape(-1, 3).astype(np.int32)
    return Atlas(
        vertices=mesh.faces.reshape(-1)[first],
        faces=faces,
        uvs=uvs.reshape(-1, 2)[first],
        charts=np.unique(face_components(faces), return_inverse=True)[1].reshape(-1).astype(np.int32),
        method="own",
    )


def _unusable(mesh: Mesh, atlas: Atlas, resolution_px: int) -> str:
    """Why nothing can be baked to these coordinates; empty where it can."""
    corners: Float64[np.ndarray, "faces 3 2"] = atlas.uvs.astype(np.float64)[atlas.faces]
    areas = face_areas(mesh)
    bare = float(areas[np.linalg.det(corners[:, 1:] - corners[:, :1]) == 0.0].sum() / max(areas.sum(), 1e-300))
    if bare > MOST_BARE:
        return f"{bare:.1%} of the surface has no place in the map"
    shared = overlap_count(atlas.uvs, atlas.faces, resolution_px)
    covered = np.zeros(resolution_px * resolution_px, np.bool_)
    for cells in cover_centers(atlas.uvs, atlas.faces, resolution_px):
        covered[cells.index] = True
    share = shared / max(int(covered.sum()), 1)
    return f"{share:.2%} of the texels lie under more than one triangle" if share > MOST_OVERLAP else ""


def _not_good(mesh: Mesh, atlas: Atlas, resolution_px: int) -> str:
    """Why a new unwrap is likely better; empty where it is not."""
    figures = atlas_figures(mesh.positions_m[mesh.faces], atlas.uvs[atlas.faces], atlas.charts, resolution_px)
    gap = least_gap_px(atlas.uvs, atlas.faces, atlas.charts, resolution_px)
    if gap < LEAST_GAP_PX:
        return f"charts are only {gap} texels apart at {resolution_px} px"
    if figures.packing_efficiency < LEAST_EFFICIENCY:
        return f"they cover only {figures.packing_efficiency:.0%} of the map"
    if figures.stretch > MOST_STRETCH:
        return f"their stretch is {figures.stretch:.2f}"
    if figures.texel_density_spread > MOST_SPREAD:
        return f"their texel density varies by {figures.texel_density_spread:.0%}"
    return ""
