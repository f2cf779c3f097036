"""Bake ambient occlusion of the high poly."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.backends.texels.base import Places, SurfaceMap, texel_kernels
from bridge_server.blocks import over_blocks
from bridge_server.run import PartialRun, Run
from bridge_server.stages.corner_normals import HARD_EDGE_DEG, corner_normals, hard_half_edges, unit_face_normals
from bridge_server.stages.gutter import gutter_for, texel_of
from bridge_server.stages.occlusion import Hemisphere, hemisphere_sets, openness
from bridge_server.stages.occlusion_smoothing import denoised, enlarged
from bridge_server.stages.stage import Range, Stage
from bridge_server.stages.texel_spots import CENTER, SPREAD, center_taken, hits_at
from bridge_server.values.mesh import HighPoly, Mesh, UnwrappedMesh
from bridge_server.values.texture import AoMap, TexelHits

RAYS_A_BLOCK = 1 << 18
"""About a fortieth of a second of one core; a cancellation waits for eight."""
REACH_SHARE = 0.5
"""The automatic reach of the rays, as a share of the diagonal."""
START_SHARE = 1e-4
"""How far above the surface rays start, as a share of the diagonal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeAo(Stage):
    """Cosine-weighted openness of the high poly, denoised along the surface."""

    name: ClassVar[str] = "bake_ao"
    writes: ClassVar[str] = "ao"
    version: ClassVar[int] = 3

    samples: Annotated[int, Range(1, 4096)] = 64
    """Rays from each texel that is computed."""
    distance_m: Annotated[float, Range(0, 1e6)] = 0.0
    """What lies farther away than this does not darken; 0 takes half the diagonal."""
    coarseness: Annotated[int, Range(1, 4)] = 2
    """Edge of the square of texels that share one computation; finer texels are interpolated along the surface."""
    denoise_rounds: Annotated[int, Range(0, 4)] = 1
    """Rounds of the denoiser; each doubles its reach, and blurs a little. 0 keeps the noise."""

    def __call__(
        self, run: Run, raycaster: Raycaster, *, high_poly: HighPoly, unwrapped: UnwrappedMesh, texel_hits: TexelHits
    ) -> AoMap:
        """The map at the size that was traced."""
        run.checkpoint(0.0, "building the scene")
        high = high_poly.mesh
        scene = raycaster.scene(high.positions_m, high.faces, approximate=True)
        run.checkpoint(0.03, "reading the surface")
        hard = hard_half_edges(high, HARD_EDGE_DEG)
        run.checkpoint(0.05, "reading the surface")
        normals = corner_normals(high, hard)
        run.checkpoint(0.06, "reading the surface")
        fine = hits_at(texel_hits, 1, CENTER)
        large = _surface(high_poly, normals, unwrapped, texel_hits, fine[:, 0], coarseness=1)
        run.checkpoint(0.08, "reading the surface")
        if self.coarseness > 1:
            spots = hits_at(texel_hits, self.coarseness, CENTER)
            small = _surface(high_poly, normals, unwrapped, texel_hits, spots[:, 0], coarseness=self.coarseness)
        else:
            spots, small = (hits_at(texel_hits, 1, SPREAD) if self._is_shared(texel_hits) else fine), large
        hemisphere = Hemisphere(
            scene=scene,
            sets=hemisphere_sets(self.samples, spots.shape[1]),
            start_m=START_SHARE * high.diagonal_m,
            reach_m=self.distance_m or REACH_SHARE * high.diagonal_m,
        )
        corners = high.positions_m[high.faces]
        place = np.argwhere(small.charts >= 0)
        found = np.empty(len(place), np.float32)

        def work(block: slice) -> None:
            rows = spots[block].reshape(-1)
            places = Places(faces=texel_hits.high_face[rows], weights=texel_hits.high_weights[rows])
            points = texel_kernels().interpolated(corners, places)
            outward = texel_kernels().interpolated(normals, places, unit=True)
            flat = unit_face_normals(Mesh(positions_m=high.positions_m, faces=high.faces[places.faces]))
            found[block] = openness(hemisphere, points, outward, flat.astype(np.float32), place[block])

        before = partial(PartialRun(run, 0.1, 0.85).checkpoint, note="ambient occlusion")
        over_blocks(work, len(place), max(RAYS_A_BLOCK // self.samples, 1), before)
        values = np.ones(small.charts.shape, np.float32)
        values[place[:, 0], place[:, 1]] = found
        values = denoised(
            values, small, rounds=self.denoise_rounds, samples=self.samples, run=PartialRun(run, 0.85, 0.95)
        )
        run.checkpoint(0.95, "filling the gutter")
        if self.coarseness > 1:
            values = enlarged(values, small, large, self.coarseness)
        gutter = gutter_for(texel_hits, unwrapped)
        filled = gutter.fill(values[:, :, None])[:, :, 0]
        return AoMap(pixels=np.rint(np.clip(filled, 0.0, 1.0) * 255.0).astype(np.uint8))

    def _is_shared(self, hits: TexelHits) -> bool:
        """Whether rays start from several places in a texel, if it is computed on its own.

        A coarse value is no mean over its texel: it stands for a place that finer texels are interpolated between.
        """
        return hits.supersample > 1 and self.samples % len(SPREAD) == 0


def _surface(
    high_poly: HighPoly,
    corner_normals: Float32[np.ndarray, "faces 3 3"],
    unwrapped: UnwrappedMesh,
    hits: TexelHits,
    rows: Int32[np.ndarray, "texels"],
    *,
    coarseness: int,
) -> SurfaceMap:
    """The high poly at the hits that stand for the texels of a map that is coarser by a factor."""
    size = -(-hits.resolution_px // coarseness)
    mesh = high_poly.mesh
    faces, weights = hits.high_face[rows], hits.high_weights[rows]
    row, column = np.divmod(texel_of(hits)[rows], hits.resolution_px)
    place = row // coarseness, column // coarseness
    charts = np.full((size, size), -1, np.int32)
    points, normals = (np.zeros((size, size, 3), np.float32) for _ in range(2))
    charts[place] = unwrapped.charts[hits.low_face[rows]]
    places, kernels = Places(faces=faces, weights=weights), texel_kernels()
    points[place] = kernels.interpolated(mesh.positions_m[mesh.faces], places)
    normals[place] = kernels.interpolated(corner_normals, places, unit=True)
    density = unwrapped.texel_density_px_per_m * hits.resolution_px / unwrapped.atlas_px / coarseness
    return SurfaceMap(
        charts=charts,
        points_m=points,
        normals=normals,
        texel_m=1.0 / max(density, 1e-9),
        taken_at=center_taken(hits, coarseness),
    )
