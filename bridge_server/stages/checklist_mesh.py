"""Rules about triangles: budget, closedness, winding, levels of detail, likeness to the high poly."""

import numpy as np

from bridge_server.stages.checklist_verdicts import counted, graded, judged, passed, share, skipped
from bridge_server.stages.decimate_budgets import MARGIN, SHORT_CORNERS, VERTEX_BYTES
from bridge_server.values.checklist import Check, Verdict
from bridge_server.values.lod import LodChain
from bridge_server.values.mesh import HighPoly, LowPoly, Mesh, UnwrappedMesh, edge_face_counts, volume_m3

TARGET_TOLERANCE = 0.01
SCREEN_PX = 1080
LIGHT_MAP_BYTES = 8
"""A second set of texture coordinates in single precision."""


def triangle_budget(
    unwrapped: UnwrappedMesh, low_poly: LowPoly | None, high_poly: HighPoly | None, budget: int
) -> Check:
    """LOD0 keeps the budget and lies within 1 % of what decimation was asked for."""
    rule, title = "triangle_budget", "Triangles of LOD0"
    count = len(unwrapped.faces)
    figure = counted(count, "triangle")
    if budget and count > budget:
        remedy = f"Lower decimate.triangle_count to {budget} or raise checklist.triangle_budget."
        return judged(rule, title, ok=False, figure=figure, limit=f"at most {budget:,}", remedy=remedy)
    if low_poly is None:
        return passed(rule, title, figure, f"at most {budget:,}") if budget else skipped(rule, title, figure)
    target = low_poly.target_triangle_count
    limit = f"{target:,} ± 1 %" + (f", at most {budget:,}" if budget else "")
    source = len(high_poly.mesh.faces) if high_poly is not None else target + 1
    enough = count <= target and source <= target
    return judged(
        rule,
        title,
        ok=enough or abs(count - target) <= max(TARGET_TOLERANCE * target, 1.0),
        figure=figure,
        limit=limit if not enough else f"at most {target:,}; the source has no more",
        remedy="Set decimate.quality to final; where it is, parts of the mesh cannot be made simpler or denser.",
        otherwise=Verdict.WARN,
    )


def file_budget(unwrapped: UnwrappedMesh, budget_kb: float) -> tuple[Check, ...]:
    """The arrays of LOD0 in the GLB fit the budget that decimation was asked for; no rule where there is none.

    Decimation cannot know how many vertices hard edges and seams will double, so it goes by a model of them.
    """
    if not budget_kb:
        return ()
    vertices = len(unwrapped.positions_m)
    vertex_bytes = VERTEX_BYTES + (LIGHT_MAP_BYTES if unwrapped.lightmap_uvs is not None else 0)
    corner_bytes = 2 if vertices <= SHORT_CORNERS else 4
    size_kb = (vertices * vertex_bytes + unwrapped.faces.size * corner_bytes) / 1000.0
    fewer = int(len(unwrapped.faces) * MARGIN * budget_kb / max(size_kb, 1e-9))
    check = judged(
        "file_budget",
        "Geometry of LOD0 fits its file budget",
        ok=size_kb <= budget_kb,
        figure=f"{size_kb:,.2f} kB in {counted(vertices, 'vertex', 'vertices')}",
        limit=f"at most {budget_kb:,.10g} kB",
        remedy=f"Set decimate.triangle_count to {max(fewer, 12)} beside the budget.",
        otherwise=Verdict.WARN,
    )
    return (check,)


def watertight(mesh: Mesh) -> Check:
    """Every edge of the welded mesh joins two faces."""
    open_edges = int((edge_face_counts(mesh.faces) == 1).sum())
    return judged(
        "watertight",
        "Closed surface",
        ok=open_edges == 0,
        figure="closed" if open_edges == 0 else counted(open_edges, "open edge"),
        limit="no open edge",
        remedy="Raise repair.max_hole_edges and repair.max_hole_share. Is it meant to be open, as cloth and leaves "
        "are, then tick Two Sided in its material.",
        otherwise=Verdict.WARN,
    )


def winding(mesh: Mesh) -> Check:
    """Neighbouring faces agree on which side is outside, and a closed mesh has it outside."""
    edges = mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).astype(np.int64)
    directed = np.unique(edges[:, 0] << 32 | edges[:, 1], return_counts=True)[1]
    disagreeing = int((directed > 1).sum())
    closed = bool((edge_face_counts(mesh.faces) == 2).all())
    inside_out = closed and volume_m3(mesh) < 0.0
    figure = "inside out" if inside_out else counted(disagreeing, "edge between faces that disagree", "edges disagree")
    return graded(
        "winding",
        "Faces look outward",
        good=not inside_out and disagreeing == 0,
        bearable=not inside_out and disagreeing <= 0.01 * len(directed),
        figure=figure if disagreeing or inside_out else "all outward" if closed else "all agree",
        limit="all outward",
        remedy="Let the stages clean and repair run, which turn faces outward; else parts are invisible from outside.",
    )


