"""Unwrap: from the low poly to a mesh that maps can be baked to."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.backends.unwrapper.base import NO_ROOM, UNWRAPPERS, Atlas, Unwrapper, UnwrapSettings
from bridge_server.errors import StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.stages.corner_normals import SMOOTH_DEG, corner_normals, hard_half_edges
from bridge_server.stages.stage import Range, Stage
from bridge_server.stages.tangent_frames import mikktspace_tangents, split_by_tangent
from bridge_server.stages.unwrap_kept import KeepUvs, uvs_of_input
from bridge_server.stages.unwrap_measures import atlas_figures, least_gap_px
from bridge_server.values.base import Notice, Severity
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh import HighPoly, LowPoly, Mesh, UnwrappedMesh
from bridge_server.values.texel_grid import overlap_count

SMALLEST_MIP_PX = 128
"""Down to this size of the mip chain no texel touches two charts."""
FALLBACK, OWN = "planar", "own"
LIGHTMAP_GAP_PX = 2
"""So that light, which is filtered over two texels, does not reach over to the next chart."""
MEND_UVS = "Mend them in your 3D program: inside the unit square, no two triangles on one place, none without area."


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwrap(Stage):
    """Cut the low poly into charts, pack them, and give every vertex its normal and tangent."""

    name: ClassVar[str] = "unwrap"
    writes: ClassVar[str] = "unwrapped"
    version: ClassVar[int] = 3

    resolution_px: Annotated[int, Range(64, 8192)] = 1024
    """Edge length of the maps that the packing is made for."""
    padding_px: Annotated[int, Range(0, 128)] = 0
    """Least gap between charts; 0 takes ``resolution_px / 128``, one texel in the mip of 128 px, and at least 2."""
    texels_per_m: Annotated[float, Range(0, 1e6)] = 0.0
    """Texel density; 0 fills the square. A density that does not fit is lowered, with a notice."""
    hard_edge_angle_deg: Annotated[float, Range(0, 180)] = 60.0
    """Edges that turn by more than this shade hard where a chart ends there, which spares the normal map steep
    gradients; 180 shades everything smooth."""
    most_stretch: Annotated[float, Range(1.001, 2.0)] = 1.03
    """How far the stretch of one chart (L2 norm, 1 is none) may go for the sake of fewer charts."""
    most_charts: Annotated[int, Range(0, 100_000)] = 0
    """Wanted number of charts at most; stretch then goes further, and a miss is told. 0 leaves it to the stretch."""
    keep_uvs: KeepUvs = KeepUvs.AUTO
    """``auto`` keeps the input's own coordinates where its triangles are kept and the coordinates are good, ``always``
    wherever they can be baked to, ``never`` makes new ones."""
    lightmap_px: Annotated[int, Range(0, 4096)] = 0
    """Packs the charts a second time, for a light map of this size (UV channel 1 in Unreal); 0 makes none. Light that
    is baked needs it; Lumen and Nanite do not."""
    time_limit_s: Annotated[float, Range(1, 3600)] = 180.0
    """After this the box projection takes over."""

    def __call__(
        self, run: Run, unwrapper: Unwrapper, *, low_poly: LowPoly, high_poly: HighPoly | None = None
    ) -> UnwrappedMesh:
        """Unwrap, verify by rasterising, measure. Raises ``StageFailed`` where not even a box projection fits."""
        mesh = low_poly.mesh
        if len(mesh.faces) == 0:
            raise StageFailed("the low poly has no triangles.", subject="unwrap")
        settings = UnwrapSettings(
            resolution_px=self.resolution_px,
            padding_px=self.padding_px or max(-(-self.resolution_px // SMALLEST_MIP_PX), 2),
            texels_per_m=self.texels_per_m,
            time_limit_s=self.time_limit_s,
            hard_edge_angle_deg=self.hard_edge_angle_deg,
            most_stretch=self.most_stretch,
            most_charts=self.most_charts,
        )
        atlas, notices = self._kept(mesh, high_poly)
        if atlas is None:
            atlas, more = _unwrapped(unwrapper, mesh, settings, PartialRun(run, 0.0, 0.8))
            notices += more
        run.checkpoint(0.85, "measuring the atlas")
        figures = atlas_figures(mesh.positions_m[mesh.faces], atlas.uvs[atlas.faces], atlas.charts, self.resolution_px)
        gap = least_gap_px(atlas.uvs, atlas.faces, atlas.charts, self.resolution_px)
        if (
            atlas.method != OWN
            and self.texels_per_m > 0.0
            and figures.texel_density_px_per_m < 0.97 * self.texels_per_m
        ):
            notices.append(_thinner(self.texels_per_m, figures.texel_density_px_per_m))
        count = int(np.unique(atlas.charts).size)
        if self.most_charts and count > self.most_charts:
            notices.append(_more_charts(self.most_charts, count))
        lightmap, more = self._lightmap(unwrapper, mesh, atlas, settings, PartialRun(run, 0.88, 0.9))
        notices += more
        run.checkpoint(0.9, "tangent frames")
        frames = _framed(mesh, atlas, self.hard_edge_angle_deg)
        return UnwrappedMesh(
            notices=tuple(notices),
            positions_m=mesh.positions_m[frames.points],
            normals=frames.normals,
            tangents=frames.tangents,
            uvs=frames.uvs,
            faces=frames.faces,
            charts=np.unique(atlas.charts, return_inverse=True)[1].reshape(-1).astype(np.int32),
            welded=np.unique(frames.points, return_inverse=True)[1].reshape(-1).astype(np.int32),
            padding_px=gap,
            atlas_px=self.resolution_px,
            texel_density_px_per_m=figures.texel_density_px_per_m,
            texel_density_spread=figures.texel_density_spread,
            packing_efficiency=figures.packing_efficiency,
            stretch=figures.stretch,
            method=atlas.method,
            lightmap_uvs=None if lightmap is None else lightmap[frames.corners],
            lightmap_px=0 if lightmap is None else self.lightmap_px,
        )

    def _lightmap(
        self, unwrapper: Unwrapper, mesh: Mesh, atlas: Atlas, settings: UnwrapSettings, run: Run
    ) -> tuple[Float32[np.ndarray, "corners 2"] | None, list[Notice]]:
        """The second set of coordinates, or None and a notice where the charts do not fit so small a map."""
        if not self.lightmap_px:
            return None, []
        smaller = replace(settings, resolution_px=self.lightmap_px, padding_px=LIGHTMAP_GAP_PX, texels_per_m=0.0)
        try:
            uvs = unwrapper.repack(mesh, atlas, smaller, run)
            shared = overlap_count(uvs, atlas.faces, self.lightmap_px)
            cause = f"{shared} texels lay under more than one face" if shared else ""
        except StageFailed as error:
            cause = error.message.rstrip(".")
        if not cause:
            return uvs, []
        notice = Notice(
            code="no_lightmap_uvs",
            message=f"There are no coordinates for a light map of {self.lightmap_px} px: {cause}.",
            remedy="Raise unwrap.lightmap_px, or set it to 0 and let Unreal make light map UVs.",
        )
        return None, [notice]

    def _kept(self, mesh: Mesh, high_poly: HighPoly | None) -> tuple[Atlas | None, list[Notice]]:
        """The input's own coordinates where they are to be kept, and what is to be told of them."""
        if self.keep_uvs is KeepUvs.NEVER or high_poly is None:
            return None, []
        own = uvs_of_input(mesh, high_poly.field, self.resolution_px)
        always = self.keep_uvs is KeepUvs.ALWAYS
        if own.atlas is not None and (always or not own.objection):
            message = "The mesh keeps its own texture coordinates" + (f", though {own.objection}" * bool(own.objection))
            return own.atlas, [Notice(code="uvs_kept", message=f"{message}.", severity=Severity.INFO)]
        if not (always or own.wanted):
            return None, []
        remedy = "Set unwrap.keep_uvs to always to keep them where that is possible, or to never to hear no more."
        notice = Notice(
            code="uvs_replaced",
            message=f"The mesh is unwrapped anew and does not keep its own texture coordinates: {own.objection}.",
            remedy=MEND_UVS if always else remedy,
            severity=Severity.WARNING if always else Severity.INFO,
        )
        return None, [notice]


