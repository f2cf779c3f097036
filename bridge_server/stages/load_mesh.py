"""Stage ``load_mesh``: a mesh file that the user brought becomes a high poly with its colours."""

import enum
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64, Int64

from bridge_server.run import PartialRun, Run
from bridge_server.stages.load_mesh_fbx import read_fbx
from bridge_server.stages.load_mesh_formats import RawSurface, extension_of, refused
from bridge_server.stages.load_mesh_gltf import read_gltf
from bridge_server.stages.load_mesh_obj import read_obj
from bridge_server.stages.load_mesh_ply import read_ply
from bridge_server.stages.load_mesh_stl import read_stl
from bridge_server.stages.stage import Stage
from bridge_server.values.base import Notice, Severity
from bridge_server.values.mesh import HighPoly, Mesh
from bridge_server.values.mesh_topology import compacted, distinct_corners, face_areas, welded_nearby
from bridge_server.values.source import MeshSource
from bridge_server.values.surface_texture import TextureField

MAX_BROKEN_SHARE = 0.01
"""Faces at vertices that are not finite: up to this share they are dropped, beyond it the file is refused."""
MUCH_LOST = 0.1
"""Of the triangles; where so many have no area, something went wrong before."""
NEARER = "Take them away in your 3D program, or move the mesh to the origin if it lies far off, and export it again."
WELD_SHARE = 1e-6
"""Vertices closer than this share of the diagonal are one."""
LEAST_DIAGONAL_M, MOST_DIAGONAL_M = 1e-6, 1e9
FAR_AWAY = 1000.0
"""A mesh farther from the origin than so many diagonals is centred, because float32 would lose its detail."""


class UpAxis(enum.StrEnum):
    """Which axis of the file points up."""

    Y = "y"
    Z = "z"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadMesh(Stage):
    """Read a GLB, glTF, FBX, OBJ, PLY or STL file; it stays where it is.

    Numbers are taken as metres, but for FBX, which says its unit.
    """

    name: ClassVar[str] = "load_mesh"
    writes: ClassVar[str] = "high_poly"
    version: ClassVar[int] = 3
    up_axis: UpAxis = UpAxis.Y
    """``z`` turns a file of a Z-up program upright."""

    def __call__(self, run: Run, *, mesh_source: MeshSource) -> HighPoly:
        """Raises ``InputError`` where the file cannot be read or holds no usable surface."""
        raw = read_surface(mesh_source, PartialRun(run, 0.0, 0.7))
        notices = list(raw.notices)
        kept = without_collision(raw, usable_faces(mesh_source.name, raw, notices), notices)
        positions = raw.positions
        if self.up_axis is UpAxis.Z:
            positions = positions[:, [0, 2, 1]] * (1.0, 1.0, -1.0)
        run.checkpoint(0.75, "welding vertices")
        return high_poly_of(mesh_source.name, raw, positions, kept, notices)


def read_surface(source: MeshSource, run: Run) -> RawSurface:
    """Read by the extension of the name. Raises ``InputError``."""
    extension = extension_of(source.name)
    if not source.data:
        raise refused(source.name, "the file is empty.", "MESH_EMPTY")
    if extension in {".glb", ".gltf"}:
        raw = read_gltf(source, run)
    elif extension == ".fbx":
        raw = read_fbx(source, run)
    elif extension == ".obj":
        raw = read_obj(source, run)
    elif extension == ".ply":
        raw = read_ply(source, run)
    else:
        raw = read_stl(source)
    if not len(raw.faces):
        raise refused(source.name, "the file holds no triangles.", "MESH_NO_FACES")
    return raw


def usable_faces(name: str, raw: RawSurface, notices: list[Notice]) -> Int64[np.ndarray, "kept"]:
    """Indices of the faces whose vertices are finite; raises ``InputError`` where too many are not."""
    finite = np.isfinite(raw.positions).all(axis=1) & (np.abs(raw.positions) < np.finfo(np.float32).max).all(axis=1)
    good = finite[raw.faces].all(axis=1)
    bad = int(len(good) - good.sum())
    if bad > MAX_BROKEN_SHARE * len(good):
        raise refused(
            name, f"{bad:,} of {len(good):,} triangles have a corner that is not a finite number.", "MESH_NOT_FINITE",
            "Clean the mesh in your 3D program and export it again.",
        )  # fmt: skip
    if bad:
        notices.append(
            Notice(
                code="not_finite_dropped",
                message=f"{bad:,} triangles with a corner that is not a finite number are left out.",
            )
        )
    return np.flatnonzero(good)


