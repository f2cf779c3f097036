"""A rule about levels of detail: no thin piece turns inside out on the way.

Between two sides that lie close a level may take corners through each other. Either a face then looks against the
surface of LOD0 that its texture shows, or all faces look as they did and a whole piece encloses a negative volume.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from bridge_server.stages.checklist_verdicts import graded, share, skipped
from bridge_server.values.checklist import Check
from bridge_server.values.lod import LodChain
from bridge_server.values.mesh import Mesh, UnwrappedMesh, face_cross_products
from bridge_server.values.mesh_topology import face_components

CLOSED = 1e-3
"""The area vectors of a closed piece sum to nothing; to less than this share of its area, with rounding."""
BEARABLE = 5.0


def lod_turned(lods: LodChain | None, limit: float) -> Check:
    """The limit is a share of a level's area, over what is turned on LOD0 already."""
    rule, title = "lod_turned", "Levels turn nothing inside out"
    if lods is None or len(lods.lods) < 2:
        return skipped(rule, title, "one level only" if lods is not None else "none were made")
    first = lods.lods[0].mesh
    shares = [turned_share(lod.mesh, first) for lod in lods.lods]
    added = [max(later - shares[0], 0.0) for later in shares[1:]]
    return graded(
        rule,
        title,
        good=max(added) <= limit,
        bearable=max(added) <= BEARABLE * limit,
        figure=", ".join(share(value) for value in added) + " of the area of each level",
        limit=f"at most {share(limit)}",
        remedy="Lower lods.count, or raise lods.reduction or lods.budgets: a thin piece has no room left.",
    )


@dataclass(frozen=True, slots=True, eq=False)
class PieceSums:
    """What the faces of each piece of LOD0 sum to."""

    volumes_m3: Float64[np.ndarray, "pieces"]
    """Signed; says something of closed pieces alone."""
    closed: Bool[np.ndarray, "pieces"]


def turned_share(mesh: UnwrappedMesh, first: UnwrappedMesh) -> float:
    """Share of the area in pieces whose volume has the other sign than on LOD0, or that looks against its normals.

    Normals of a level are those of LOD0 by the texture. Pieces are those of LOD0, told by the charts of the faces.
    """
    piece_of_chart = np.zeros(max(int(first.charts.max()), int(mesh.charts.max())) + 1, np.int64)
    piece_of_chart[first.charts] = face_components(first.welded[first.faces])
    before, after = (piece_sums(part, piece_of_chart) for part in (first, mesh))
    turned = before.closed & after.closed & (before.volumes_m3 * after.volumes_m3 < 0.0)
    cross = crosses(mesh)
    shading = mesh.normals.astype(np.float64)[mesh.faces].sum(axis=1)
    area = np.linalg.norm(cross, axis=1)
    against = ((cross * shading).sum(axis=1) < 0.0) | turned[piece_of_chart[mesh.charts]]
    return float(area[against].sum() / max(area.sum(), 1e-300))


def piece_sums(mesh: UnwrappedMesh, piece_of_chart: Int64[np.ndarray, "charts"]) -> PieceSums:
    """By the charts of the faces."""
    pieces, count = piece_of_chart[mesh.charts], int(piece_of_chart.max()) + 1
    cross, middle = crosses(mesh), mesh.positions_m.astype(np.float64).mean(axis=0)
    corners = mesh.positions_m.astype(np.float64)[mesh.faces[:, 0]] - middle
    vectors = np.stack([np.bincount(pieces, cross[:, axis], count) for axis in range(3)], axis=1)
    areas = np.bincount(pieces, np.linalg.norm(cross, axis=1), count)
    return PieceSums(
        volumes_m3=np.bincount(pieces, (corners * cross).sum(axis=1) / 6.0, count),
        closed=np.linalg.norm(vectors, axis=1) <= CLOSED * areas,
    )


def crosses(mesh: UnwrappedMesh) -> Float64[np.ndarray, "faces 3"]:
    """Twice the area vectors of the faces."""
    return face_cross_products(Mesh(positions_m=mesh.positions_m, faces=mesh.faces))
