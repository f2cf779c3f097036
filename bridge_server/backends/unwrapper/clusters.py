"""First cut of a mesh: faces that look the same way grow together.

Hierarchical face clustering (Garland et al. 2001) by the normal error of variational shape approximation
(Cohen-Steiner et al. 2004), in rounds in which every pair that likes each other best grows together at once.
Normals are smoothed before, so that noise and stairs do not fray the clusters into slivers.
"""

import numpy as np
from jaxtyping import Float64, Int64

SMOOTHING_ROUNDS = 4
"""Rounds in which a face normal takes the mean of its neighbours', weighed by area and likeness."""
LIKENESS = 4.0
"""How fast a neighbour that looks elsewhere loses its say."""
COMPACT = 0.02
"""How heavy a ragged outline weighs beside the normal error."""
ROUNDS = 60
STRAIGHTENING_ROUNDS, DIFFUSION_STEPS = 6, 10
MOST_WEIGHT = 4.0
"""No edge counts for more than this times the distance of the faces beside it."""
FITTING_COSINE = 0.3
"""A face goes over only to a cluster whose mean normal is within about 70 degrees of its own."""
HALVINGS = 8
SQUARE = 0.6
"""A cluster that covers so much of the square over its length is left whole, long or not."""


def smoothed_normals(
    normals: Float64[np.ndarray, "faces 3"],
    areas_m2: Float64[np.ndarray, "faces"],
    beside: Int64[np.ndarray, "faces 3"],
) -> Float64[np.ndarray, "faces 3"]:
    """Unit normals after bilateral smoothing; ``beside`` is -1 where a face has no neighbour."""
    there = beside >= 0
    other = np.where(there, beside, 0)
    share = np.where(there, areas_m2[other], 0.0)
    unit = normals
    for _ in range(SMOOTHING_ROUNDS):
        near = unit[other]
        unlike = 1.0 - np.einsum("fki,fi->fk", near, unit)
        weight = share * np.exp(-LIKENESS * unlike)
        mean = unit * areas_m2[:, None] + np.einsum("fk,fki->fi", weight, near)
        length = np.linalg.norm(mean, axis=1, keepdims=True)
        unit = np.divide(mean, length, out=unit.copy(), where=length > 0.0)
    return unit


def grown_clusters(
    normals: Float64[np.ndarray, "faces 3"],
    areas_m2: Float64[np.ndarray, "faces"],
    links: Int64[np.ndarray, "links 2"],
    lengths_m: Float64[np.ndarray, "links"],
    deviation: float,
) -> Int64[np.ndarray, "faces"]:
    """Cluster of each face, counted from 0; ``links`` are pairs of faces that share an edge of that length.

    ``deviation`` is the most that the mean of ``1 - cosine`` to the common normal may reach.
    """
    count = len(normals)
    label = np.arange(count)
    total: Float64[np.ndarray, "clusters 3"] = normals * areas_m2[:, None]
    area: Float64[np.ndarray, "clusters"] = areas_m2
    outline: Float64[np.ndarray, "clusters"] = np.bincount(links.reshape(-1), np.repeat(lengths_m, 2), minlength=count)
    ends, length = links, lengths_m
    for _ in range(ROUNDS):
        if len(ends) == 0:
            break
        one, other = ends.T
        together = area[one] + area[other]
        spread = 1.0 - np.linalg.norm(total[one] + total[other], axis=1) / np.maximum(together, 1e-300)
        around = np.maximum(outline[one] + outline[other] - 2.0 * length, 0.0)
        cost = spread + COMPACT * around**2 / np.maximum(4.0 * np.pi * together, 1e-300)
        cost = np.where(spread <= deviation, cost, np.inf)
        best = np.full(len(area), np.inf)
        np.minimum.at(best, one, cost)
        np.minimum.at(best, other, cost)
        liked = np.flatnonzero(np.isfinite(cost) & (cost <= best[one]) & (cost <= best[other]))
        if len(liked) == 0:
            break
        taken = np.full(len(area), len(ends))
        np.minimum.at(taken, one[liked], liked)
        np.minimum.at(taken, other[liked], liked)
        liked = liked[(taken[one[liked]] == liked) & (taken[other[liked]] == liked)]
        parent = np.arange(len(area))
        parent[other[liked]] = one[liked]
        kept, renumbered = np.unique(parent, return_inverse=True)
        label = renumbered[label]
        size = len(kept)
        outline = np.bincount(renumbered, outline, minlength=size)
        outline -= np.bincount(renumbered[one[liked]], 2.0 * length[liked], minlength=size)
        area = np.bincount(renumbered, area, minlength=size)
        total = np.stack([np.bincount(renumbered, total[:, axis], minlength=size) for axis in range(3)], axis=1)
        ends, length = _linked(renumbered[ends], length, size)
    return label


