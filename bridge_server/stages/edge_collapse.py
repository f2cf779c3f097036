"""Simplification by half-edge collapses that never tears a seam, opens a closed mesh or turns a face over.

The mesh is given by wedges (one for each distinct pair of point and texture coordinates) and by the point of each
wedge. A collapse moves a point onto a neighbour: a point off all seams onto any neighbour, a point on a seam or
border only along it, with the wedges of both sides going together, and a point where seams meet or end nowhere.
So every vertex that is left is an unchanged vertex of the input, and twins across a seam stay in one place.

Collapses are made in rounds: all that are cheap and valid are found at once, and a set whose neighbourhoods do not
touch is carried out together (the quadrics are those of ``edge_quadrics``).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from bridge_server.run import Run
from bridge_server.stages.edge_candidates import Candidates, Surroundings, find_candidates, pinched_points, surroundings
from bridge_server.stages.edge_quadrics import Quadrics, add_feature_edges, face_quadrics

FIRST_SHARE = 0.3
"""Share of the candidates, cheapest first, that a round looks at."""
ROUND_SHARE = 0.5
"""Share of the points that could go, cheapest first, of which a round takes some."""
SAME_COST = 1e-15
"""Costs that differ by less are equal; lengths are shares of the diagonal."""
LEAST_COSINE = 0.25
"""How far the normal of a face may turn in one collapse."""
LEAST_QUALITY = 0.03
"""Shape of the worst triangle that a collapse may make (1 is equilateral) where it was better before."""
TRIES_PER_POINT = 2
"""Targets of a point, cheapest first, whose shape is looked at in a round."""
PASSES = 3


@dataclass(frozen=True, slots=True)
class WedgeMesh:
    """What is simplified."""

    coordinates: Float64[np.ndarray, "wedges d"]
    """Position and, where d is 5, texture coordinates, scaled so that the errors of both compare."""
    points: Int64[np.ndarray, "wedges"]
    faces: Int64[np.ndarray, "faces 3"]
    """Into the wedges."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How far a round looks."""

    share: float = FIRST_SHARE
    """Of the candidates, cheapest first."""
    tries_per_point: int | None = TRIES_PER_POINT
    """Targets of a point whose shape is looked at; None for all."""

    def harder(self) -> "Effort | None":
        """What to do when a round found nothing; None when there is nothing more to try."""
        if self.share < 1.0:
            return Effort(min(self.share * 2.0, 1.0), self.tries_per_point)
        return None if self.tries_per_point is None else Effort(1.0, None)


def collapse_edges(
    mesh: WedgeMesh, triangle_count: int, run: Run, outline_tolerance: float = np.inf
) -> Int64[np.ndarray, "faces 3"]:
    """Faces that are left when no more than ``triangle_count`` are, or when no further collapse is valid.

    ``outline_tolerance`` bounds how far the outline of a chart may move in the texture, in units of the
    coordinates; it adds up over the collapses.
    """
    faces, before = mesh.faces, len(mesh.faces)
    points = int(mesh.points.max()) + 1
    near = surroundings(faces, mesh.points, points)
    locked = pinched_points(faces, mesh.points, near)
    quadrics = face_quadrics(mesh.coordinates, faces)
    add_feature_edges(quadrics, mesh.coordinates, *near.feature_half_edges(faces))
    drift = np.zeros(len(mesh.points))
    effort: Effort | None = Effort()
    while len(faces) > triangle_count and effort is not None:
        run.checkpoint((before - len(faces)) / max(before - triangle_count, 1), "collapsing edges")
        found = find_candidates(faces, mesh.points, near, locked)
        cost = collapse_costs(found, quadrics, mesh)
        looked_at = np.argsort(cost, kind="stable")[: max(int(len(cost) * effort.share), 64)]
        found, cost = found.at(looked_at), cost[looked_at]
        moved = outline_drift(mesh, faces, near, found, drift)
        rows = np.flatnonzero(keeps_topology(found, near) & (moved <= outline_tolerance))
        rows = first_of_each(found.u[rows], rows, effort.tries_per_point or len(rows))
        rows = rows[keeps_shape(mesh, faces, near, found.at(rows))]
        rows = first_of_each(found.u[rows], rows, 1)
        wanted = (len(faces) - triangle_count + 1) // 2
        rows = independent(found, cheap_ones(rows, cost, wanted), cost, near)[:wanted]
        if not len(rows):
            effort = effort.harder()
            continue
        faces = carried_out(mesh, faces, quadrics, found.at(rows))
        for side in (0, 1):
            sided = rows[found.two_sided[rows]] if side else rows
            np.maximum.at(drift, found.target[side][sided], moved[sided])
        near = surroundings(faces, mesh.points, points)
    return faces