@dataclass(frozen=True, slots=True)
class _Frames:
    """Vertices as they will be exported."""

    points: Int32[np.ndarray, "vertices"]
    corners: Int32[np.ndarray, "vertices"]
    """The vertex of the atlas that each was split from."""
    normals: Float32[np.ndarray, "vertices 3"]
    tangents: Float32[np.ndarray, "vertices 4"]
    uvs: Float32[np.ndarray, "vertices 2"]
    faces: Int32[np.ndarray, "faces 3"]


def _unwrapped(unwrapper: Unwrapper, mesh: Mesh, settings: UnwrapSettings, run: Run) -> tuple[Atlas, list[Notice]]:
    """An atlas without overlap: by the chosen means, else by box projection; with a narrower gap where it must be.

    What is not as it was asked for is told.
    """
    gap_px = settings.padding_px
    while True:
        try:
            atlas, notices = _without_overlap(unwrapper, mesh, replace(settings, padding_px=gap_px), run)
        except StageFailed as error:
            if error.reason != NO_ROOM or gap_px == 0:
                raise
            gap_px //= 2
            continue
        return atlas, notices if gap_px == settings.padding_px else [*notices, _narrower(settings.padding_px, gap_px)]


def _without_overlap(
    unwrapper: Unwrapper, mesh: Mesh, settings: UnwrapSettings, run: Run
) -> tuple[Atlas, list[Notice]]:
    try:
        atlas = unwrapper.unwrap(mesh, settings, run)
        shared = overlap_count(atlas.uvs, atlas.faces, settings.resolution_px)
        cause = f"{shared} texels lay under more than one face" if shared else ""
    except StageFailed as error:
        if error.reason == NO_ROOM:
            raise
        cause = error.message.rstrip(".")
    if not cause:
        return atlas, []
    run.checkpoint(0.7, "box projection")
    atlas = UNWRAPPERS.load(FALLBACK).unwrap(mesh, settings, run)
    if overlap_count(atlas.uvs, atlas.faces, settings.resolution_px):
        raise StageFailed(f"no atlas without overlap was found ({cause}).", subject="unwrap")
    notice = Notice(
        code="unwrap_fallback",
        message=f"The unwrapper {unwrapper.identity} did not serve ({cause}); the charts are a box projection.",
        remedy="More seams and more stretch than usual: check the atlas, or clean the mesh and forge again.",
    )
    return atlas, [notice]


