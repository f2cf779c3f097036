"""Choosing which triangles become quads: best pairs first, then chains of swaps that free nobody and join two more."""

from collections import deque

import numpy as np
from jaxtyping import Float64, Int64

from bridge_server.run import Run

LARGEST_TREE = 64
"""How many triangles a search for a chain looks at before it gives up."""
FACES_PER_CHECKPOINT = 1 << 12


def matched(
    count: int, pairs: Int64[np.ndarray, "pairs 2"], quality: Float64[np.ndarray, "pairs"], run: Run
) -> Int64[np.ndarray, "chosen"]:
    """Pairs in which no face comes twice, ascending; equal qualities are taken in the order of the pairs."""
    order = np.argsort(-np.round(quality, 9), kind="stable")
    around: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    mate = [-1] * count
    by = [-1] * count
    """Through which pair each face has its mate."""
    ends = pairs.tolist()
    for row in order.tolist():
        first, second = ends[row]
        around[first].append((second, row))
        around[second].append((first, row))
        if mate[first] < 0 and mate[second] < 0:
            mate[first], mate[second] = second, first
            by[first] = by[second] = row
    single = [face for face in range(count) if mate[face] < 0 and around[face]]
    for done, face in enumerate(single):
        if done % FACES_PER_CHECKPOINT == 0:
            run.checkpoint(done / len(single), "pairing triangles")
        if mate[face] < 0:
            for first, second, row in _chain(face, around, mate):
                mate[first], mate[second] = second, first
                by[first] = by[second] = row
    return np.unique([row for row in by if row >= 0]).astype(np.int64)


def _chain(root: int, around: list[list[tuple[int, int]]], mate: list[int]) -> list[tuple[int, int, int]]:
    """New pairs along the shortest alternating path to another single face (Berge 1957); empty where none is near.

    Every face comes once in the tree, so the path is simple; odd cycles are not shrunk, which misses a few paths.
    """
    parent: dict[int, tuple[int, int, int]] = {}
    seen, queue = {root}, deque([root])
    while queue and len(seen) < LARGEST_TREE:
        face = queue.popleft()
        for other, row in around[face]:
            if other in seen:
                continue
            if mate[other] < 0:
                path = [(face, other, row)]
                while face != root:
                    path.append(parent[face])
                    face = parent[face][0]
                return path
            beyond = mate[other]
            seen |= {other, beyond}
            parent[beyond] = (face, other, row)
            queue.append(beyond)
    return []
