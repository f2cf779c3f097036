"""Charts that grow together for as long as their union lies flat with little stretch and without overlap.

In every round charts pair up by how much seam the union saves and how well the two outlines fit; all unions of a
round are laid flat in one sparse system, and each is kept or undone on its own.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex128, Float64, Int64

from bridge_server.backends.unwrapper.chart_state import Charts, Surface, following, laid_flat
from bridge_server.backends.unwrapper.union_checks import Limits, Unions, within
from bridge_server.run import Run

ROUNDS = 24
TRIAL_ROUNDS = 4
"""Rounds of turning and solving before a union is judged."""
MISFIT = 0.10
"""Pairs whose outlines miss each other by more than this share of the common seam are not tried."""
OTHER_ARC = 0.03
"""A second common arc closes too where its sides come to lie so close, as a share of its length."""
HARD_SHARE = 0.5
"""A common arc of which so much shades hard stays open."""


@dataclass(frozen=True, slots=True)
class _Arcs:
    """Stretches of seam between two charts, and the motion that would close each."""

    pair: Int64[np.ndarray, "arcs 2"]
    length_m: Float64[np.ndarray, "arcs"]
    misfit: Float64[np.ndarray, "arcs"]
    """Root mean square distance between the sides after the motion, as a share of the length."""
    turn: Complex128[np.ndarray, "arcs"]
    shift: Complex128[np.ndarray, "arcs"]
    """``turn * place + shift`` brings the second chart of the pair to the first."""
    hard: Float64[np.ndarray, "arcs"]
    half_edges: Int64[np.ndarray, "seam"]
    """On the side of the first chart."""
    of_half_edge: Int64[np.ndarray, "seam"]


def grown_together(surface: Surface, charts: Charts, limits: Limits, run: Run, crumb_m2: float = np.inf) -> Charts:
    """Merge until no pair is left that may; one of the two has to be smaller than ``crumb_m2``."""
    refused: set[tuple[int, int]] = set()
    fresh = int(charts.labels.max()) + 1
    for attempt in range(ROUNDS):
        run.checkpoint(min(attempt / 16.0, 0.95), "merging charts")
        arcs = _arcs(surface, charts)
        chosen = _matching(surface, charts, arcs, refused, crumb_m2)
        if len(chosen) == 0:
            break
        charts, fresh = _tried(surface, charts, limits, arcs=arcs, chosen=chosen, refused=refused, fresh=fresh)
    return charts


def _arcs(surface: Surface, charts: Charts) -> _Arcs:
    """All stretches of seam between two charts."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    label = charts.labels
    edge = np.flatnonzero(surface.opposite >= 0)
    other = surface.opposite[edge]
    seam = label[edge // 3] < label[other // 3]
    edge, other = edge[seam], other[seam]
    one, two = label[edge // 3], label[other // 3]
    base = int(label.max()) + 1
    of_pair = np.unique(one * base + two, return_inverse=True)[1].reshape(-1)
    vertices = len(surface.positions_m)
    start, end = surface.faces.reshape(-1)[edge], surface.faces.reshape(-1)[following(edge)]
    nodes, node = np.unique(
        np.concatenate([of_pair, of_pair]) * vertices + np.concatenate([start, end]), return_inverse=True
    )
    from_node, to_node = node[: len(edge)], node[len(edge) :]
    graph = coo_matrix((np.ones(len(edge), np.int8), (from_node, to_node)), shape=(len(nodes), len(nodes)))
    count, piece = connected_components(graph, directed=False)
    arc = piece[from_node].astype(np.int64)
    places = charts.corners.reshape(-1)
    a0, a1 = places[edge], places[following(edge)]
    b0, b1 = places[following(other)], places[other]
    weight = surface.lengths_m[edge]

    def total(values: np.ndarray) -> np.ndarray:
        if np.iscomplexobj(values):
            return np.bincount(arc, values.real, count) + 1j * np.bincount(arc, values.imag, count)
        return np.bincount(arc, values, count)

    length = np.maximum(total(weight), 1e-300)
    middle_a, middle_b = total(weight * (a0 + a1)) / (2 * length), total(weight * (b0 + b1)) / (2 * length)
    turn = total(weight * sum((a - middle_a[arc]) * np.conj(b - middle_b[arc]) for a, b in ((a0, b0), (a1, b1))))
    turn = np.where(np.abs(turn) > 0, turn / np.maximum(np.abs(turn), 1e-300), 1.0)
    shift = middle_a - turn * middle_b
    off = sum(np.abs(turn[arc] * b + shift[arc] - a) ** 2 for a, b in ((a0, b0), (a1, b1)))
    pairs = np.zeros((count, 2), np.int64)
    pairs[arc] = np.stack([one, two], axis=1)
    return _Arcs(
        pair=pairs,
        length_m=length,
        misfit=np.sqrt(total(weight * off) / (2 * length)) / length,
        turn=turn,
        shift=shift,
        hard=total(weight * surface.hard[edge]) / length,
        half_edges=edge,
        of_half_edge=arc,
    )


def _matching(
    surface: Surface, charts: Charts, arcs: _Arcs, refused: set[tuple[int, int]], crumb_m2: float
) -> Int64[np.ndarray, "chosen"]:
    """Arcs to close in this round, no chart in two of them, the most promising first."""
    perimeter = np.bincount(
        np.repeat(charts.labels, 3),
        np.where(charts.joined, 0.0, surface.lengths_m),
        minlength=int(charts.labels.max()) + 1,
    )
    least = np.maximum(perimeter[arcs.pair].min(axis=1), 1e-300)
    score = arcs.length_m / least * np.exp(-((arcs.misfit / MISFIT) ** 2) * 2.0)
    area = np.bincount(charts.labels, surface.areas_m2)
    able = (arcs.misfit < MISFIT) & (arcs.hard < HARD_SHARE) & (area[arcs.pair].min(axis=1) < crumb_m2)
    busy: set[int] = set()
    chosen = []
    candidates = np.flatnonzero(able)
    for arc in candidates[np.argsort(-score[candidates], kind="stable")].tolist():
        one, two = int(arcs.pair[arc, 0]), int(arcs.pair[arc, 1])
        if one in busy or two in busy or (one, two) in refused:
            continue
        busy.update((one, two))
        chosen.append(arc)
    return np.array(chosen, np.int64)


def _tried(
    surface: Surface,
    charts: Charts,
    limits: Limits,
    *,
    arcs: _Arcs,
    chosen: Int64[np.ndarray, "chosen"],
    refused: set[tuple[int, int]],
    fresh: int,
) -> tuple[Charts, int]:
    """Close the arcs, lay the unions flat, keep those within the limits."""
    pair = arcs.pair[chosen]
    union = np.full(int(charts.labels.max()) + 1, -1, np.int64)
    union[pair[:, 0]] = union[pair[:, 1]] = np.arange(len(chosen))
    moved = np.full(len(union), -1, np.int64)
    moved[pair[:, 1]] = chosen
    arc = moved[charts.labels]
    corners = charts.corners.copy()
    moving = arc >= 0
    corners[moving] = arcs.turn[arc[moving], None] * corners[moving] + arcs.shift[arc[moving], None]
    joined = charts.joined.copy()
    closing = _closing(surface, corners, arcs, chosen, union)
    joined[closing] = joined[surface.opposite[closing]] = True

    subset = np.flatnonzero(union[charts.labels] >= 0)
    of_union = union[charts.labels[subset]]
    laid = laid_flat(surface, subset, of_union, joined=joined, start=corners[subset], rounds=TRIAL_ROUNDS)
    good = within(Unions(surface, subset, of_union, len(chosen), joined, laid), limits)
    keep = np.flatnonzero(good)
    refused.update((int(one), int(two)) for one, two in pair[~good])
    new_labels, new_corners, new_joined = charts.labels.copy(), charts.corners.copy(), charts.joined.copy()
    names = np.full(len(chosen), -1, np.int64)
    names[keep] = fresh + np.arange(len(keep))
    kept = good[of_union]
    new_labels[subset[kept]] = names[of_union[kept]]
    new_corners[subset[kept]] = laid.corners[kept]
    half_edges = (subset[kept][:, None] * 3 + np.arange(3)).reshape(-1)
    new_joined[half_edges] = joined[half_edges]
    return Charts(labels=new_labels, joined=new_joined, corners=new_corners), fresh + len(keep)


def _closing(
    surface: Surface,
    corners: Complex128[np.ndarray, "faces 3"],
    arcs: _Arcs,
    chosen: Int64[np.ndarray, "chosen"],
    union: Int64[np.ndarray, "labels"],
) -> Int64[np.ndarray, "half_edges"]:
    """Half-edges of the chosen arcs, and of others between the same charts whose sides have come to lie together."""
    edge, arc = arcs.half_edges, arcs.of_half_edge
    within = (union[arcs.pair[:, 0]] >= 0) & (union[arcs.pair[:, 0]] == union[arcs.pair[:, 1]])
    places = corners.reshape(-1)
    other = surface.opposite[edge]
    off = np.abs(places[edge] - places[following(other)]) ** 2 + np.abs(places[following(edge)] - places[other]) ** 2
    mean = np.bincount(arc, surface.lengths_m[edge] * off, len(arcs.length_m)) / (2.0 * arcs.length_m)
    close = within & (np.sqrt(mean) < OTHER_ARC * arcs.length_m) & (arcs.hard < HARD_SHARE)
    close[chosen] = True
    return edge[close[arc]]