def _narrower(wanted_px: int, found_px: int) -> Notice:
    return Notice(
        code="padding_lowered",
        message=f"So many charts do not fit {wanted_px} texels apart; they have {found_px}, and bleed in the distance.",
        remedy="Raise unwrap.resolution_px, or repair the mesh so that its triangles hang together.",
    )


def _thinner(wanted: float, found: float) -> Notice:
    return Notice(
        code="texel_density_lowered",
        message=f"{wanted:.0f} texels per metre do not fit the atlas; it has {found:.0f}.",
        remedy="Raise unwrap.resolution_px or lower unwrap.texels_per_m.",
    )


def _more_charts(wanted: int, found: int) -> Notice:
    return Notice(
        code="chart_count_exceeded",
        message=f"The atlas has {found} charts where {wanted} were wanted: joined any further they would overlap.",
        remedy="Raise unwrap.most_charts, or clean the mesh: every loose part is a chart of its own.",
    )


def _framed(mesh: Mesh, atlas: Atlas, hard_edge_angle_deg: float) -> _Frames:
    """One vertex for each corner that differs in place, coordinate, normal or tangent."""
    hard = (
        hard_half_edges(mesh, hard_edge_angle_deg)
        if hard_edge_angle_deg < SMOOTH_DEG
        else np.zeros(mesh.faces.size, np.bool_)
    )
    opposite = opposite_half_edges(mesh.faces)
    face = np.arange(len(opposite)) // 3
    hard &= atlas.charts[face] != atlas.charts[np.maximum(opposite, 0) // 3]
    normals = corner_normals(mesh, hard).reshape(-1, 3)
    keys = np.empty(len(normals), dtype=[("vertex", np.int32), ("normal", np.void, 12)])
    keys["vertex"] = atlas.faces.reshape(-1)
    keys["normal"] = np.ascontiguousarray(normals + np.float32(0.0)).view("V12").reshape(-1)
    _, first, inverse = np.unique(keys.view("V16"), return_index=True, return_inverse=True)
    vertices, faces = atlas.faces.reshape(-1)[first], inverse.reshape(-1, 3).astype(np.int32)
    points, uvs, normals = atlas.vertices[vertices], atlas.uvs[vertices], normals[first]
    tangents = mikktspace_tangents(mesh.positions_m[points], normals, uvs, faces)
    split = split_by_tangent(faces, tangents)
    return _Frames(
        points=points[split.vertices].astype(np.int32),
        corners=vertices[split.vertices].astype(np.int32),
        normals=normals[split.vertices],
        tangents=split.tangents,
        uvs=uvs[split.vertices],
        faces=split.faces,
    )
