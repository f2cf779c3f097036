"""The grid that a solid stands on, its surface as a mesh, and how well that agrees with the views."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy import ndimage

from bridge_server.backends.generator.outline import HEIGHT_M, Outline
from bridge_server.backends.generator.surface_nets import neighbour_mean, relaxed, single_solid, surface_nets
from bridge_server.errors import StageFailed
from bridge_server.run import Run
from bridge_server.values.base import Notice
from bridge_server.values.mesh import Mesh, vertex_normals

MARGIN = 4
AGREEMENT = 0.93
"""Overlap of a view with the finished solid below which the user is told."""

LEAST_KEPT = 0.35
"""Overlap below which there is no sense in going on."""


@dataclass(frozen=True, slots=True)
class Axes:
    """Places of the grid's nodes: across and depth centred on 0, up from a margin below the ground."""

    cell_m: float
    across_m: Float64[np.ndarray, "across"]
    up_m: Float64[np.ndarray, "up"]
    depth_m: Float64[np.ndarray, "depth"]
    margin: int = MARGIN


def axes_for(cell_m: float, width_m: float, depth_m: float = 0.0) -> Axes:
    """Nodes ``cell_m`` apart that hold a solid of the size with a margin all round."""

    def centred(extent_m: float) -> Float64[np.ndarray, "nodes"]:
        count = int(np.ceil(extent_m / cell_m)) + 1 + 2 * MARGIN
        return (np.arange(count) - (count - 1) / 2.0) * cell_m

    up = (np.arange(int(np.ceil(HEIGHT_M / cell_m)) + 1 + 2 * MARGIN) - MARGIN) * cell_m
    return Axes(cell_m=cell_m, across_m=centred(width_m), up_m=up, depth_m=centred(depth_m))


@dataclass(frozen=True, slots=True)
class Surface:
    """A closed mesh that stands on y = 0, with what colouring it needs."""

    mesh: Mesh
    nodes: Float64[np.ndarray, "vertices 3"]
    """The vertices in index coordinates of the volume."""
    seen_m: Float64[np.ndarray, "vertices 3"]
    """The vertices where the views' frames have them: the mesh is moved by less than a cell to stand on y = 0."""
    volume: Float32[np.ndarray, "x y z"]
    smooth_normals: Float64[np.ndarray, "vertices 3"]
    """Of the form without its fine relief."""

    def sample_map(self, plane: Float32[np.ndarray, "x y"]) -> Float64[np.ndarray, "vertices"]:
        """A map over X and Y at each vertex."""
        return np.asarray(ndimage.map_coordinates(plane, self.nodes[:, :2].T, order=1, mode="nearest"), np.float64)


def surface_of(volume: Float32[np.ndarray, "x y z"], axes: Axes, run: Run) -> Surface:
    """Mesh the zero level of a volume whose depth is centred on 0."""
    run.checkpoint(0.0, "meshing the solid")
    whole = single_solid(volume)
    run.checkpoint(0.3, "meshing the solid")
    if not (whole > 0.0).any():
        raise StageFailed(
            "no solid is left of the outlines.", remedy="Use a larger or clearer photo.", reason="NO_SOLID"
        )
    nodes, faces = surface_nets(whole)
    run.checkpoint(0.5, "relaxing the surface")
    nodes = relaxed(nodes, faces, whole, run)
    seen_m = (nodes - [(whole.shape[0] - 1) / 2.0, axes.margin, (whole.shape[2] - 1) / 2.0]) * axes.cell_m
    standing_m = seen_m - [0.0, seen_m[:, 1].min(), 0.0]
    mesh = Mesh(positions_m=standing_m.astype(np.float32), faces=faces)
    normals = vertex_normals(mesh).astype(np.float64)
    mean = neighbour_mean(faces, len(nodes))
    for _ in range(12):
        normals = mean @ normals
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return Surface(mesh=mesh, nodes=nodes, seen_m=seen_m, volume=whole, smooth_normals=normals)


def overlap(a: Float64[np.ndarray, "across up"], b: Float32[np.ndarray, "across up"]) -> float:
    """Intersection over union of two level maps."""
    return float(((a > 0.0) & (b > 0.0)).sum() / max(1, int(((a > 0.0) | (b > 0.0)).sum())))


def refuse_lost(
    outline: Outline, level: Float64[np.ndarray, "across up"], silhouette: Float32[np.ndarray, "across up"]
) -> None:
    """Raise ``StageFailed`` where the largest solid piece is but a fraction of what the photo shows."""
    kept = overlap(level, silhouette)
    if kept < LEAST_KEPT:
        raise StageFailed(
            f"its subject is too thin or in too many pieces: one solid piece holds only {kept:.0%} of it.",
            subject=outline.name or str(outline.view),
            remedy="Use a photo of one compact object, a larger photo, or a higher resolution.",
            reason="NO_SOLID",
        )


def agreement_notices(
    outlines: Sequence[Outline],
    levels: Sequence[Float64[np.ndarray, "across up"]],
    silhouettes: Sequence[Float32[np.ndarray, "across up"]],
) -> list[Notice]:
    """A word about each view that the finished solid does not match."""
    notices = []
    for outline, level, silhouette in zip(outlines, levels, silhouettes, strict=True):
        agreed = overlap(level, silhouette)
        if agreed < AGREEMENT:
            message = f"The {outline.view} view ({outline.name}) overlaps the finished shape by only {agreed:.0%}."
            remedy = "Views must show the same object, upright, whole, and straight from front, back, left or right."
            notices.append(Notice(code="view_disagrees", message=message, remedy=remedy))
    return notices
