"""Charts by xatlas, cut in a child process with a time limit, because it can hang on bad input.

Its own packer places every chart texel by texel and takes twenty seconds for a few hundred charts at 2048 px, so it
is given next to no texels, and the charts are packed by ``bitmap_packing``.
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float32, Float64, Int32

from bridge_server.backends.isolation import call_isolated
from bridge_server.backends.table import Availability
from bridge_server.backends.unwrapper.base import Atlas, UnwrapSettings
from bridge_server.backends.unwrapper.bitmap_packing import packed, repacked
from bridge_server.backends.unwrapper.chart_state import same_label
from bridge_server.backends.unwrapper.folds import connected_charts, folded_faces, split_vertices
from bridge_server.errors import StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh import Mesh, face_cross_products

CHARTING_PX = 64
"""Edge of the square that xatlas packs into; only the charts are kept."""
FOLD_ROUNDS = 4
CUT = "bridge_server.backends.unwrapper.xatlas:cut_here"
"""What the child process runs."""


@dataclass(frozen=True, slots=True)
class XatlasUnwrapper:
    """Many small charts; quick and well tried."""

    @property
    def identity(self) -> str:
        """Name and version of the package, and of how it is driven."""
        return f"xatlas {version('xatlas')}/2"

    @classmethod
    def availability(cls) -> Availability:
        """Whether the package is installed."""
        try:
            if find_spec("xatlas") is not None:
                return Availability(available=True, detail=f"{version('xatlas')}, CPU")
        except (PackageNotFoundError, ValueError):
            pass
        return Availability(available=False, detail="the package xatlas is not installed.", remedy="pip install xatlas")

    def unwrap(self, mesh: Mesh, settings: UnwrapSettings, run: Run) -> Atlas:
        """Charts by xatlas; raises ``StageFailed`` where it fails or takes too long."""
        cut: Cut = call_isolated(
            CUT,
            mesh,
            run=run,
            time_limit_s=settings.time_limit_s,
            note="cutting charts",
        )
        return _laid_out(mesh, cut, settings, run)

    def repack(self, mesh: Mesh, atlas: Atlas, settings: UnwrapSettings, run: Run) -> Float32[np.ndarray, "corners 2"]:
        """By true outlines."""
        return repacked(mesh, atlas, settings, run)


@dataclass(frozen=True, slots=True)
class Cut:
    """Charts that are not packed yet."""

    vertices: Int32[np.ndarray, "corners"]
    """For each new vertex the mesh vertex it was split from."""
    faces: Int32[np.ndarray, "faces 3"]
    flat_m: Float64[np.ndarray, "corners 2"]
    """Places of the vertices in the plane of their chart."""
    charts: Int32[np.ndarray, "faces"]


def _laid_out(mesh: Mesh, cut: Cut, settings: UnwrapSettings, run: Run) -> Atlas:
    """Pack; what folds becomes charts of its own; pack again."""
    vertices, faces, flat_m, charts = cut.vertices, cut.faces, cut.flat_m, cut.charts
    rank = -np.arange(len(faces), dtype=np.float64)
    for attempt in range(FOLD_ROUNDS):
        share = PartialRun(run, 0.4 + 0.15 * attempt, 0.55 + 0.15 * attempt)
        corners = flat_m[faces] @ np.array([1.0, 1j])
        rim = ~same_label(opposite_half_edges(faces), charts.astype(np.int64))
        places = packed(corners, charts.astype(np.int64), rim, settings, share)
        uvs = np.zeros((len(vertices), 2), np.float32)
        uvs[faces.reshape(-1)] = places.reshape(-1, 2) / settings.resolution_px
        folded = folded_faces(uvs, faces, rank, settings.resolution_px)
        if not folded.any():
            break
        charts = connected_charts(mesh.faces, (charts * 2 + folded).astype(np.int32))
        corner_place = flat_m[faces].reshape(-1, 2)
        vertices, faces = split_vertices(mesh.faces, charts)
        flat_m = np.empty((len(vertices), 2))
        flat_m[faces.reshape(-1)] = corner_place
    return Atlas(vertices=vertices, faces=faces, uvs=uvs, charts=charts, method="xatlas")


def cut_here(mesh: Mesh) -> Cut:
    """Cut and flatten in this process."""
    import xatlas

    sound = np.flatnonzero(face_cross_products(mesh).any(axis=1))
    if len(sound) == 0:
        raise StageFailed("the mesh has no face with an area.", subject="xatlas", remedy="Repair the mesh first.")
    atlas = xatlas.Atlas()
    atlas.add_mesh(mesh.positions_m, mesh.faces[sound].astype(np.uint32))
    packing = xatlas.PackOptions()
    packing.resolution = CHARTING_PX
    atlas.generate(xatlas.ChartOptions(), packing)
    if atlas.atlas_count == 0:
        raise StageFailed("no chart came out.", subject="xatlas")
    vertices, indices, uvs = atlas.get_mesh(0)
    found = atlas.get_mesh_vertex_assignment(0)[1].astype(np.int64)
    flat = uvs.astype(np.float64) * (atlas.width, atlas.height) / atlas.texels_per_unit
    labels = np.full(len(mesh.faces), -1, np.int64)
    labels[sound] = found[indices.reshape(-1, 3)[:, 0]]
    labels[labels == np.iinfo(np.uint32).max] = -1
    missing = np.flatnonzero(labels < 0)
    labels[missing] = labels.max() + 1 + np.arange(len(missing))
    charts = np.unique(labels, return_inverse=True)[1].reshape(-1).astype(np.int32)
    faces = np.zeros((len(mesh.faces), 3), np.int32)
    faces[sound] = indices.reshape(-1, 3)
    extra = len(vertices) + np.arange(len(missing) * 3, dtype=np.int32)
    faces[missing] = extra.reshape(-1, 3)
    # a face without area lies on one point, where it covers nothing
    vertices = np.concatenate([vertices.astype(np.int32), mesh.faces[missing].reshape(-1)])
    flat = np.concatenate([flat, np.tile(flat[:1], (len(extra), 1))])
    return Cut(vertices=vertices, faces=faces, flat_m=_evened(mesh, flat, faces, charts), charts=charts)


def _evened(
    mesh: Mesh,
    flat_m: Float64[np.ndarray, "corners 2"],
    faces: Int32[np.ndarray, "faces 3"],
    charts: Int32[np.ndarray, "faces"],
) -> Float64[np.ndarray, "corners 2"]:
    """Every chart as large in the plane as it is on the surface; xatlas rounds sizes to texels."""
    area_m2 = np.bincount(charts, np.linalg.norm(face_cross_products(mesh), axis=1))
    flat_m2 = np.bincount(charts, np.abs(np.linalg.det(flat_m[faces[:, 1:]] - flat_m[faces[:, :1]])))
    sound = (area_m2 > 0.0) & (flat_m2 > 0.0)
    scale = np.sqrt(np.divide(area_m2, flat_m2, out=np.ones_like(area_m2), where=sound))
    chart_of_vertex = np.zeros(len(flat_m), np.int64)
    chart_of_vertex[faces] = charts[:, None]
    return flat_m * scale[chart_of_vertex][:, None]