def without_collision(
    raw: RawSurface, kept: Int64[np.ndarray, "kept"], notices: list[Notice]
) -> Int64[np.ndarray, "rest"]:
    """The faces that are no collision by their object's name, unless there are no others."""
    marked = raw.collision_faces()[kept]
    if not marked.any() or marked.all():
        return kept
    count = int(marked.sum())
    message = f"{count:,} triangles of the file's own collision are left out; the asset gets new collision."
    notices.append(Notice(code="collision_left_out", message=message, severity=Severity.INFO))
    return kept[~marked]


def high_poly_of(
    name: str,
    raw: RawSurface,
    positions: Float64[np.ndarray, "v 3"],
    kept: Int64[np.ndarray, "k"],
    notices: list[Notice],
) -> HighPoly:
    """Weld the geometry; coordinates and colours stay with the corners. Raises ``InputError`` if nothing is left."""
    mesh, solid = welded_surface(name, raw, positions, kept, notices)
    return HighPoly(mesh=mesh, field=field_of(raw, mesh, solid), source="mesh", notices=tuple(notices))


def near_origin(
    raw: RawSurface,
    positions: Float64[np.ndarray, "v 3"],
    kept: Int64[np.ndarray, "k"],
    notices: list[Notice],
) -> Float64[np.ndarray, "v 3"]:
    """The positions, moved to the origin with a notice where the kept faces lie too far from it for float32."""
    corners = positions[np.unique(raw.faces[kept])]
    low, high = corners.min(axis=0), corners.max(axis=0)
    away = float(np.linalg.norm((low + high) / 2.0))
    diagonal = float(np.linalg.norm(high - low))
    if diagonal <= 0.0 or away <= FAR_AWAY * diagonal:
        return positions
    message = f"The mesh lay {away:.3g} m from the origin and was moved there."
    notices.append(Notice(code="moved_to_origin", message=message, severity=Severity.INFO))
    return positions - (low + high) / 2.0


def refuse_odd_size(name: str, diagonal_m: float) -> None:
    """Raises ``InputError`` for sizes at which rays and areas get lost in float32."""
    if 0.0 < diagonal_m < LEAST_DIAGONAL_M or diagonal_m > MOST_DIAGONAL_M:
        raise refused(
            name,
            f"it is {diagonal_m:.3g} m large; sizes of {LEAST_DIAGONAL_M:g} to {MOST_DIAGONAL_M:g} m are taken.",
            "MESH_SIZE",
            "Scale it in your 3D program, so that its numbers are metres, and export it again.",
        )


def welded_surface(
    name: str,
    raw: RawSurface,
    positions: Float64[np.ndarray, "v 3"],
    kept: Int64[np.ndarray, "k"],
    notices: list[Notice],
) -> tuple[Mesh, Int64[np.ndarray, "faces"]]:
    """The mesh of the kept faces, and the row of the file's faces that each of its faces was."""
    positions = near_origin(raw, positions, kept, notices)
    used = np.unique(raw.faces[kept])
    diagonal = float(np.linalg.norm(np.ptp(positions[used], axis=0)))
    refuse_odd_size(name, diagonal)
    place = np.zeros(len(positions), np.int64)
    place[used] = np.arange(len(used))
    found = positions[used].astype(np.float32)
    rows, owner = welded_nearby(found, WELD_SHARE * diagonal)
    faces = owner[place[raw.faces[kept]]].astype(np.int32)
    solid = distinct_corners(faces)
    collapsed = int(len(solid) - solid.sum())
    mesh = compacted(found[rows], faces[solid])
    if not solid.any() or float(face_areas(mesh).sum()) <= 1e-12 * diagonal * diagonal:
        raise refused(name, "all its triangles are degenerate: they have no area.", "MESH_DEGENERATE")
    if collapsed:
        message = f"{collapsed:,} of {len(solid):,} triangles have no area and are left out."
        severity = Severity.WARNING if collapsed > MUCH_LOST * len(solid) else Severity.INFO
        remedy = NEARER if severity is Severity.WARNING else ""
        notices.append(Notice(code="degenerate_dropped", message=message, remedy=remedy, severity=severity))
    return mesh, kept[solid]


def field_of(raw: RawSurface, mesh: Mesh, kept: Int64[np.ndarray, "faces"]) -> TextureField:
    """The materials over the welded mesh; ``kept`` are the rows of the file's faces that it still has."""
    count = len(kept)
    materials = np.zeros(count, np.int64) if raw.face_materials is None else raw.face_materials[kept]
    uvs = np.zeros((count, 3, 2)) if raw.corner_uvs is None else raw.corner_uvs[kept]
    return TextureField(
        positions_m=mesh.positions_m,
        faces=mesh.faces,
        corner_uvs=uvs.astype(np.float32),
        second_uvs=None if raw.second_uvs is None else raw.second_uvs[kept].astype(np.float32),
        corner_colors=None if raw.corner_colors is None else raw.corner_colors[kept].astype(np.float32),
        face_materials=materials.astype(np.int32),
        materials=raw.materials,
    )
