"""Pairs of faces that run through each other, counted over a tree of boxes.

A pair counts where an edge of one face goes from one side of the other to the other side, through it or through its
border. Faces that share corners count only where they meet elsewhere; faces that lie in one plane do not count.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from bridge_server.run import Run
from bridge_server.values.mesh import Mesh

PAIRS_AT_ONCE = 1 << 19
ERROR = 1e-15
"""Relative error of a determinant of three differences in double precision (Shewchuk 1997 has 7.8e-16)."""
FOUR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
"""Children of two nodes that are compared."""


@dataclass(frozen=True, slots=True)
class BoxTree:
    """Boxes of faces along a curve that fills space, and boxes around each two of the level below."""

    order: Int64[np.ndarray, "faces"]
    """Faces in the order of the leaves."""
    low: list[Float64[np.ndarray, "nodes 3"]]
    """One array a level, the root first, the leaves last; empty boxes have infinite lows."""
    high: list[Float64[np.ndarray, "nodes 3"]]


def crossing_pairs(mesh: Mesh, run: Run) -> Int64[np.ndarray, "pairs 2"]:
    """All pairs of faces that cross, the lower number first."""
    if not len(mesh.faces):
        return np.zeros((0, 2), np.int64)
    corners = mesh.positions_m[mesh.faces].astype(np.float64)
    tree = _box_tree(corners)
    found = [np.zeros((0, 2), np.int64)]
    stack: list[tuple[int, Int64[np.ndarray, "pairs 2"]]] = [(0, np.zeros((1, 2), np.int64))]
    while stack:
        run.checkpoint(0.0, "looking for faces that cross")
        level, pairs = stack.pop()
        if level == len(tree.low) - 1:
            faces = np.sort(tree.order[pairs[pairs[:, 0] != pairs[:, 1]]], axis=1)
            found.append(faces[_cross(corners, mesh.faces, faces)])
            continue
        below = _pairs_below(tree, level + 1, pairs)
        stack += [(level + 1, below[start : start + PAIRS_AT_ONCE]) for start in range(0, len(below), PAIRS_AT_ONCE)]
    pairs = np.concatenate(found)
    return pairs[np.lexsort(pairs.T[::-1])]


def _box_tree(corners: Float64[np.ndarray, "faces 3 3"]) -> BoxTree:
    middle = corners.mean(axis=1)
    low = middle.min(axis=0)
    side = float((middle.max(axis=0) - low).max()) or 1.0
    cell = np.minimum((middle - low) / side * 1024.0, 1023.0).astype(np.int64)
    code = np.zeros(len(corners), np.int64)
    for bit in range(10):
        code |= ((cell >> bit & 1) << (3 * bit + np.arange(3))).sum(axis=1)
    order = np.argsort(code, kind="stable")
    width = 1 << int(np.ceil(np.log2(len(corners))))
    lows, highs = np.full((width, 3), np.inf), np.full((width, 3), -np.inf)
    lows[: len(order)], highs[: len(order)] = corners[order].min(axis=1), corners[order].max(axis=1)
    tree = BoxTree(order, [lows], [highs])
    while len(tree.low[0]) > 1:
        tree.low.insert(0, tree.low[0].reshape(-1, 2, 3).min(axis=1))
        tree.high.insert(0, tree.high[0].reshape(-1, 2, 3).max(axis=1))
    return tree


def _pairs_below(tree: BoxTree, level: int, pairs: Int64[np.ndarray, "pairs 2"]) -> Int64[np.ndarray, "below 2"]:
    """Children of the paired nodes whose boxes meet, each pair once."""
    below = (2 * pairs[:, None] + FOUR).reshape(-1, 2)
    below = below[below[:, 0] <= below[:, 1]]
    one, two = below.T
    low, high = tree.low[level], tree.high[level]
    return np.asarray(below[((low[one] <= high[two]) & (low[two] <= high[one])).all(axis=1)])


def _cross(
    corners: Float64[np.ndarray, "faces 3 3"],
    faces: np.ndarray,
    pairs: Int64[np.ndarray, "pairs 2"],
) -> Bool[np.ndarray, "pairs"]:
    """Whether an edge of either face runs through the other one; edges that end at a shared corner are left out."""
    found = np.zeros(len(pairs), bool)
    for one, two in (pairs.T, pairs.T[::-1]):
        own = (faces[one][:, :, None] == faces[two][:, None, :]).any(axis=2)
        for corner in range(3):
            onward = (corner + 1) % 3
            asked = np.flatnonzero(~found & ~own[:, corner] & ~own[:, onward])
            start, end = corners[one[asked], corner], corners[one[asked], onward]
            found[asked] = _pierced(start, end, corners[two[asked]], own[asked].any(axis=1))
    return found


def _pierced(
    start: Float64[np.ndarray, "pairs 3"],
    end: Float64[np.ndarray, "pairs 3"],
    face: Float64[np.ndarray, "pairs 3 3"],
    inner: Bool[np.ndarray, "pairs"],
) -> Bool[np.ndarray, "pairs"]:
    """Whether the way from start to end goes through the face; where ``inner``, not through its border."""
    a, b, c = (face[:, k] for k in range(3))
    across = _side(a, b, c, start) * _side(a, b, c, end) < 0
    around = np.stack([_side(start, end, p, q) for p, q in ((a, b), (b, c), (c, a))])
    least = inner.astype(np.int64)
    through = (around >= least).all(axis=0) | (around <= -least).all(axis=0)
    return np.asarray(across & through & around.any(axis=0))


def _side(
    a: Float64[np.ndarray, "n 3"],
    b: Float64[np.ndarray, "n 3"],
    c: Float64[np.ndarray, "n 3"],
    d: Float64[np.ndarray, "n 3"],
) -> Int64[np.ndarray, "n"]:
    """Sign of the volume of four points; 0 where the arithmetic cannot tell."""
    (x, y, z), (u, v, w), (p, q, r) = ((a - d).T, (b - d).T, (c - d).T)
    value = p * (y * w - z * v) + q * (z * u - x * w) + r * (x * v - y * u)
    size = abs(p) * (abs(y * w) + abs(z * v)) + abs(q) * (abs(z * u) + abs(x * w)) + abs(r) * (abs(x * v) + abs(y * u))
    return np.asarray(np.where(np.abs(value) > ERROR * size, np.sign(value), 0.0), np.int64)