def _linked(
    ends: Int64[np.ndarray, "links 2"], length: Float64[np.ndarray, "links"], size: int
) -> tuple[Int64[np.ndarray, "fewer 2"], Float64[np.ndarray, "fewer"]]:
    """Links between different clusters, each pair once, with the sum of the lengths."""
    low, high = ends.min(axis=1), ends.max(axis=1)
    apart = low != high
    code, inverse = np.unique(low[apart] * size + high[apart], return_inverse=True)
    summed = np.bincount(inverse.reshape(-1), length[apart], minlength=len(code))
    return np.stack([code // size, code % size], axis=1), summed


def straightened(
    labels: Int64[np.ndarray, "faces"],
    normals: Float64[np.ndarray, "faces 3"],
    areas_m2: Float64[np.ndarray, "faces"],
    links: Int64[np.ndarray, "links 2"],
    weights: Float64[np.ndarray, "links"],
) -> Int64[np.ndarray, "faces"]:
    """Shorter, smoother seams: membership diffuses over the surface and the strongest wins.

    That is motion by mean curvature (Merriman, Bence and Osher 1992); a face goes over only to a cluster whose mean
    normal is near its own. ``weights`` are edge lengths over distances between centres.
    """
    from scipy.sparse import coo_matrix

    count = len(labels)
    one, other = links.T
    share = np.minimum(weights, MOST_WEIGHT)
    degree = np.bincount(links.reshape(-1), np.repeat(share, 2), minlength=count)
    step = 0.5 / np.maximum(degree, 1e-300)
    rows = np.concatenate([one, other, np.arange(count)])
    columns = np.concatenate([other, one, np.arange(count)])
    values = np.concatenate([share * step[one], share * step[other], np.where(degree > 0, 0.5, 1.0)])
    matrix = coo_matrix((values, (rows, columns)), shape=(count, count)).tocsr()
    for _ in range(STRAIGHTENING_ROUNDS):
        summed = np.stack([np.bincount(labels, normals[:, axis] * areas_m2) for axis in range(3)], axis=1)
        mean = summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-300)
        member = coo_matrix((np.ones(count), (np.arange(count), labels)), shape=(count, len(mean))).tocsr()
        for _ in range(DIFFUSION_STEPS):
            member = matrix @ member
        member = member.tocoo()
        fit = np.einsum("ni,ni->n", mean[member.col], normals[member.row]) - FITTING_COSINE
        strength = member.data * np.where(member.col == labels[member.row], np.maximum(fit, 1e-9), np.maximum(fit, 0.0))
        order = np.lexsort((strength, member.row))
        last = np.concatenate([member.row[order][1:] != member.row[order][:-1], [True]])
        labels = np.unique(member.col[order][last].astype(np.int64), return_inverse=True)[1].reshape(-1)
    return labels


def halved(
    labels: Int64[np.ndarray, "faces"],
    middles_m: Float64[np.ndarray, "faces 3"],
    areas_m2: Float64[np.ndarray, "faces"],
    extent_m: float,
) -> Int64[np.ndarray, "faces"]:
    """Clusters longer than the extent are cut across in the middle of their surface, until none is."""
    for _ in range(HALVINGS):
        count = int(labels.max()) + 1
        area = np.maximum(np.bincount(labels, areas_m2, count), 1e-300)
        center = np.stack([np.bincount(labels, areas_m2 * middles_m[:, i], count) / area for i in range(3)], axis=1)
        away = middles_m - center[labels]
        moments = [np.bincount(labels, areas_m2 * away[:, i] * away[:, j], count) for i in range(3) for j in range(3)]
        spread, axes = np.linalg.eigh(np.stack(moments, axis=1).reshape(count, 3, 3))
        along = np.einsum("fi,fi->f", away, axes[:, :, 2][labels])
        length = np.sqrt(12.0 * np.maximum(spread[:, 2], 0.0) / area)  # exact for a strip of even width
        long = (length > extent_m) & (area < SQUARE * length**2)
        if not long.any():
            break
        far = long[labels] & (along > 0.0)
        labels = np.unique(labels * 2 + far, return_inverse=True)[1].reshape(-1)
    return labels
