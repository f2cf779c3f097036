"""Collision: closed convex pieces that hold the low poly, few and small enough for a game."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from bridge_server.backends.decomposer.base import Decomposer, DecompositionSettings
from bridge_server.errors import StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.stages.collision_fit import (
    TOLERANCE,
    HullLimits,
    containment,
    excess_volume,
    fit_hulls,
    surface_samples,
)
from bridge_server.stages.collision_shapes import FittedShape, fit_box, fit_capsule, fit_convex, fit_sphere
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.base import Notice
from bridge_server.values.collision import Collision, CollisionPiece, CollisionShape
from bridge_server.values.convex import convex_hull, is_convex
from bridge_server.values.mesh import LowPoly, Mesh, is_watertight, volume_m3

LEAST_THICKNESS = 0.005
"""Of the pieces of a flat mesh, as a share of its diagonal: engines refuse hulls without volume."""
CONVEX_VERTEX_ERROR = 1e-5
LOW_CONTAINMENT = 0.9
CONVEX_ENOUGH = 0.05
"""Where the hull is no larger than this over the mesh itself, there is nothing to split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeCollision(Stage):
    """Make the simple collision: convex pieces, or one box, sphere or capsule."""

    name: ClassVar[str] = "collision"
    writes: ClassVar[str] = "collision"
    version: ClassVar[int] = 2

    shape: CollisionShape = CollisionShape.CONVEX
    """Kind of piece; every kind but ``convex`` makes a single one."""
    max_pieces: Annotated[int, Range(1, 64)] = 8
    """Most convex pieces; 1 makes one hull around everything."""
    max_vertices: Annotated[int, Range(8, 64)] = 32
    """Most vertices of a convex piece."""
    triangle_share: Annotated[float, Range(0.0, 1.0)] = 0.01
    """Triangles of all pieces as a share of the low poly's; exceeded only as far as holding the shape takes."""
    concavity: Annotated[float, Range(0.01, 1.0)] = 0.08
    """How hollow a piece may be before it is split, as CoACD measures it; less takes longer."""
    time_limit_s: Annotated[float, Range(1.0, 600.0)] = 30.0
    """After this the decomposition gives way to one hull."""
    seed: Annotated[int, Range(0, 1_000_000)] = 0
    """Of the random choices."""

    def __call__(self, run: Run, decomposer: Decomposer, *, low_poly: LowPoly) -> Collision:
        """Pieces with their containment and excess volume. Raises ``StageFailed`` where the mesh has no extent."""
        mesh = low_poly.mesh
        if not len(mesh.faces) or not np.isfinite(mesh.positions_m).all() or mesh.diagonal_m <= 0.0:
            raise StageFailed("the mesh has no extent, so nothing can collide with it.", subject=self.name)
        hull = convex_hull(mesh.positions_m[mesh.faces.reshape(-1)], LEAST_THICKNESS * mesh.diagonal_m)
        samples = surface_samples(mesh, self.seed)
        notices: tuple[Notice, ...] = ()
        if self.shape is CollisionShape.CONVEX:
            hulls, method, notices = self._decomposed(mesh, hull, decomposer, PartialRun(run, 0.0, 0.85))
            limits = HullLimits(triangles=int(self.triangle_share * len(mesh.faces)), vertices=self.max_vertices)
            pieces = fit_hulls(hulls, mesh, samples, limits, run)
        else:
            pieces, method = (self._simple(hull, mesh),), self.shape.value
        for piece in pieces:
            require_solid(piece.mesh)
        held = containment(pieces, samples, TOLERANCE * mesh.diagonal_m)
        run.checkpoint(1.0)
        return Collision(
            pieces=tuple(CollisionPiece(shape=piece.shape, mesh=piece.mesh) for piece in pieces),
            containment=held,
            excess_volume=excess_volume(pieces, mesh),
            method=method,
            notices=notices if held >= LOW_CONTAINMENT else (*notices, _low_containment(held)),
        )

    def _decomposed(
        self, mesh: Mesh, hull: Mesh, decomposer: Decomposer, run: Run
    ) -> tuple[tuple[Mesh, ...], str, tuple[Notice, ...]]:
        """Hulls, the method's name, and what has to be told."""
        excess = excess_volume([fit_convex(hull)], mesh)
        if self.max_pieces == 1 or excess <= CONVEX_ENOUGH:
            return (hull,), "hull", ()
        settings = DecompositionSettings(
            max_pieces=self.max_pieces,
            max_vertices_per_piece=self.max_vertices,
            concavity=self.concavity,
            seed=self.seed,
            time_limit_s=self.time_limit_s,
        )
        try:
            found = decomposer.decompose(mesh, settings, run)
        except StageFailed as error:
            notice = Notice(
                code="collision_fallback",
                message=f"The convex decomposition failed ({error.message}), so one hull around the asset was made.",
                remedy="Raise collision.time_limit_s, or choose collision.shape box, sphere or capsule.",
            )
            return (hull,), "hull", (notice,)
        return found, decomposer.identity.partition(" ")[0], ()

    def _simple(self, hull: Mesh, mesh: Mesh) -> FittedShape:
        points = hull.positions_m.astype(np.float64)
        if self.shape is CollisionShape.BOX:
            return fit_box(points, LEAST_THICKNESS * mesh.diagonal_m)
        return fit_sphere(points) if self.shape is CollisionShape.SPHERE else fit_capsule(points)


def require_solid(mesh: Mesh) -> None:
    """Raise ``StageFailed`` unless the mesh is closed, convex, and wound outward around a volume."""
    if not (is_watertight(mesh) and volume_m3(mesh) > 0.0 and is_convex(mesh, CONVEX_VERTEX_ERROR * mesh.diagonal_m)):
        raise StageFailed("a collision piece came out open, hollow or inside out.", subject="collision")


def _low_containment(held: float) -> Notice:
    return Notice(
        code="collision_incomplete",
        message=f"The collision holds {held:.0%} of the surface.",
        remedy="Raise collision.max_pieces or collision.max_vertices.",
    )
