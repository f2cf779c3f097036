"""Box projection: every face falls on the plane of the axis it faces most. Plain NumPy; needs nothing, never hangs.

Charts are connected pieces that face the same way. Where a chart folds over itself, the faces underneath leave it,
layer by layer, until nothing overlaps. No edge shrinks below about half its length.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from bridge_server.backends.table import Availability
from bridge_server.backends.unwrapper.base import NO_ROOM, Atlas, UnwrapSettings
from bridge_server.backends.unwrapper.folds import connected_charts, folded_faces, split_vertices
from bridge_server.backends.unwrapper.packing import Placed, pack_rectangles
from bridge_server.errors import StageFailed
from bridge_server.run import Run
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh import Mesh, face_cross_products

LAYERS = 16
"""Rounds of lifting folded faces off; what still overlaps after half of them becomes charts of one face."""
SMOOTHING_ROUNDS = 4
"""Rounds in which a face may follow its neighbours' axis, so that borders do not fray into tiny charts."""
FOLLOW_COSINE = 0.35
"""A face follows its neighbours only where it still faces their axis by this much."""
DENSITY_STEPS = 10
AXES = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float64)
PLANES = np.array([[2, 1, -1, 1], [2, 1, 1, 1], [0, 2, 1, -1], [0, 2, 1, 1], [0, 1, 1, 1], [0, 1, -1, 1]])
"""For each axis: which coordinates become U and (upward) V, and their signs, so that no chart is mirrored."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Charts in the plane of the atlas, in texels."""

    vertices: Int32[np.ndarray, "corners"]
    faces: Int32[np.ndarray, "faces 3"]
    places_px: Float64[np.ndarray, "corners 2"]


@dataclass(frozen=True, slots=True)
class PlanarUnwrapper:
    """The fallback that always answers."""

    @property
    def identity(self) -> str:
        """Raised with every change of results."""
        return "planar 1"

    @classmethod
    def availability(cls) -> Availability:
        """Always there."""
        return Availability(available=True, detail="box projection, NumPy")

    def unwrap(self, mesh: Mesh, settings: UnwrapSettings, run: Run) -> Atlas:
        """Cut, project, pack; lift what folds; repeat."""
        labels = _axis_labels(mesh)
        depth = np.einsum("fi,fi->f", mesh.positions_m.astype(np.float64)[mesh.faces].mean(axis=1), AXES[labels])
        layer = np.zeros(len(mesh.faces), np.int64)
        for attempt in range(LAYERS):
            run.checkpoint(attempt / LAYERS, "projecting charts")
            charts = connected_charts(mesh.faces, (labels + 6 * layer).astype(np.int32))
            layout = _laid_out(mesh, labels, charts, settings)
            uvs = (layout.places_px / settings.resolution_px).astype(np.float32)
            folded = folded_faces(uvs, layout.faces, depth, settings.resolution_px)
            if not folded.any():
                break
            alone = np.arange(1, len(layer) + 1) + LAYERS if attempt >= LAYERS // 2 else layer + 1
            layer = np.where(folded, alone, layer)
        return Atlas(vertices=layout.vertices, faces=layout.faces, uvs=uvs, charts=charts, method="planar")

    def repack(self, mesh: Mesh, atlas: Atlas, settings: UnwrapSettings, run: Run) -> Float32[np.ndarray, "corners 2"]:
        """By bounding boxes."""
        run.checkpoint(0.0, "packing charts")
        flat = atlas.uvs.astype(np.float64)
        corners = flat[atlas.faces]
        share = float(np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])).sum())
        flat *= np.sqrt(np.linalg.norm(face_cross_products(mesh), axis=1).sum() / max(share, 1e-300))
        chart_of_vertex = np.zeros(len(flat), np.int64)
        chart_of_vertex[atlas.faces] = atlas.charts[:, None]
        return (_boxes_placed(flat, chart_of_vertex, settings) / settings.resolution_px).astype(np.float32)


