"""Trace: find, for every texel of the atlas, the place on the high poly that it takes its detail from."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Bool

from bridge_server.backends.rasterizer.base import UvRasterizer
from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.backends.texels.base import Atlas, Places, texel_kernels
from bridge_server.blocks import BLOCK, over_blocks
from bridge_server.run import Run
from bridge_server.stages.bake_choices import RayDirection
from bridge_server.stages.ray_directions import ray_directions
from bridge_server.stages.stage import Range, Stage
from bridge_server.stages.trace_rays import Target, measured_cage_m, places_on_high
from bridge_server.values.base import Notice
from bridge_server.values.mesh import HighPoly, UnwrappedMesh
from bridge_server.values.texture import TexelHits

CAGE_SAMPLES = 20_000
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

    def __call__(
        self,
        run: Run,
        raycaster: Raycaster,
        rasterizer: UvRasterizer,
        *,
        high_poly: HighPoly,
        unwrapped: UnwrappedMesh,
    ) -> TexelHits:
        """One place on both meshes for every covered (sub-)texel."""
        kernels = texel_kernels()
        atlas = Atlas(
            uvs=unwrapped.uvs,
            faces=unwrapped.faces,
            resolution_px=self.resolution_px,
            supersample=self.supersample,
        )
        cells = rasterizer.cells(atlas, lambda share: run.checkpoint(0.15 * share, "covering texels"))
        run.checkpoint(0.15, "building the scene")
        high = high_poly.mesh
        scene = raycaster.scene(high.positions_m, high.faces)
        count = len(cells.index)
        corners = unwrapped.positions_m[unwrapped.faces]
        some = np.linspace(0, max(count - 1, 0), min(count, CAGE_SAMPLES)).astype(np.int64)
        samples = Places(faces=cells.faces[some], weights=cells.weights[some])
        cage_m = self.cage_offset_m or measured_cage_m(scene, kernels.interpolated(corners, samples), high.diagonal_m)
        target = Target(scene=scene, mesh=high, cage_m=cage_m)
        directions = ray_directions(unwrapped, self.ray_direction, cage_m, raycaster)
        high_face, high_weights = np.empty(count, np.int32), np.empty((count, 2), np.float32)
        by_ray, facing = np.empty(count, np.bool_), np.empty(count, np.bool_)

        def trace(rows: slice) -> None:
            low = Places(faces=cells.faces[rows], weights=cells.weights[rows])
            points = kernels.interpolated(corners, low)
            outward = directions(points, low)
            places = places_on_high(target, points, outward)
            high_face[rows], by_ray[rows], facing[rows] = places.faces, places.by_ray, places.facing
            high_weights[rows] = places.barycentrics[:, 1:]

        over_blocks(trace, count, BLOCK * 2, lambda share: run.checkpoint(0.2 + 0.8 * share, "tracing texels"))
        return TexelHits(
            notices=(*_notices(by_ray, cage_m), *_other_side(facing)),
            resolution_px=self.resolution_px,
            supersample=self.supersample,
            index=cells.index,
            low_face=cells.faces,
            low_weights=cells.weights,
            high_face=high_face,
            high_weights=high_weights,
            by_ray=by_ray,
            coverage=cells.coverage,
        )


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
