"""Collision: closed convex pieces that hold the low poly, few and small enough for a game."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float64

from bridge_server.backends.decomposer.base import Decomposer, DecompositionSettings
from bridge_server.errors import StageFailed, WorkerDied
from bridge_server.run import PartialRun, Run
from bridge_server.stages.collision_fit import (
    TOLERANCE,
    HullLimits,
    containment,
    excess_volume,
    fit_hulls,
    repaired,
    surface_samples,
)
from bridge_server.stages.collision_shapes import FittedShape, fit_box, fit_capsule, fit_convex, fit_sphere
from bridge_server.stages.collision_simple import simple_instead
from bridge_server.stages.collision_snug import drawn_close
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.base import Notice, Severity
from bridge_server.values.collision import Collision, CollisionPiece, CollisionShape
from bridge_server.values.convex import convex_hull, is_convex
from bridge_server.values.hollow import OPENING, filled
from bridge_server.values.mesh import LowPoly, Mesh, is_watertight, volume_m3
from bridge_server.values.solid import bounded_solid, wrapped

LEAST_THICKNESS = 0.005
"""Of the pieces of a flat mesh, as a share of its diagonal: engines refuse hulls without volume."""
CONVEX_VERTEX_ERROR = 1e-5
HOLDS = 0.995
"""Containment below which pieces are grown, and told about where that is not enough."""
REPAIRS = 3
CONVEX_ENOUGH = 0.05
"""Where the hull is no larger than this over the mesh itself, there is nothing to split."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the pieces are made for."""

    mesh: Mesh
    solid: Mesh
    """The mesh itself where it is closed, with its inside where that is filled; else the surface wrapped around it."""
    volume_m3: float
    """Of the solid; 0 where the mesh bounds none."""
    open: bool
    """Whether the mesh bounds no solid by itself."""
    samples: Float64[np.ndarray, "samples 3"]

    def hull_excess(self, hull: Mesh) -> float:
        """Excess volume of the hull of all, which needs no boolean where it holds the solid."""
        if self.open:
            return excess_volume([fit_convex(hull)], self.solid)
        return volume_m3(hull) / self.volume_m3 - 1.0


