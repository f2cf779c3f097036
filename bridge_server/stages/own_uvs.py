"""A low poly whose own texture coordinates and normals are kept: made ready to be baked to.

The frames are those that an engine will rebuild from the same file: its normals, or, where it has none, normals
that are smooth up to edges sharper than an angle at the borders of its charts; tangents by MikkTSpace.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from bridge_server.errors import InputError
from bridge_server.run import PartialRun, Run
from bridge_server.stages.corner_normals import HARD_EDGE_DEG, corner_normals, hard_half_edges
from bridge_server.stages.load_mesh import read_surface, usable_faces, welded_surface
from bridge_server.stages.load_mesh_formats import RawSurface
from bridge_server.stages.tangent_frames import mikktspace_tangents, split_by_tangent
from bridge_server.stages.unwrap_measures import atlas_figures, least_gap_px
from bridge_server.values.base import Notice
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh import Mesh, UnwrappedMesh
from bridge_server.values.mesh_topology import face_areas, face_components
from bridge_server.values.source import MeshSource
from bridge_server.values.texel_grid import cover_centers, overlap_count

BORDER_TOLERANCE = 1e-3
"""So far outside the unit square coordinates are taken for rounding, and clipped."""
MOST_BARE = 0.01
"""Share of the surface that may have no area in the map; beyond it the mesh is refused."""
MOST_OVERLAP = 0.001
"""Share of covered texels that may lie under more than one triangle; beyond it the mesh is refused."""
UNWRAP_REMEDY = "Unwrap it in your 3D program, or let it be unwrapped here (forge bake --unwrap)."


@dataclass(frozen=True, slots=True)
class _Surface:
    """Welded triangles with what the file says at their corners."""

    mesh: Mesh
    uvs: Float32[np.ndarray, "faces 3 2"]
    normals: Float32[np.ndarray, "faces 3 3"] | None


def mesh_with_own_uvs(source: MeshSource, resolution_px: int, run: Run) -> UnwrappedMesh:
    """Read a mesh file and keep its first set of texture coordinates.

    Raises ``InputError`` where the file cannot be read, has no coordinates on more than a hundredth of its surface,
    has some outside the unit square, or has triangles that overlap in the map; the message gives the share.
    """
    notices: list[Notice] = []
    surface = _read(source, notices, PartialRun(run, 0.0, 0.5))
    run.checkpoint(0.5, "looking at the coordinates")
    corners, charts, uvs = _atlas(surface.uvs)
    _refuse_unusable(source.name, surface)
    _refuse_overlap(source.name, uvs, corners, resolution_px, notices)
    run.checkpoint(0.7, "tangent frames")
    mesh = surface.mesh
    normals = surface.normals if surface.normals is not None else _smoothed(mesh, charts)
    vertices, faces = _vertices(mesh.faces, surface.uvs, normals)
    points = mesh.faces.reshape(-1)[vertices]
    own_uvs, own_normals = surface.uvs.reshape(-1, 2)[vertices], normals.reshape(-1, 3)[vertices]
    split = split_by_tangent(faces, mikktspace_tangents(mesh.positions_m[points], own_normals, own_uvs, faces))
    points = points[split.vertices]
    run.checkpoint(0.9, "measuring the atlas")
    figures = atlas_figures(mesh.positions_m[mesh.faces], surface.uvs, charts, resolution_px)
    return UnwrappedMesh(
        notices=tuple(notices),
        positions_m=mesh.positions_m[points],
        normals=own_normals[split.vertices],
        tangents=split.tangents,
        uvs=own_uvs[split.vertices],
        faces=split.faces,
        charts=charts,
        welded=np.unique(points, return_inverse=True)[1].reshape(-1).astype(np.int32),
        padding_px=least_gap_px(uvs, corners, charts, resolution_px),
        atlas_px=resolution_px,
        texel_density_px_per_m=figures.texel_density_px_per_m,
        texel_density_spread=figures.texel_density_spread,
        packing_efficiency=figures.packing_efficiency,
        stretch=figures.stretch,
        method="own",
    )


def _read(source: MeshSource, notices: list[Notice], run: Run) -> _Surface:
    raw = read_surface(source, run)
    notices += raw.notices
    mesh, rows = welded_surface(source.name, raw, raw.positions, usable_faces(source.name, raw, notices), notices)
    if raw.corner_uvs is None:
        raise InputError(
            "it has no texture coordinates.", subject=source.name, remedy=UNWRAP_REMEDY, reason="MESH_NO_UVS"
        )
    uvs = raw.corner_uvs[rows]
    if not np.isfinite(uvs).all():
        message = "it has texture coordinates that are not finite numbers."
        raise InputError(message, subject=source.name, remedy=UNWRAP_REMEDY, reason="MESH_UVS_NOT_FINITE")
    outside = ((uvs < -BORDER_TOLERANCE) | (uvs > 1.0 + BORDER_TOLERANCE)).any(axis=(1, 2))
    if outside.any():
        raise InputError(
            f"{outside.mean():.1%} of its triangles have texture coordinates outside the unit square.",
            subject=source.name,
            remedy=f"Tiled and UDIM layouts cannot be baked to. {UNWRAP_REMEDY}",
            reason="MESH_UVS_OUTSIDE",
        )
    return _Surface(mesh, np.clip(uvs, 0.0, 1.0).astype(np.float32), _file_normals(raw, mesh, rows))


def _file_normals(
    raw: RawSurface, mesh: Mesh, rows: Int64[np.ndarray, "faces"]
) -> Float32[np.ndarray, "faces 3 3"] | None:
    """Unit normals of the file; smoothed ones at corners where it has none of any length."""
    if raw.corner_normals is None:
        return None
    normals: Float64[np.ndarray, "faces 3 3"] = np.nan_to_num(raw.corner_normals[rows])
    length = np.linalg.norm(normals, axis=2, keepdims=True)
    smooth = corner_normals(mesh, np.zeros(mesh.faces.size, np.bool_))
    return np.divide(normals, length, out=smooth.astype(np.float64), where=length > 1e-12).astype(np.float32)


def _atlas(
    uvs: Float32[np.ndarray, "faces 3 2"],
) -> tuple[Int32[np.ndarray, "faces 3"], Int32[np.ndarray, "faces"], Float32[np.ndarray, "points 2"]]:
    """Corners as indices of distinct places in the map, charts that hang together there, and the places."""
    flat = np.ascontiguousarray(uvs.reshape(-1, 2) + np.float32(0.0))
    _, first, inverse = np.unique(flat.view("V8").reshape(-1), return_index=True, return_inverse=True)
    corners = inverse.reshape(-1, 3).astype(np.int32)
    return corners, face_components(corners).astype(np.int32), flat[first]


def _refuse_unusable(name: str, surface: _Surface) -> None:
    along, other = surface.uvs[:, 1] - surface.uvs[:, 0], surface.uvs[:, 2] - surface.uvs[:, 0]
    bare = along[:, 0] * other[:, 1] == along[:, 1] * other[:, 0]
    areas = face_areas(surface.mesh)
    share = float(areas[bare].sum() / areas.sum())
    if share > MOST_BARE:
        raise InputError(
            f"{share:.1%} of its surface has no place in the map.",
            subject=name,
            remedy=UNWRAP_REMEDY,
            reason="MESH_NO_UVS",
        )


def _refuse_overlap(
    name: str,
    uvs: Float32[np.ndarray, "points 2"],
    corners: Int32[np.ndarray, "faces 3"],
    resolution_px: int,
    notices: list[Notice],
) -> None:
    shared = overlap_count(uvs, corners, resolution_px)
    if not shared:
        return
    covered = np.zeros(resolution_px * resolution_px, np.bool_)
    for cells in cover_centers(uvs, corners, resolution_px):
        covered[cells.index] = True
    share = shared / max(int(covered.sum()), 1)
    told = f"{share:.2%} of the texels that it covers lie under more than one triangle"
    if share > MOST_OVERLAP:
        message = f"its texture coordinates overlap: {told}."
        raise InputError(message, subject=name, remedy=UNWRAP_REMEDY, reason="MESH_UVS_OVERLAP")
    notices.append(Notice(code="uvs_overlap", message=f"{name}: {told}; one of them is baked."))


def _smoothed(mesh: Mesh, charts: Int32[np.ndarray, "faces"]) -> Float32[np.ndarray, "faces 3 3"]:
    opposite = opposite_half_edges(mesh.faces)
    face = np.arange(len(opposite)) // 3
    borders = charts[face] != charts[np.maximum(opposite, 0) // 3]
    return corner_normals(mesh, hard_half_edges(mesh, HARD_EDGE_DEG) & borders)


def _vertices(
    faces: Int32[np.ndarray, "faces 3"],
    uvs: Float32[np.ndarray, "faces 3 2"],
    normals: Float32[np.ndarray, "faces 3 3"],
) -> tuple[Int64[np.ndarray, "vertices"], Int32[np.ndarray, "faces 3"]]:
    """One vertex for each corner that differs in place, coordinate or normal: the corner it stands for, and faces."""
    keys = np.empty(faces.size, dtype=[("point", np.int32), ("uv", np.void, 8), ("normal", np.void, 12)])
    keys["point"] = faces.reshape(-1)
    keys["uv"] = np.ascontiguousarray(uvs.reshape(-1, 2) + np.float32(0.0)).view("V8").reshape(-1)
    keys["normal"] = np.ascontiguousarray(normals.reshape(-1, 3) + np.float32(0.0)).view("V12").reshape(-1)
    _, first, inverse = np.unique(keys.view("V24"), return_index=True, return_inverse=True)
    return first, inverse.reshape(-1, 3).astype(np.int32)
