"""Trace: find, for every texel of the atlas, the place on the high poly that it takes its detail from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Bool, Float32, Int64

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.blocks import over_blocks
from bridge_server.run import PartialRun, Run
from bridge_server.stages.bake_choices import RayDirection
from bridge_server.stages.corner_normals import unit_face_normals
from bridge_server.stages.ray_directions import ray_directions
from bridge_server.stages.stage import Range, Stage
from bridge_server.stages.trace_rays import Target, measured_cage_m, places_on_high
from bridge_server.values.base import Notice
from bridge_server.values.mesh import HighPoly, UnwrappedMesh
from bridge_server.values.texel_grid import Covered, cover_centers, gathered, touched_texels, weights_at_centers
from bridge_server.values.texture import TexelHits

CAGE_SAMPLES = 20_000
INSET_PX = 0.1
ON_EDGE = 1e-4
"""Below this weight of a corner a place counts as lying on the edge across from it."""
FEW_RAYS = 0.9
"""Below this share of texels that a ray served, the user is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace(Stage):
    """Rays from the low poly to the high poly, along the smoothed normal, within a cage."""

    name: ClassVar[str] = "trace"
    writes: ClassVar[str] = "texel_hits"
    version: ClassVar[int] = 3

    resolution_px: Annotated[int, Range(16, 8192)] = 1024
    """Edge length of the maps."""
    supersample: Annotated[int, Range(1, 4)] = 2
    """Rays along each edge of a texel: 2 casts four a texel, which smooths chart borders and fine detail."""
    cage_offset_m: Annotated[float, Range(0, 1000)] = 0.0
    """How far from the low poly a ray looks for the high poly, to either side; 0 measures what is needed."""

    ray_direction: RayDirection = RayDirection.SMOOTH
    """``smooth`` is right for organic shapes; ``skew_free`` keeps straight detail on flat faces straight."""

    def __call__(self, run: Run, raycaster: Raycaster, *, high_poly: HighPoly, unwrapped: UnwrappedMesh) -> TexelHits:
        """One place on both meshes for every covered (sub-)texel."""
        cells = _cells(unwrapped, self.resolution_px, self.supersample, PartialRun(run, 0.0, 0.15))
        run.checkpoint(0.15, "building the scene")
        high = high_poly.mesh
        scene = raycaster.scene(high.positions_m, high.faces)
        count = len(cells.low)
        corners = unwrapped.positions_m[unwrapped.faces]
        some = np.linspace(0, max(count - 1, 0), min(count, CAGE_SAMPLES)).astype(np.int64)
        samples_m = _interpolated(corners, cells, some)
        cage_m = self.cage_offset_m or measured_cage_m(scene, samples_m, high.diagonal_m)
        directions = ray_directions(unwrapped, self.ray_direction, cage_m, raycaster)
        target = Target(scene, unit_face_normals(high).astype(np.float32), high, cage_m)
        high_face, high_weights = np.empty(count, np.int32), np.empty((count, 2), np.float32)
        by_ray, facing = np.empty(count, np.bool_), np.empty(count, np.bool_)

        def trace(rows: slice) -> None:
            points = _interpolated(corners, cells, rows)
            outward = directions(points, cells.low.faces[rows], cells.weights[rows])
            places = places_on_high(target, points, outward)
            high_face[rows], by_ray[rows], facing[rows] = places.faces, places.by_ray, places.facing
            high_weights[rows] = places.barycentrics[:, 1:]

        over_blocks(trace, count, before=lambda share: run.checkpoint(0.2 + 0.8 * share, "tracing texels"))
        return TexelHits(
            notices=(*_notices(by_ray, cage_m), *_other_side(facing)),
            resolution_px=self.resolution_px,
            supersample=self.supersample,
            index=cells.low.index,
            low_face=cells.low.faces,
            low_weights=cells.weights[:, 1:],
            high_face=high_face,
            high_weights=high_weights,
            by_ray=by_ray,
            coverage=cells.coverage,
        )


@dataclass(frozen=True, slots=True)
class _Cells:
    """Every (sub-)texel to be traced, by rising index, with its place on the low poly."""

    low: Covered
    weights: Float32[np.ndarray, "texels 3"]
    coverage: Bool[np.ndarray, "resolution_px resolution_px"]