def collapse_costs(found: Candidates, quadrics: Quadrics, mesh: WedgeMesh) -> Float64[np.ndarray, "candidates"]:
    """Quadric error of each collapse, both sides of a seam together."""
    cost = quadrics.cost(found.source[0], found.target[0], mesh.coordinates)
    two = found.two_sided
    cost[two] += quadrics.cost(found.source[1][two], found.target[1][two], mesh.coordinates)
    return cost


def cheap_ones(
    rows: Int64[np.ndarray, "valid"], cost: Float64[np.ndarray, "candidates"], wanted: int
) -> Int64[np.ndarray, "kept"]:
    """Those no dearer than the last that is wanted, and than half of all: a round must not run ahead of its costs."""
    if not len(rows):
        return rows
    dearest = min(wanted, int(len(rows) * ROUND_SHARE) + 1, len(rows)) - 1
    return rows[cost[rows] <= cost[rows[dearest]] + SAME_COST]


def carried_out(
    mesh: WedgeMesh, faces: Int64[np.ndarray, "f 3"], quadrics: Quadrics, chosen: Candidates
) -> Int64[np.ndarray, "left 3"]:
    """Faces after the collapses; quadrics go over to the targets."""
    into = np.arange(len(mesh.points))
    for side in (0, 1):
        rows = chosen.two_sided if side else slice(None)
        source, target = chosen.source[side][rows], chosen.target[side][rows]
        into[source] = target
        quadrics.merge(source, target)
    faces = into[faces]
    ends = mesh.points[faces]
    return faces[(ends[:, 0] != ends[:, 1]) & (ends[:, 1] != ends[:, 2]) & (ends[:, 2] != ends[:, 0])]


def outline_drift(
    mesh: WedgeMesh, faces: Int64[np.ndarray, "f 3"], near: Surroundings, found: Candidates, drift: np.ndarray
) -> Float64[np.ndarray, "candidates"]:
    """How far the outline would lie from where it was in the texture; 0 for collapses off all outlines."""
    result = np.zeros(len(found.source[0]))
    if mesh.coordinates.shape[1] < 5:
        return result
    start, end = near.feature_half_edges(faces)
    onward = np.full((2, len(mesh.points)), -1)
    onward[0, start], onward[1, end] = end, start
    uv = mesh.coordinates[:, 3:]
    for side in (0, 1):
        rows = np.flatnonzero(found.on_feature & (found.two_sided if side else True))
        source, target = found.source[side][rows], found.target[side][rows]
        other = np.where(onward[0, source] == target, onward[1, source], onward[0, source])
        line, offset = uv[other] - uv[target], uv[source] - uv[target]
        along = np.einsum("ni,ni->n", line, offset) / np.maximum(np.einsum("ni,ni->n", line, line), 1e-300)
        away = np.linalg.norm(offset - np.clip(along, 0.0, 1.0)[:, None] * line, axis=1)
        result[rows] = np.maximum(result[rows], away + np.maximum(drift[source], drift[target]))
    return result


def keeps_topology(found: Candidates, near: Surroundings) -> Bool[np.ndarray, "candidates"]:
    """Link condition (Dey et al. 1999): the two points share only the neighbours across their common faces.

    Those neighbours must keep at least three neighbours of their own (two at a border), so that no piece folds flat.
    """
    row, neighbour = near.neighbours(found.u)
    shared = near.has_edge(found.v[row], neighbour)
    count = np.bincount(row[shared], minlength=len(found.u))
    least = np.where(near.on_border, 3, 4)
    thin = shared & (near.valence[neighbour] < least[neighbour])
    broken = np.bincount(row[thin], minlength=len(found.u)) > 0
    return (count == np.where(found.at_border, 1, 2)) & ~broken


