"""Rules about simple collision."""

import numpy as np

from bridge_server.stages.checklist_verdicts import counted, graded, judged, share, skipped
from bridge_server.values.checklist import Check, Verdict
from bridge_server.values.collision import Collision, CollisionShape
from bridge_server.values.mesh import Mesh, face_cross_products, is_watertight, volume_m3

PHYSICS_VERTEX_LIMIT = 255
"""More than this no physics engine takes in one hull."""
LEAST_TRIANGLES_A_PIECE = 24
"""A piece may have as many even where that is more than its share of LOD0."""


def collision_present(collision: Collision | None) -> Check:
    """There is something to bump into."""
    rule, title = "collision_present", "Collision"
    if collision is None:
        return skipped(rule, title, "none was made")
    return judged(
        rule,
        title,
        ok=len(collision.pieces) > 0,
        figure=counted(len(collision.pieces), "piece"),
        limit="at least 1 piece",
        remedy="Set collision.shape to box; without collision things fall through the asset.",
    )


def collision_closed(collision: Collision | None) -> Check:
    """Every piece is a closed solid, wound outward."""
    rule, title = "collision_closed", "Collision pieces are solid"
    if collision is None:
        return skipped(rule, title, "no collision was made")
    bad = sum(not (is_watertight(piece.mesh) and volume_m3(piece.mesh) > 0.0) for piece in collision.pieces)
    return judged(
        rule,
        title,
        ok=bad == 0,
        figure="all solid" if bad == 0 else counted(bad, "open or flat piece"),
        limit="all solid",
        remedy="Lower collision.max_pieces, or set collision.shape to box.",
    )


def collision_convex(collision: Collision | None) -> Check:
    """Every piece is convex, as physics engines need it."""
    rule, title = "collision_convex", "Collision pieces are convex"
    if collision is None:
        return skipped(rule, title, "no collision was made")
    deepest = max((_dent(piece.mesh) for piece in collision.pieces), default=0.0)
    return judged(
        rule,
        title,
        ok=deepest <= 0.002,
        figure=f"deepest dent {share(deepest)} of the piece",
        limit="at most 0.2 %",
        remedy="Set collision.shape to convex; Unreal would fill the dent without asking.",
    )


def collision_vertices(collision: Collision | None, limit: int) -> Check:
    """No hull has more corners than physics likes."""
    rule, title = "collision_vertices", "Corners of a collision piece"
    if collision is None:
        return skipped(rule, title, "no collision was made")
    most = max((len(piece.mesh.positions_m) for piece in collision.pieces), default=0)
    return graded(
        rule,
        title,
        good=most <= limit,
        bearable=most <= PHYSICS_VERTEX_LIMIT,
        figure=f"at most {most}",
        limit=f"at most {limit}",
        remedy="Lower collision.max_vertices.",
    )


def collision_containment(collision: Collision | None, limit: float) -> Check:
    """The pieces hold nearly all of the asset."""
    rule, title = "collision_containment", "Collision holds the asset"
    if collision is None:
        return skipped(rule, title, "no collision was made")
    return graded(
        rule,
        title,
        good=collision.containment >= limit,
        bearable=collision.containment >= limit - 0.15,
        figure=f"{share(collision.containment)} of the surface inside",
        limit=f"at least {share(limit)}",
        remedy="Raise collision.max_pieces; things would sink into what sticks out.",
    )


def collision_excess(collision: Collision | None, limit: float) -> Check:
    """The pieces enclose little that is not the asset: things would stop in the air before they touch it."""
    rule, title = "collision_excess", "Collision lies close to the asset"
    if collision is None:
        return skipped(rule, title, "no collision was made")
    if np.isnan(collision.excess_volume):
        return skipped(rule, title, "not measured")
    remedy = "Raise collision.max_pieces, or lower collision.piece_cost and collision.simple_excess."
    if collision.method in {CollisionShape.BOX, CollisionShape.SPHERE, CollisionShape.CAPSULE}:
        remedy = f"Set collision.shape to convex: a single {collision.method} was asked for."
    return judged(
        rule,
        title,
        ok=collision.excess_volume <= limit,
        figure=f"{share(max(collision.excess_volume, 0.0))} of the asset's volume in excess",
        limit=f"at most {share(limit)}",
        remedy=remedy,
        otherwise=Verdict.WARN,
    )


def collision_triangle_share(collision: Collision | None, lod0_triangles: int, limit: float) -> Check:
    """Collision costs little beside what is drawn. Boxes, balls and capsules are told by a few numbers, so they fit."""
    rule, title = "collision_triangle_share", "Collision is light"
    if collision is None:
        return skipped(rule, title, "no collision was made")
    triangles = sum(len(piece.mesh.faces) for piece in collision.pieces)
    hulls = sum(len(piece.mesh.faces) for piece in collision.pieces if piece.shape is CollisionShape.CONVEX)
    allowed = max(int(limit * lod0_triangles), LEAST_TRIANGLES_A_PIECE * len(collision.pieces))
    return judged(
        rule,
        title,
        ok=hulls <= allowed,
        figure=f"{counted(triangles, 'triangle')}, {share(triangles / max(lod0_triangles, 1))} of LOD0",
        limit=f"at most {allowed:,} in hulls",
        remedy="Lower collision.max_pieces or collision.max_vertices.",
        otherwise=Verdict.WARN,
    )


def _dent(mesh: Mesh) -> float:
    """How far the farthest vertex lies outside the plane of a face, as a share of the diagonal."""
    cross = face_cross_products(mesh)
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    real = length[:, 0] > 1e-9 * mesh.diagonal_m**2
    if not real.any():
        return 1.0
    normals = cross[real] / length[real]
    positions = mesh.positions_m.astype(np.float64)
    offsets = np.einsum("fi,fi->f", normals, positions[mesh.faces[real, 0]])
    return max(float((positions @ normals.T - offsets).max()) / mesh.diagonal_m, 0.0)
