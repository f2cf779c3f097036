"""The default unwrapper: few large charts that lie flat with hardly any stretch, packed by their outlines.

Faces that look the same way grow into clusters, seams are straightened, clusters are laid flat as rigid as possible,
and charts grow together for as long as their union stays near an isometry without overlap. NumPy, SciPy and Warp, in
this process: every loop is bounded, and the time limit is looked at in each.
"""

import importlib.util
import time
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from jaxtyping import Bool, Complex128, Float32, Float64, Int64

from bridge_server.backends.table import Availability
from bridge_server.backends.unwrapper.base import Atlas, UnwrapSettings
from bridge_server.backends.unwrapper.bitmap_packing import packed, repacked
from bridge_server.backends.unwrapper.chart_state import (
    Charts,
    Surface,
    connected,
    laid_flat,
    same_label,
    surface_of,
    vertex_numbers,
)
from bridge_server.backends.unwrapper.clusters import grown_clusters, halved, smoothed_normals, straightened
from bridge_server.backends.unwrapper.folds import folded_faces
from bridge_server.backends.unwrapper.merging import grown_together
from bridge_server.backends.unwrapper.union_checks import Limits, Unions, distorted, overlapping
from bridge_server.errors import StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.values.mesh import Mesh

DEVIATION = 0.1
"""Clusters end where the mean of 1 - cosine to the common normal would pass this."""
LIKELY_SHARE = 0.65
"""Share of the square that charts will cover, before it is known."""
EXTENT, FILL = 0.7, 0.5
"""No chart is longer than this share of the square's edge, or covers less than this share of its rectangle."""
FIRST_ROUNDS, LAST_ROUNDS = 6, 12
"""Rounds of flattening before charts grow together, and after."""
TRIAL_PX = 1024
"""While charts grow, overlap is looked for as if the map had no more texels than this; in the end as fine as it has."""
FINER = 2.0
"""Overlap at outlines is looked for in cells so much smaller than a texel."""
CRUMB = 1e-3
"""Charts below this share of the surface, cut off while mending, get another chance to grow onto a neighbour."""
MENDING_ROUNDS = 4
"""Rounds of cutting off what is flipped or folded."""
LOOSER = 3.0
"""How much further the stretch may go each time that a chart count is not met."""
LOOSENINGS = 4


@dataclass(frozen=True, slots=True)
class IsometricUnwrapper:
    """Grows charts for as long as they stay nearly isometric."""

    @property
    def identity(self) -> str:
        """Raised with every change of results."""
        return "isometric 1"

    @classmethod
    def availability(cls) -> Availability:
        """Whether Warp, which packs, is installed."""
        try:
            if importlib.util.find_spec("warp") is not None:
                return Availability(available=True, detail=f"SciPy, warp-lang {version('warp-lang')} on the CPU")
        except (PackageNotFoundError, ValueError):
            pass
        return Availability(available=False, detail="warp-lang is not installed.", remedy="pip install warp-lang")

    def unwrap(self, mesh: Mesh, settings: UnwrapSettings, run: Run) -> Atlas:
        """Raises ``StageFailed`` where the mesh has no area, the charts do not fit, or time runs out."""
        run = _Deadline(run, time.monotonic() + settings.time_limit_s, settings.time_limit_s)
        run.checkpoint(0.0, "cutting charts")
        surface = surface_of(mesh, settings.hard_edge_angle_deg)
        if surface.area_m2 == 0.0:
            raise StageFailed(
                "the mesh has no face with an area.", subject="isometric", remedy="Repair the mesh first."
            )
        limits = _limits(surface, settings)
        charts = _mended(surface, _grown(surface, settings, limits, PartialRun(run, 0.05, 0.5)), limits.texel_m)
        crumb_m2 = CRUMB * surface.area_m2
        charts = grown_together(surface, charts, limits, PartialRun(run, 0.5, 0.6), crumb_m2)
        finest = min(limits.texel_m, limits.texel_m * FINER * TRIAL_PX / settings.resolution_px)
        charts = _mended(surface, charts, finest)
        for attempt in range(MENDING_ROUNDS):
            share = PartialRun(run, 0.6 + 0.1 * attempt, 0.7 + 0.1 * attempt)
            labels = np.unique(charts.labels, return_inverse=True)[1].reshape(-1)
            corners_px = packed(np.conj(charts.corners), labels, ~charts.joined, settings, share)
            atlas = _atlas(surface, charts, corners_px / settings.resolution_px)
            lost = folded_faces(atlas.uvs, atlas.faces, _rank(surface), settings.resolution_px)
            if not lost.any():
                break
            charts = _cut_off(surface, charts, lost)
        return atlas

    def repack(self, mesh: Mesh, atlas: Atlas, settings: UnwrapSettings, run: Run) -> Float32[np.ndarray, "corners 2"]:
        """By true outlines."""
        return repacked(mesh, atlas, settings, run)


@dataclass(frozen=True, slots=True)
class _Deadline:
    """A run that also ends when time is up."""

    parent: Run
    end_s: float
    limit_s: float

    def checkpoint(self, fraction: float, note: str = "") -> None:
        """Report, or raise ``StageFailed`` with reason ``TIME_LIMIT``."""
        if time.monotonic() > self.end_s:
            raise StageFailed(f"took longer than {self.limit_s:.0f} s.", subject="isometric", reason="TIME_LIMIT")
        self.parent.checkpoint(fraction, note)