def keeps_shape(
    mesh: WedgeMesh, faces: Int64[np.ndarray, "f 3"], near: Surroundings, found: Candidates
) -> Bool[np.ndarray, "candidates"]:
    """No face around the moved point turns over, in space or in the texture, or becomes a sliver."""
    row, corner = near.star(found.u)
    face, at = corner // 3, corner % 3
    stays = (mesh.points[faces[face]] != found.v[row][:, None]).all(axis=1)
    row, face, at = row[stays], face[stays], at[stays]
    before = faces[face]
    wedge = before[np.arange(len(at)), at]
    first = wedge == found.source[0][row]
    second = wedge == found.source[1][row]
    after = before.copy()
    after[np.arange(len(at)), at] = np.where(first, found.target[0][row], found.target[1][row])
    old, new = mesh.coordinates[before], mesh.coordinates[after]
    good = first | second
    normals = [np.cross(c[:, 1, :3] - c[:, 0, :3], c[:, 2, :3] - c[:, 0, :3]) for c in (old, new)]
    lengths = [np.linalg.norm(normal, axis=1) for normal in normals]
    turned = np.einsum("ni,ni->n", normals[0], normals[1]) < LEAST_COSINE * lengths[0] * lengths[1]
    spread = [((c[:, [1, 2, 0], :3] - c[:, :, :3]) ** 2).sum(axis=(1, 2)) for c in (old, new)]
    quality = [
        2.0 * np.sqrt(3.0) * length / np.maximum(size, 1e-300) for length, size in zip(lengths, spread, strict=True)
    ]
    good &= ~turned & ((quality[1] > LEAST_QUALITY) | (quality[1] > quality[0])) & (lengths[1] > 0.0)
    if mesh.coordinates.shape[1] == 5:
        areas = [
            (c[:, 1, 3] - c[:, 0, 3]) * (c[:, 2, 4] - c[:, 0, 4])
            - (c[:, 1, 4] - c[:, 0, 4]) * (c[:, 2, 3] - c[:, 0, 3])
            for c in (old, new)
        ]
        good &= (areas[0] == 0.0) | (areas[0] * areas[1] > 0.0)
    return np.bincount(row[~good], minlength=len(found.u)) == 0


def first_of_each(owners: Int64[np.ndarray, "n"], rows: Int64[np.ndarray, "n"], most: int) -> Int64[np.ndarray, "kept"]:
    """The first ``most`` rows of each owner, in the order given."""
    order = np.argsort(owners, kind="stable")
    sorted_owners = owners[order]
    begins = np.flatnonzero(np.diff(sorted_owners, prepend=-1))
    place = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    return rows[np.sort(order[place < most])]


def independent(
    found: Candidates, rows: Int64[np.ndarray, "valid"], cost: Float64[np.ndarray, "candidates"], near: Surroundings
) -> Int64[np.ndarray, "chosen"]:
    """Rows whose points and neighbours do not meet; cheap ones win, and chance decides between nearly equal ones.

    Without the chance a smooth slope of costs would let only its lowest point win. Cheap ones come first.
    """
    step = np.floor(np.log2(np.maximum(cost[rows], 1e-30)) / 2.0)
    chance = found.u[rows] * 2654435761 % (1 << 32)
    rows = rows[np.lexsort((chance, step))]
    taken = np.zeros(len(near.valence), bool)
    chosen: list[Int64[np.ndarray, "n"]] = []
    for _ in range(PASSES):
        row, neighbour = near.neighbours(found.u[rows])
        row = np.concatenate([np.arange(len(rows)), row])
        point = np.concatenate([found.u[rows], neighbour])
        free = np.bincount(row[taken[point]], minlength=len(rows)) == 0
        owner = np.full(len(taken), len(rows))
        np.minimum.at(owner, point[free[row]], row[free[row]])
        lost = np.bincount(row[owner[point] != row], minlength=len(rows)) > 0
        won = free & ~lost
        if not won.any():
            break
        chosen.append(rows[won])
        taken[point[won[row]]] = True
        rows = rows[free & ~won]
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)