def degenerate_faces(mesh: Mesh, left_out: int = 0) -> Check:
    """No face without area: they have no normal and give light a black spot.

    ``left_out`` is the number of those that fell into a point or an edge when the file was read; engines do that too.
    """
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2.0
    count = int((area <= 1e-12 * mesh.diagonal_m**2).sum())
    return graded(
        "degenerate_faces",
        "Faces without area",
        good=count + left_out == 0,
        bearable=count <= 0.01 * len(mesh.faces),
        figure=counted(count + left_out, "face"),
        limit="none",
        remedy="Let the stage clean run, or change decimate.triangle_count a little.",
    )


def non_manifold_edges(mesh: Mesh) -> Check:
    """No edge with more than two faces."""
    count = int((edge_face_counts(mesh.faces) > 2).sum())
    return judged(
        "non_manifold_edges",
        "Edges with more than two faces",
        ok=count == 0,
        figure=counted(count, "edge"),
        limit="none",
        remedy="Let the stage repair run; such edges confuse Nanite, LODs and physics.",
        otherwise=Verdict.WARN,
    )


def likeness(low_poly: LowPoly | None, limit: float) -> Check:
    """How far LOD0 strays from the high poly, as a share of the diagonal."""
    rule, title = "hausdorff", "Likeness to the high poly"
    if low_poly is None:
        return skipped(rule, title, "not measured")
    size = max(low_poly.mesh.diagonal_m, 1e-12)
    farthest, mean = low_poly.hausdorff_m / size, low_poly.mean_distance_m / size
    return judged(
        rule,
        title,
        ok=farthest <= limit,
        figure=f"at most {share(farthest)} of the size away, {share(mean)} on average",
        limit=f"at most {share(limit)}",
        remedy="Raise decimate.triangle_count, or set decimate.quality to final.",
        otherwise=Verdict.WARN,
    )


def lod_count(lods: LodChain | None, wanted: int) -> Check:
    """As many levels as the preset asks for."""
    rule, title = "lod_count", "Levels of detail"
    if lods is None:
        return skipped(rule, title, "none were made")
    if not wanted:
        return skipped(rule, title, counted(len(lods.lods), "level"))
    return judged(
        rule,
        title,
        ok=len(lods.lods) >= wanted,
        figure=counted(len(lods.lods), "level"),
        limit=counted(wanted, "level"),
        remedy="The asset is too simple for more levels; lower lods.count, or raise decimate.triangle_count.",
        otherwise=Verdict.WARN,
    )


def lod_order(lods: LodChain | None) -> Check:
    """Each level has fewer triangles than the one before, and comes in when the asset is smaller on screen."""
    rule, title = "lod_order", "Each level lighter than the one before"
    if lods is None or len(lods.lods) < 2:
        return skipped(rule, title, "one level only" if lods is not None else "none were made")
    counts = np.array([len(lod.mesh.faces) for lod in lods.lods])
    sizes = np.array([lod.screen_size for lod in lods.lods])
    return judged(
        rule,
        title,
        ok=bool((np.diff(counts) < 0).all() and (np.diff(sizes) < 0).all()),
        figure=" > ".join(f"{count:,}" for count in counts) + " triangles",
        limit="triangles and screen sizes fall",
        remedy="Lower lods.count, or reduce each level more strongly with lods.reduction.",
    )


def lod_error(lods: LodChain | None, limit_px: float) -> Check:
    """At the size on screen at which a level comes in, its silhouette is off by few pixels of a picture 1080 high."""
    rule, title = "lod_error", "Levels change unseen"
    if lods is None or len(lods.lods) < 2:
        return skipped(rule, title, "one level only" if lods is not None else "none were made")
    size = max(lods.lods[0].mesh.welded_mesh().diagonal_m, 1e-12)
    off_px = [lod.error_m / size * lod.screen_size * SCREEN_PX for lod in lods.lods[1:]]
    return judged(
        rule,
        title,
        ok=max(off_px) <= limit_px,
        figure=", ".join(f"{value:.1f}" for value in off_px) + " px where each level comes in",
        limit=f"at most {limit_px:g} px of {SCREEN_PX}",
        remedy="Reduce the levels less strongly with lods.reduction.",
        otherwise=Verdict.WARN,
    )


def seam_gap(lods: LodChain | None, limit: float) -> Check:
    """No level has cracks along its UV seams; the limit is a share of the diagonal."""
    rule, title = "seam_gap", "No cracks along UV seams"
    if lods is None:
        return skipped(rule, title, "no levels were made")
    size = max(lods.lods[0].mesh.welded_mesh().diagonal_m, 1e-12)
    widest = max(lod.seam_gap_m for lod in lods.lods) / size
    return graded(
        rule,
        title,
        good=widest <= limit,
        bearable=widest <= 5.0 * limit,
        figure="none" if widest <= 0.0 else f"{widest * 1000:.2g} ‰ of the size",
        limit=f"at most {limit * 1000:.2g} ‰",
        remedy="Reduce the levels less strongly with lods.reduction.",
    )