def _limits(surface: Surface, settings: UnwrapSettings) -> Limits:
    """Stretch of L2 norm 1 + e is about an energy of e / 0.75; lengths follow the density that is likely."""
    side_m = float(np.sqrt(surface.area_m2 / LIKELY_SHARE))
    return Limits(
        energy=(settings.most_stretch - 1.0) / 0.75,
        extent_m=EXTENT * side_m,
        fill=FILL,
        gap_m=side_m * max(settings.padding_px, 1) / settings.resolution_px,
        texel_m=side_m / min(settings.resolution_px, TRIAL_PX) / FINER,
    )


def _grown(surface: Surface, settings: UnwrapSettings, limits: Limits, run: Run) -> Charts:
    """Charts within the limits; looser ones where the count that is asked for is not met."""
    charts = _mended(surface, _first_cut(surface, limits.extent_m), limits.texel_m, FIRST_ROUNDS)
    run.checkpoint(0.3, "merging charts")
    charts = grown_together(surface, charts, limits, PartialRun(run, 0.3, 1.0))
    for _ in range(LOOSENINGS):
        if not settings.most_charts or len(np.unique(charts.labels)) <= settings.most_charts:
            break
        limits = replace(limits, energy=limits.energy * LOOSER, fill=limits.fill / 2.0)
        open_edges = replace(surface, hard=np.zeros_like(surface.hard))
        charts = grown_together(open_edges, charts, limits, PartialRun(run, 0.9, 1.0))
    return charts


def _first_cut(surface: Surface, extent_m: float) -> Charts:
    """Clusters of like normals with straightened seams, none too long, projected."""
    opposite, areas = surface.opposite, surface.areas_m2
    normals = smoothed_normals(surface.normals, areas, surface.beside)
    edge = np.flatnonzero((opposite > np.arange(len(opposite))) & ~surface.hard)
    links = np.stack([edge // 3, opposite[edge] // 3], axis=1)
    lengths = surface.lengths_m[edge]
    middles = surface.positions_m[surface.faces].mean(axis=1)
    labels = grown_clusters(normals, areas, links, lengths, DEVIATION)
    apart = np.linalg.norm(middles[links[:, 0]] - middles[links[:, 1]], axis=1)
    labels = straightened(labels, normals, areas, links, lengths / np.maximum(apart, 1e-300))
    labels = halved(connected(opposite, same_label(opposite, labels)), middles, areas, extent_m)
    joined = same_label(opposite, labels)
    labels = connected(opposite, joined)
    return Charts(labels=labels, joined=joined, corners=_projected(surface, normals, labels))


def _projected(
    surface: Surface, normals: Float64[np.ndarray, "faces 3"], labels: Int64[np.ndarray, "faces"]
) -> Complex128[np.ndarray, "faces 3"]:
    """Corners on the plane across the mean normal of their chart."""
    total = np.stack([np.bincount(labels, normals[:, axis] * surface.areas_m2) for axis in range(3)], axis=1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    mean = np.divide(total, length, out=np.tile([0.0, 0.0, 1.0], (len(total), 1)), where=length > 0.0)
    least = np.eye(3)[np.abs(mean).argmin(axis=1)]
    right = np.cross(least, mean)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    up = np.cross(mean, right)
    places = surface.positions_m[surface.faces]
    return np.einsum("fki,fi->fk", places, right[labels]) + 1j * np.einsum("fki,fi->fk", places, up[labels])


def _rank(surface: Surface) -> Float64[np.ndarray, "faces"]:
    """Where two faces fold over each other, the larger one stays."""
    return np.argsort(np.argsort(surface.areas_m2, kind="stable"), kind="stable").astype(np.float64)


def _mended(surface: Surface, charts: Charts, texel_m: float, rounds: int = LAST_ROUNDS) -> Charts:
    """Laid flat; what stays flipped or folded becomes charts of its own."""
    everything = np.arange(len(charts.labels))
    for _ in range(MENDING_ROUNDS):
        labels = np.unique(charts.labels, return_inverse=True)[1].reshape(-1)
        laid = laid_flat(surface, everything, labels, joined=charts.joined, start=charts.corners, rounds=rounds)
        charts = replace(charts, labels=labels, corners=laid.corners)
        lost = distorted(laid)
        unions = Unions(surface, everything, labels, int(labels.max()) + 1, charts.joined, laid)
        lost[overlapping(unions, texel_m * FINER, texel_m)] = True
        lost &= np.bincount(labels)[labels] > 1
        if not lost.any():
            break
        charts = _cut_off(surface, charts, lost)
    return charts


def _cut_off(surface: Surface, charts: Charts, lost: Bool[np.ndarray, "faces"]) -> Charts:
    """The faces leave their chart, in pieces that hang together, and lie down each as it is where it stands alone."""
    joined = charts.joined & same_label(surface.opposite, lost.astype(np.int64))
    labels = connected(surface.opposite, joined)
    alone = lost & (np.bincount(labels)[labels] == 1)
    corners = np.where(alone[:, None], surface.shapes, charts.corners)
    return Charts(labels=labels, joined=joined, corners=corners)


def _atlas(surface: Surface, charts: Charts, places: Float64[np.ndarray, "faces 3 2"]) -> Atlas:
    count, numbers = vertex_numbers(surface.opposite, charts.joined)
    vertices, uvs = np.empty(count, np.int32), np.empty((count, 2), np.float32)
    vertices[numbers] = surface.faces.reshape(-1)
    uvs[numbers] = places.reshape(-1, 2)
    return Atlas(
        vertices=vertices,
        faces=numbers.reshape(-1, 3).astype(np.int32),
        uvs=uvs,
        charts=np.unique(charts.labels, return_inverse=True)[1].reshape(-1).astype(np.int32),
        method="isometric",
    )
