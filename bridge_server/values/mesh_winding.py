"""Consistent and outward winding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64

from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import EdgeTable, component_labels, edge_table, half_edge_ends, half_edge_pairs
from bridge_server.values.winding_number import WindingField, winding_field, winding_number

FACING_SHARE = 0.25
"""An open piece counts as inside out where it faces its own centre at least this much (a sphere does fully, at 1)."""


@dataclass(frozen=True, slots=True)
class Winding:
    """How a mesh has to be turned."""

    flip: Bool[np.ndarray, "faces"]
    pieces: Int64[np.ndarray, "faces"]
    """Piece of each face; pieces hang together by edges of exactly two faces."""
    conflicts: int
    """Edges whose faces cannot agree, as on a Möbius strip."""


Judge: TypeAlias = Callable[[Mesh, Int64[np.ndarray, "faces"], Bool[np.ndarray, "pieces"]], Int8[np.ndarray, "pieces"]]
"""Says of the open pieces among those of a mesh whether they face outward (1), inward (-1) or cannot be told (0)."""


def as_given(
    mesh: Mesh, pieces: Int64[np.ndarray, "faces"], asked: Bool[np.ndarray, "pieces"]
) -> Int8[np.ndarray, "pieces"]:
    """The judge that leaves every open piece as most of its faces are."""
    del mesh, pieces
    return asked.astype(np.int8)


def oriented_outward(mesh: Mesh, judge: Judge = as_given, table: EdgeTable | None = None) -> tuple[Mesh, Winding]:
    """Turn faces so that neighbours agree and solids face outward; ``table`` is that of the mesh, if it is known.

    A closed piece inside another one is a cavity or a part: it keeps its given sense relative to the one around it.
    An open piece goes by the ``judge``; one that it cannot tell goes by its own shape, where that has a clear inside.
    """
    table = table or edge_table(mesh.faces)
    flip, pieces, conflicts = agreeing_flips(mesh, table)
    count = int(pieces.max(initial=-1)) + 1
    turned = np.bincount(pieces, flip, count) * 2 > np.bincount(pieces, minlength=count)
    flip = flip ^ turned[pieces]
    agreed = with_flips(mesh, flip) if flip.any() else mesh
    flip = flip ^ inside_out(agreed, pieces, judge, table)[pieces]
    return (with_flips(mesh, flip) if flip.any() else mesh), Winding(flip, pieces, conflicts)


def with_flips(mesh: Mesh, flip: Bool[np.ndarray, "faces"]) -> Mesh:
    """The mesh with some faces turned over."""
    return Mesh(positions_m=mesh.positions_m, faces=np.where(flip[:, None], mesh.faces[:, ::-1], mesh.faces))


def agreeing_flips(
    mesh: Mesh, table: EdgeTable | None = None
) -> tuple[Bool[np.ndarray, "faces"], Int64[np.ndarray, "faces"], int]:
    """Which faces to turn so that neighbours agree, the piece of each face, and how many edges stay at odds.

    Walks breadth first over edges of two faces and carries the parity of turns along.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order

    count = len(mesh.faces)
    pairs = half_edge_pairs(table or edge_table(mesh.faces))
    ends = half_edge_ends(mesh.faces)
    odd = ends[pairs[:, 0], 0] == ends[pairs[:, 1], 0]
    links = pairs // 3
    pieces = component_labels(count, links)
    roots = np.unique(pieces, return_index=True)[1]
    rows = np.concatenate([links[:, 0], np.full(len(roots), count)])
    columns = np.concatenate([links[:, 1], roots])
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(count + 1, count + 1)).tocsr()
    parent = np.asarray(breadth_first_order(graph, count, directed=False)[1], np.int64)
    parent[count] = count
    low, high = np.minimum(*links.T), np.maximum(*links.T)
    codes, first = np.unique(low << 32 | high, return_index=True)
    child = np.arange(count + 1)
    wanted = np.minimum(child, parent) << 32 | np.maximum(child, parent)
    at = np.minimum(np.searchsorted(codes, wanted), max(len(codes) - 1, 0))
    parity = np.zeros(count + 1, bool)
    if len(codes):
        parity = (codes[at] == wanted) & odd[first[at]]
    while (parent != count).any():
        parity, parent = parity ^ parity[parent], parent[parent]
    flip = parity[:count]
    return flip, pieces, int((flip[links[:, 0]] ^ flip[links[:, 1]] ^ odd).sum())


def inside_out(
    mesh: Mesh, pieces: Int64[np.ndarray, "faces"], judge: Judge, table: EdgeTable
) -> Bool[np.ndarray, "pieces"]:
    """Which pieces have to be turned as a whole; neighbours must agree already.

    ``table`` may be from before faces were turned: only which faces have a border is read off it.
    """
    count = int(pieces.max(initial=-1)) + 1
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1)
    middle = corners.mean(axis=1)
    total = np.maximum(np.bincount(pieces, area, count), 1e-300)
    center = np.stack([np.bincount(pieces, middle[:, i] * area, count) for i in range(3)], axis=1) / total[:, None]
    offset = middle - center[pieces]
    facing = np.bincount(pieces, np.einsum("fi,fi->f", offset, cross), count)
    reach = np.bincount(pieces, np.linalg.norm(offset, axis=1) * area, count)
    is_border = table.counts[table.of_half_edge] != 2
    closed = np.bincount(np.repeat(pieces, 3)[is_border], minlength=count) == 0
    wrong = np.where(closed, facing < 0.0, facing < -FACING_SHARE * reach)
    if not closed.all():
        votes = judge(mesh, pieces, ~closed)
        wrong = np.where(closed | (votes == 0), wrong, votes < 0)
    if not wrong[closed].any() or wrong[closed].all():
        return wrong
    for piece, container in sorted(containers(corners, pieces, closed, wrong).items(), key=lambda item: item[1][1]):
        around, depth = container
        if depth % 2:
            wrong[piece] = wrong[around]
    return wrong


def containers(
    corners: Float64[np.ndarray, "faces 3 3"],
    pieces: Int64[np.ndarray, "faces"],
    closed: Bool[np.ndarray, "pieces"],
    wrong: Bool[np.ndarray, "pieces"] | None = None,
) -> dict[int, tuple[int, int]]:
    """For each closed piece that lies inside others: the innermost of those, and how many there are.

    With ``wrong``, which pieces are wound inward, a piece is left out where all that may hold it are wound like
    itself: to winding it then does not matter.
    """
    count = len(closed)
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, pieces, corners.min(axis=1))
    np.maximum.at(high, pieces, corners.max(axis=1))
    size = (high - low).prod(axis=1)
    first = np.unique(pieces, return_index=True)[1]
    found: dict[int, tuple[int, int]] = {}
    fields: dict[int, WindingField] = {}
    for piece in np.flatnonzero(closed):
        around = closed & (low < low[piece]).all(axis=1) & (high > high[piece]).all(axis=1)
        if wrong is not None and not (wrong[around] != wrong[piece]).any():
            continue
        holding = []
        for outer in np.flatnonzero(around).tolist():
            if outer not in fields:
                fields[outer] = winding_field(corners[pieces == outer])
            if abs(fields[outer].at(corners[first[piece]].mean(axis=0)[None])[0]) > 0.5:
                holding.append(outer)
        if holding:
            found[int(piece)] = (min(holding, key=lambda outer: size[outer]), len(holding))
    return found


def encloses(corners: Float64[np.ndarray, "faces 3 3"], point: Float64[np.ndarray, "3"]) -> bool:
    """Whether a closed surface holds the point, by its winding number."""
    return abs(winding_number(corners, point)) > 0.5
