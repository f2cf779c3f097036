"""A mesh file as the rules judge it: the welded surface, the collision pieces beside it, and how well they hold it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from bridge_server.errors import InputError
from bridge_server.run import Run
from bridge_server.stages.collision_fit import TOLERANCE, containment, excess_volume, surface_samples
from bridge_server.stages.collision_shapes import FittedShape, fit_convex
from bridge_server.stages.load_mesh import near_origin, read_surface, usable_faces, welded_surface
from bridge_server.stages.load_mesh_formats import RawSurface
from bridge_server.values.base import Notice
from bridge_server.values.collision import Collision, CollisionPiece, CollisionShape
from bridge_server.values.convex import convex_hull
from bridge_server.values.hollow import filled
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import compacted, tidied
from bridge_server.values.solid import bounded_solid, wrapped
from bridge_server.values.source import MeshSource

SHAPES = {
    "UCX": CollisionShape.CONVEX,
    "UBX": CollisionShape.BOX,
    "USP": CollisionShape.SPHERE,
    "UCP": CollisionShape.CAPSULE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshFile:
    """What was read."""

    raw: RawSurface
    mesh: Mesh
    """Welded, without collision; at the origin where the file has it very far away."""
    rows: Int64[np.ndarray, "faces"]
    """Which face of the file each face was."""
    pieces: tuple[CollisionPiece, ...]
    notices: tuple[Notice, ...]
    triangle_count: int
    """Of the file's surface, those that welding left without area included."""
    low_m: Float64[np.ndarray, "3"]
    high_m: Float64[np.ndarray, "3"]
    """Bounds of the surface where the file has it."""

    @property
    def material_count(self) -> int:
        """Materials that the surface uses."""
        return 1 if self.raw.face_materials is None else int(np.unique(self.raw.face_materials[self.rows]).size)


def read_mesh_file(source: MeshSource, run: Run) -> MeshFile:
    """Raises ``InputError`` where it cannot be read, or holds nothing but collision."""
    raw = read_surface(source, run)
    notices = list(raw.notices)
    kept = usable_faces(source.name, raw, notices)
    hull = raw.collision_faces()[kept]
    if hull.all():
        raise InputError("it holds collision pieces and nothing else.", subject=source.name, reason="MESH_NO_FACES")
    surface = kept[~hull]
    corners = raw.positions[raw.faces[surface]].reshape(-1, 3)
    positions = near_origin(raw, raw.positions, surface, notices)
    mesh, rows = welded_surface(source.name, raw, positions, surface, notices)
    return MeshFile(
        raw=raw,
        mesh=mesh,
        rows=rows,
        pieces=_pieces(raw, positions, kept[hull]),
        notices=tuple(notices),
        triangle_count=len(surface),
        low_m=corners.min(axis=0),
        high_m=corners.max(axis=0),
    )


def _pieces(
    raw: RawSurface, positions: Float64[np.ndarray, "vertices 3"], rows: Int64[np.ndarray, "faces"]
) -> tuple[CollisionPiece, ...]:
    if raw.face_objects is None:
        return ()
    pieces = []
    for number in np.unique(raw.face_objects[rows]).tolist():
        faces = raw.faces[rows[raw.face_objects[rows] == number]].astype(np.int32)
        mesh = tidied(compacted(positions.astype(np.float32), faces))
        pieces.append(
            CollisionPiece(shape=SHAPES.get(raw.objects[number][:3].upper(), CollisionShape.CONVEX), mesh=mesh)
        )
    return tuple(pieces)


def measured_collision(found: MeshFile) -> Collision:
    """As the collision stage measures: what is not convex counts as its hull, as engines take it."""
    fits: list[FittedShape] = []
    for piece in found.pieces:
        try:
            fits.append(fit_convex(convex_hull(piece.mesh.positions_m)))
        except ValueError:
            continue  # a flat piece holds nothing
    size = found.mesh.diagonal_m
    held, excess = 0.0, float("nan")
    if fits:
        held = containment(fits, surface_samples(found.mesh, 0), TOLERANCE * size)
        closed = bounded_solid(found.mesh) is not None
        excess = excess_volume(fits, filled(found.mesh) or found.mesh if closed else wrapped(found.mesh))
    return Collision(pieces=found.pieces, containment=held, excess_volume=excess, method="file")