def _cells(unwrapped: UnwrappedMesh, resolution_px: int, supersample: int, run: Run) -> _Cells:
    """Sub-texel centres inside charts; texels that a chart only grazes get the place nearest to their centre."""
    size = resolution_px * supersample
    inside = gathered(_watched(cover_centers(unwrapped.uvs, unwrapped.faces, size), run, 0.0))
    weights = _off_edges(unwrapped, size, inside, _weights(unwrapped, size, inside, run))
    covered = np.zeros(resolution_px * resolution_px, np.bool_)
    covered[inside.index // size // supersample * resolution_px + inside.index % size // supersample] = True
    grazed, grazed_weights = _grazed(unwrapped, resolution_px, covered, run)
    run.checkpoint(0.9, "covering texels")
    row, column = np.divmod(grazed.index.astype(np.int64), resolution_px)
    middle = supersample // 2
    moved = (row * supersample + middle) * size + column * supersample + middle
    covered[grazed.index] = True
    index = np.concatenate([inside.index, moved.astype(np.int32)])
    order = np.argsort(index, kind="stable")
    order = order[np.concatenate([[True], np.diff(index[order]) > 0])] if len(order) else order
    return _Cells(
        low=Covered(index=index[order], faces=np.concatenate([inside.faces, grazed.faces])[order]),
        weights=np.concatenate([weights, grazed_weights])[order],
        coverage=covered.reshape(resolution_px, resolution_px),
    )


def _grazed(
    unwrapped: UnwrappedMesh, resolution_px: int, covered: Bool[np.ndarray, "texels"], run: Run
) -> tuple[Covered, Float32[np.ndarray, "grazed 3"]]:
    """Texels that a chart touches without covering any of their centres, once each, by the nearest face."""
    blocks = _watched(touched_texels(unwrapped.uvs, unwrapped.faces, resolution_px), run, 0.5)
    kept = gathered(
        Covered(index=block.index[rows], faces=block.faces[rows])
        for block in blocks
        for rows in (np.flatnonzero(~covered[block.index]),)
    )
    weights = _weights(unwrapped, resolution_px, kept, run)
    places = np.einsum("tc,tcd->td", weights, unwrapped.uvs[unwrapped.faces[kept.faces]]) * resolution_px
    center = np.stack([kept.index % resolution_px, kept.index // resolution_px], axis=1) + 0.5
    order = np.lexsort((kept.faces, ((places - center) ** 2).sum(axis=1), kept.index))
    first = np.concatenate([[True], np.diff(kept.index[order]) > 0]) if len(order) else np.zeros(0, np.bool_)
    chosen = order[first]
    inner = _inset(weights[chosen], places[chosen], unwrapped.uvs[unwrapped.faces[kept.faces[chosen]]] * resolution_px)
    return Covered(index=kept.index[chosen], faces=kept.faces[chosen]), inner


def _off_edges(
    unwrapped: UnwrappedMesh, size_px: int, inside: Covered, weights: Float32[np.ndarray, "texels 3"]
) -> Float32[np.ndarray, "texels 3"]:
    """Move centres that lie on an edge of their face inwards; packers like to put straight borders just there."""
    rows = np.flatnonzero(weights.min(axis=1) < ON_EDGE)
    corners = unwrapped.uvs[unwrapped.faces[inside.faces[rows]]] * size_px
    weights[rows] = _inset(weights[rows], np.einsum("tc,tcd->td", weights[rows], corners), corners)
    return weights


def _inset(
    weights: Float32[np.ndarray, "grazed 3"],
    places_px: Float32[np.ndarray, "grazed 2"],
    corners_px: Float32[np.ndarray, "grazed 3 2"],
) -> Float32[np.ndarray, "grazed 3"]:
    """Move places on the border of a face inwards a little: on the edge itself a ray may take the face beyond it."""
    away = np.linalg.norm(corners_px.mean(axis=1) - places_px, axis=1)
    share = np.minimum(INSET_PX / np.maximum(away, 1e-9), 0.5)[:, None]
    return (weights * (1.0 - share) + share / 3.0).astype(np.float32)


def _watched(blocks: Iterator[Covered], run: Run, fraction: float) -> Iterator[Covered]:
    for block in blocks:
        run.checkpoint(fraction, "covering texels")
        yield block


def _weights(unwrapped: UnwrappedMesh, size_px: int, cells: Covered, run: Run) -> Float32[np.ndarray, "texels 3"]:
    result = np.empty((len(cells), 3), np.float32)

    def weigh(block: slice) -> None:
        part = Covered(index=cells.index[block], faces=cells.faces[block])
        result[block] = weights_at_centers(unwrapped.uvs, unwrapped.faces, size_px, part)

    over_blocks(weigh, len(cells), before=lambda share: run.checkpoint(0.3 + 0.2 * share, "covering texels"))
    return result


def _interpolated(
    corners: Float32[np.ndarray, "faces 3 3"], cells: _Cells, rows: slice | Int64[np.ndarray, "rows"]
) -> Float32[np.ndarray, "rows 3"]:
    return np.einsum("tc,tcd->td", cells.weights[rows], corners[cells.low.faces[rows]]).astype(np.float32)


def _notices(by_ray: Bool[np.ndarray, "texels"], cage_m: float) -> tuple[Notice, ...]:
    share = float(by_ray.mean()) if len(by_ray) else 1.0
    if share >= FEW_RAYS:
        return ()
    return (
        Notice(
            code="few_rays_hit",
            message=f"Only {share:.0%} of the texels found the high poly within {cage_m * 1000:.1f} mm along the"
            " normal; the others took the closest point, where detail may smear.",
            remedy="Raise the triangle count, or set trace.cage_offset_m to the largest distance between the meshes.",
        ),
    )


def _other_side(facing: Bool[np.ndarray, "texels"]) -> tuple[Notice, ...]:
    astray = int(len(facing) - facing.sum())
    if not astray:
        return ()
    return (
        Notice(
            code="other_side_baked",
            message=f"{astray:,} of {len(facing):,} places found no surface near them that faces their way, and show"
            " the other side of a wall.",
            remedy="Look at the map `source`: the high poly is open there, inside out, or lies elsewhere.",
        ),
    )
