"""Rules about the surface as a whole: slivers, hulls inside hulls, faces that show their back."""

import numpy as np

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.stages.checklist_verdicts import counted, graded, judged, passed, share, skipped
from bridge_server.values.checklist import Check, Verdict
from bridge_server.values.mesh import Mesh, face_cross_products, is_watertight
from bridge_server.values.mesh_topology import edge_table, face_components
from bridge_server.values.mesh_winding import containers

SLIVER = 0.01
"""A face whose height is a smaller share of its longest side than this is a sliver."""
RAYS = 4000
MOST_PIECES = 400
"""More pieces than this are not looked at one by one."""


def sliver_share(mesh: Mesh, limit: float) -> Check:
    """Few faces are needles: they shade in streaks and waste the rasteriser's quads."""
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    height = np.linalg.norm(face_cross_products(mesh), axis=1) / np.maximum(longest, 1e-300)
    needles = float((height < SLIVER * longest).mean()) if len(mesh.faces) else 0.0
    return judged(
        "sliver_share",
        "Few needle-shaped faces",
        ok=needles <= limit,
        figure=f"{share(needles)} of the faces",
        limit=f"at most {share(limit)}",
        remedy="Change decimate.triangle_count, or let the stage repair run.",
        otherwise=Verdict.WARN,
    )


def inner_hulls(mesh: Mesh) -> Check:
    """No closed piece lies wholly inside another one, where nobody sees it and it only costs."""
    rule, title = "inner_hulls", "Nothing hidden inside"
    pieces = face_components(mesh.faces)
    count = int(pieces.max(initial=-1)) + 1
    if count > MOST_PIECES:
        return skipped(rule, title, f"{count:,} pieces, too many to look into each")
    table = edge_table(mesh.faces)
    border = np.bincount(np.repeat(pieces, 3)[table.counts[table.of_half_edge] != 2], minlength=count)
    hidden = containers(mesh.positions_m.astype(np.float64)[mesh.faces], pieces, border == 0)
    faces = sum(int((pieces == piece).sum()) for piece in hidden)
    return judged(
        rule,
        title,
        ok=not hidden,
        figure=f"{counted(len(hidden), 'hull')} of {faces:,} triangles inside another" if hidden else "none",
        limit="no hull inside another",
        remedy="Let the stage repair run, which removes what cannot be seen from outside.",
        otherwise=Verdict.WARN,
    )


def back_faces_seen(raycaster: Raycaster, mesh: Mesh) -> Check:
    """From all around, rays meet faces from their front; engines do not draw backs, so one sees through the asset."""
    rule, title = "back_faces_seen", "No backs of faces seen"
    cross = face_cross_products(mesh)
    area = np.linalg.norm(cross, axis=1)
    if not len(area) or float(area.sum()) <= 0.0:
        return skipped(rule, title, "there is no surface")
    rng = np.random.default_rng(1)
    faces = np.minimum(np.searchsorted(np.cumsum(area), rng.random(RAYS) * area.sum()), len(area) - 1)
    corners = mesh.positions_m[mesh.faces[faces]].astype(np.float64)
    aims = np.einsum("rc,rcd->rd", rng.dirichlet((1.0, 1.0, 1.0), RAYS), corners)
    away = rng.normal(size=(RAYS, 3))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    starts = aims + 2.0 * mesh.diagonal_m * away
    hits = raycaster.scene(mesh.positions_m, mesh.faces).first_hits(
        starts.astype(np.float32), (-away).astype(np.float32)
    )
    met = hits.faces >= 0
    if not met.any():
        return skipped(rule, title, "no ray met the surface")
    backs = float((np.einsum("rd,rd->r", cross[hits.faces[met]], away[met]) < 0.0).mean())
    if backs <= 0.002:
        return passed(rule, title, f"{share(backs)} of the rays", "at most 0.2 %")
    return graded(
        rule,
        title,
        good=False,
        bearable=backs <= 0.02 or not is_watertight(mesh),
        figure=f"{share(backs)} of the rays meet a back",
        limit="at most 0.2 %",
        remedy="Let the stage repair run, which turns faces outward; tick Two Sided where it is meant to be open.",
    )