def shape_of(mesh: Mesh, seed: int, fill_hollows: bool) -> Shape:
    """The mesh with its solid and samples of its surface."""
    solid = bounded_solid(mesh)
    samples = surface_samples(mesh, seed)
    if solid is None:
        return Shape(mesh, wrapped(mesh), 0.0, True, samples)
    full = filled(mesh) if fill_hollows else None
    return Shape(mesh, full or mesh, volume_m3(full) if full else float(solid.volume()), False, samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeCollision(Stage):
    """Make the simple collision: convex pieces, boxes, balls and capsules, or a single one of these."""

    name: ClassVar[str] = "collision"
    writes: ClassVar[str] = "collision"
    version: ClassVar[int] = 4

    shape: CollisionShape = CollisionShape.CONVEX
    """``convex`` makes several pieces, with simple shapes among them; every other kind makes a single one of it."""
    max_pieces: Annotated[int, Range(1, 64)] = 8
    """Most convex pieces; 1 makes one hull around everything."""
    max_vertices: Annotated[int, Range(8, 255)] = 32
    """Most vertices of a convex piece; Unreal takes 255 at the most."""
    triangle_share: Annotated[float, Range(0.0, 1.0)] = 0.01
    """Triangles of all pieces as a share of the low poly's; exceeded only as far as holding the shape takes."""
    piece_cost: Annotated[float, Range(0.0, 1.0)] = 0.01
    """Volume, as a share of the asset's, that a further piece has to save to be worth it."""
    simple_excess: Annotated[float, Range(0.0, 1.0)] = 0.08
    """Volume that a box, ball or capsule may add to the convex piece in whose place it comes; 0 keeps all convex."""
    fill_hollows: bool = True
    """Whether an inside that only narrow openings lead to, as a bottle's neck does, counts as solid."""
    time_limit_s: Annotated[float, Range(1.0, 600.0)] = 60.0
    """After this the decomposition takes the best it has found."""
    seed: Annotated[int, Range(0, 1_000_000)] = 0
    """Of the random choices."""

    def __call__(self, run: Run, decomposer: Decomposer, *, low_poly: LowPoly) -> Collision:
        """Pieces with their containment and excess volume. Raises ``StageFailed`` where the mesh has no extent."""
        mesh = low_poly.mesh
        if not len(mesh.faces) or not np.isfinite(mesh.positions_m).all() or mesh.diagonal_m <= 0.0:
            raise StageFailed("the mesh has no extent, so nothing can collide with it.", subject=self.name)
        run.checkpoint(0.0, "solid")
        shape = shape_of(mesh, self.seed, self.fill_hollows)
        hull = convex_hull(mesh.positions_m[mesh.faces.reshape(-1)], LEAST_THICKNESS * mesh.diagonal_m)
        notices: tuple[Notice, ...] = ()
        if self.shape is CollisionShape.CONVEX:
            hulls, method, notices = self._decomposed(shape, hull, decomposer, PartialRun(run, 0.02, 0.85))
            pieces = self._fitted(hulls, shape, run)
            notices = notices if shape.open or shape.solid is mesh else (*notices, _hollow_filled())
        else:
            pieces, method = (self._simple(hull, mesh),), self.shape.value
        for piece in pieces:
            require_solid(piece.mesh)
        run.checkpoint(0.97, "measuring")
        held = containment(pieces, shape.samples, TOLERANCE * mesh.diagonal_m)
        return Collision(
            pieces=tuple(CollisionPiece(shape=piece.shape, mesh=piece.mesh) for piece in pieces),
            containment=held,
            excess_volume=excess_volume(pieces, shape.solid),
            method=method,
            notices=notices if held >= HOLDS else (*notices, _low_containment(held)),
        )

    def _decomposed(
        self, shape: Shape, hull: Mesh, decomposer: Decomposer, run: Run
    ) -> tuple[tuple[Mesh, ...], str, tuple[Notice, ...]]:
        """Hulls, the method's name, and what has to be told."""
        if self.max_pieces == 1 or shape.hull_excess(hull) <= CONVEX_ENOUGH:
            return (hull,), "hull", ()
        settings = DecompositionSettings(
            max_pieces=self.max_pieces, piece_cost=self.piece_cost, seed=self.seed, time_limit_s=self.time_limit_s
        )
        try:
            found = decomposer.decompose(shape.solid, settings, run)
        except (StageFailed, WorkerDied) as error:
            return (hull,), "hull", (_fallback(error.message),)
        pieces = found.pieces
        if shape.open:
            pieces = drawn_close(pieces, shape.mesh, LEAST_THICKNESS * shape.mesh.diagonal_m, self.seed)
        notices = () if found.complete else (_cut_short(self.time_limit_s),)
        return pieces, decomposer.identity.partition(" ")[0], notices

    def _fitted(self, hulls: tuple[Mesh, ...], shape: Shape, run: Run) -> tuple[FittedShape, ...]:
        """Simple shapes where they serve, hulls of few vertices elsewhere, grown where the surface sticks out."""
        mesh = shape.mesh
        limits = HullLimits(triangles=int(self.triangle_share * len(mesh.faces)), vertices=self.max_vertices)
        simple = [self._simple_instead(hull, mesh) for hull in hulls]
        taken = sum(len(fit.mesh.faces) for fit in simple if fit is not None)
        rest = [hull for hull, fit in zip(hulls, simple, strict=True) if fit is None]
        reduced = iter(fit_hulls(rest, mesh, replace(limits, triangles=limits.triangles - taken), run))
        pieces = tuple(fit if fit is not None else next(reduced) for fit in simple)
        for _ in range(REPAIRS):
            if containment(pieces, shape.samples, TOLERANCE * mesh.diagonal_m) >= HOLDS:
                break
            pieces = repaired(pieces, shape.samples, limits, TOLERANCE * mesh.diagonal_m)
        return pieces

    def _simple_instead(self, hull: Mesh, mesh: Mesh) -> FittedShape | None:
        if self.simple_excess <= 0.0:
            return None
        return simple_instead(hull, (1.0 + self.simple_excess) * volume_m3(hull), LEAST_THICKNESS * mesh.diagonal_m)

    def _simple(self, hull: Mesh, mesh: Mesh) -> FittedShape:
        points = hull.positions_m.astype(np.float64)
        if self.shape is CollisionShape.BOX:
            return fit_box(points, LEAST_THICKNESS * mesh.diagonal_m)
        return fit_sphere(points) if self.shape is CollisionShape.SPHERE else fit_capsule(points)


def require_solid(mesh: Mesh) -> None:
    """Raise ``StageFailed`` unless the mesh is closed, convex, and wound outward around a volume."""
    if not (is_watertight(mesh) and volume_m3(mesh) > 0.0 and is_convex(mesh, CONVEX_VERTEX_ERROR * mesh.diagonal_m)):
        raise StageFailed("a collision piece came out open, hollow or inside out.", subject="collision")


def _fallback(why: str) -> Notice:
    return Notice(
        code="collision_fallback",
        message=f"The convex decomposition failed ({why}), so one hull around the asset was made.",
        remedy="Raise collision.time_limit_s, or choose collision.shape box, sphere or capsule.",
    )


def _cut_short(limit_s: float) -> Notice:
    return Notice(
        code="collision_time_limit",
        message=f"The convex decomposition was ended after {limit_s:g} s with the best it had found.",
        remedy="Raise collision.time_limit_s.",
    )


def _hollow_filled() -> Notice:
    return Notice(
        code="collision_hollow_filled",
        message=f"An inside with openings narrower than {OPENING:.0%} of the longest side counts as solid.",
        remedy="Set collision.fill_hollows to false if something has to get in.",
        severity=Severity.INFO,
    )


def _low_containment(held: float) -> Notice:
    return Notice(
        code="collision_incomplete",
        message=f"The collision holds {held:.1%} of the surface.",
        remedy="Raise collision.max_pieces or collision.max_vertices.",
    )