def _axis_labels(mesh: Mesh) -> Int32[np.ndarray, "faces"]:
    """Index into ``AXES`` of the axis that each face faces most, smoothed over neighbours."""
    cross = face_cross_products(mesh)
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    facing = np.divide(cross, length, out=np.zeros_like(cross), where=length > 0.0) @ AXES.T
    labels = np.argmax(facing, axis=1)
    opposite = opposite_half_edges(mesh.faces).reshape(-1, 3)
    beside = np.where(opposite >= 0, opposite // 3, np.arange(len(labels))[:, None])
    flat = length[:, 0] == 0.0
    for _ in range(SMOOTHING_ROUNDS):
        near = labels[beside]
        wish = np.where(near[:, 1] == near[:, 2], near[:, 1], near[:, 0])
        agreed = (near[:, 0] == near[:, 1]) | (near[:, 1] == near[:, 2]) | (near[:, 0] == near[:, 2])
        follow = (agreed & (facing[np.arange(len(labels)), wish] > FOLLOW_COSINE)) | flat
        labels = np.where(follow, wish, labels)
    return labels.astype(np.int32)


def _laid_out(
    mesh: Mesh, labels: Int32[np.ndarray, "faces"], charts: Int32[np.ndarray, "faces"], settings: UnwrapSettings
) -> _Layout:
    """Project each chart and pack the bounding boxes at the greatest density that fits."""
    vertices, faces = split_vertices(mesh.faces, charts)
    vertex_chart, vertex_label = np.empty(len(vertices), np.int64), np.empty(len(vertices), np.int64)
    vertex_chart[faces], vertex_label[faces] = charts[:, None], labels[:, None]
    plane = PLANES[vertex_label]
    positions = mesh.positions_m.astype(np.float64)[vertices]
    rows = np.arange(len(vertices))
    flat = np.stack([positions[rows, plane[:, 0]] * plane[:, 2], -positions[rows, plane[:, 1]] * plane[:, 3]], axis=1)
    places = _boxes_placed(flat, vertex_chart, settings)
    return _Layout(vertices=vertices, faces=faces, places_px=places)


def _boxes_placed(
    flat: Float64[np.ndarray, "corners 2"], vertex_chart: Int64[np.ndarray, "corners"], settings: UnwrapSettings
) -> Float64[np.ndarray, "corners 2"]:
    """Places in texels; the bounding boxes of the charts are packed at the greatest density that fits."""
    count = int(vertex_chart.max()) + 1
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(low, vertex_chart, flat)
    np.maximum.at(high, vertex_chart, flat)
    density, placed = _packed(high - low, settings)
    sizes = np.ceil((high - low) * density)
    inside = (flat - low[vertex_chart]) * density
    turned = placed.turned[vertex_chart]
    quarter = np.stack([inside[:, 1], sizes[vertex_chart, 0] - inside[:, 0]], axis=1)
    return np.where(turned[:, None], quarter, inside) + placed.corners_px[vertex_chart] + settings.padding_px / 2.0


def _packed(extents_m: Float64[np.ndarray, "charts 2"], settings: UnwrapSettings) -> tuple[float, Placed]:
    """Density in texels per metre and where the boxes go; each box has half the padding on every side."""

    def attempt(density: float) -> Placed | None:
        sizes = np.maximum(np.ceil(extents_m * density), 1).astype(np.int64) + settings.padding_px
        return pack_rectangles(sizes, settings.resolution_px)

    area = max(float(extents_m.prod(axis=1).sum()), 1e-12)
    longest = max(float(extents_m.max()), 1e-9)
    best = attempt(settings.texels_per_m) if settings.texels_per_m else None
    if best is not None:
        return settings.texels_per_m, best
    high = min(settings.resolution_px / area**0.5, settings.resolution_px / longest)
    high = min(high, settings.texels_per_m or high)
    low, found = 0.0, attempt(0.0)
    if found is None:
        raise StageFailed(
            f"{len(extents_m)} charts do not fit into {settings.resolution_px} px, {settings.padding_px} px apart.",
            subject="planar unwrapper",
            remedy="Raise unwrap.resolution_px or lower unwrap.padding_px.",
            reason=NO_ROOM,
        )
    for _ in range(DENSITY_STEPS):
        middle = (low + high) / 2.0
        trial = attempt(middle)
        if trial is None:
            high = middle
        else:
            low, found = middle, trial
    return low, found
