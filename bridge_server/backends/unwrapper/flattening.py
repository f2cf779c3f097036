"""Charts laid flat with as little stretch as they can: as rigid as possible (Liu et al. 2008).

Every triangle asks to be laid down as it is, only turned; the sparse system that reconciles them has one matrix,
factorised once for any number of charts at once, so a round of turning and solving costs milliseconds.
Places in the plane are complex numbers, in metres.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex128, Float64, Int64

LEAST_COTANGENT, MOST_COTANGENT = 0.05, 10.0
"""Cotangents are held within these, so that slivers and obtuse corners neither tear nor flip their neighbours."""


@dataclass(frozen=True, slots=True)
class Flattened:
    """Places and how well each face kept its shape."""

    places: Complex128[np.ndarray, "vertices"]
    large: Float64[np.ndarray, "faces"]
    """Greater singular value of the map from the surface to the plane; 1 keeps lengths."""
    small: Float64[np.ndarray, "faces"]
    """Lesser one, negative where the face is flipped."""


def lying_flat(corners_m: Float64[np.ndarray, "faces 3 3"]) -> Complex128[np.ndarray, "faces 3"]:
    """Each triangle on its own in the plane, the first corner at 0, wound counter-clockwise."""
    along, other = corners_m[:, 1] - corners_m[:, 0], corners_m[:, 2] - corners_m[:, 0]
    length = np.linalg.norm(along, axis=1)
    safe = np.where(length > 0.0, length, 1.0)
    across = np.einsum("fi,fi->f", along, other) / safe
    height = np.linalg.norm(np.cross(along, other), axis=1) / safe
    return np.stack([np.zeros(len(length), np.complex128), length + 0j, across + 1j * height], axis=1)


def flattened(
    shapes: Complex128[np.ndarray, "faces 3"],
    faces: Int64[np.ndarray, "faces 3"],
    start: Complex128[np.ndarray, "vertices"],
    pinned: Int64[np.ndarray, "charts"],
    rounds: int,
) -> Flattened:
    """Improve ``start``; one vertex of each chart is pinned, all others are free."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import splu

    count = len(start)
    edges = np.roll(shapes, -1, axis=1) - shapes
    weights = _cotangents(shapes)
    heads, tails = np.roll(faces, -1, axis=1).reshape(-1), faces.reshape(-1)
    flat = weights.reshape(-1)
    rows = np.concatenate([heads, tails, heads, tails, pinned])
    columns = np.concatenate([heads, tails, tails, heads, pinned])
    values = np.concatenate([flat, flat, -flat, -flat, np.ones(len(pinned))])
    matrix = coo_matrix((values, (rows, columns)), shape=(count, count)).tocsc()
    solver = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    places = start
    for _ in range(rounds):
        wanted = (weights * edges * _turns(places, faces, weights, edges)[:, None]).reshape(-1)
        pull = np.bincount(heads, wanted.real, count) - np.bincount(tails, wanted.real, count)
        lift = np.bincount(heads, wanted.imag, count) - np.bincount(tails, wanted.imag, count)
        solved = solver.solve(np.stack([pull, lift], axis=1))
        places = solved[:, 0] + 1j * solved[:, 1]
    large, small = singular_values(shapes, places[faces])
    return Flattened(places=places, large=large, small=small)


def singular_values(
    shapes: Complex128[np.ndarray, "faces 3"], corners: Complex128[np.ndarray, "faces 3"]
) -> tuple[Float64[np.ndarray, "faces"], Float64[np.ndarray, "faces"]]:
    """Greater and lesser singular value of the map that takes each shape to its corners; 1 where it has no area."""
    a, b = shapes[:, 1] - shapes[:, 0], shapes[:, 2] - shapes[:, 0]
    p, q = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = a.real * b.imag - a.imag * b.real
    sound = area > 0.0
    safe = np.where(sound, area, 1.0)
    # f(z) = m z + n conj(z): the singular values are |m| + |n| and |m| - |n|
    m = (p * np.conj(b) - q * np.conj(a)) / (-2j * safe)
    n = (q * a - p * b) / (-2j * safe)
    large, small = np.abs(m) + np.abs(n), np.abs(m) - np.abs(n)
    return np.where(sound, large, 1.0), np.where(sound, small, 1.0)


def _turns(
    places: Complex128[np.ndarray, "vertices"],
    faces: Int64[np.ndarray, "faces 3"],
    weights: Float64[np.ndarray, "faces 3"],
    edges: Complex128[np.ndarray, "faces 3"],
) -> Complex128[np.ndarray, "faces"]:
    """The rotation, as a complex number of length 1, that brings each triangle closest to where it lies now."""
    corners = places[faces]
    now = np.roll(corners, -1, axis=1) - corners
    turn = (weights * now * np.conj(edges)).sum(axis=1)
    length = np.abs(turn)
    return np.where(length > 0.0, turn / np.where(length > 0.0, length, 1.0), 1.0)


def _cotangents(shapes: Complex128[np.ndarray, "faces 3"]) -> Float64[np.ndarray, "faces 3"]:
    """For each edge the cotangent of the angle across from it, within limits."""
    across = np.roll(shapes, 1, axis=1)
    one, other = shapes - across, np.roll(shapes, -1, axis=1) - across
    turn = other * np.conj(one)
    bent = np.abs(turn.imag)
    cotangent = np.divide(turn.real, bent, out=np.ones_like(bent), where=bent > 0.0)
    return np.clip(cotangent, LEAST_COTANGENT, MOST_COTANGENT)
