"""Unwrapping by xatlas, in a child process with a time limit, because it can hang on bad input.

xatlas cuts the charts once; its packer then runs again on the finished charts at several densities, until they fill
one square of exactly the wanted size with the wanted gap between them and round the border.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float32, Float64, Int32

from bridge_server.backends.isolation import call_isolated
from bridge_server.backends.table import Availability
from bridge_server.backends.unwrapper.base import Atlas, UnwrapSettings
from bridge_server.backends.unwrapper.folds import connected_charts, folded_faces, split_vertices
from bridge_server.errors import StageFailed
from bridge_server.run import Run
from bridge_server.values.mesh import Mesh, face_cross_products

DENSITY_STEPS = 6
PACKING_PX = 1024
"""Larger atlases are packed at about this size and scaled up: as tight, and in a fraction of the time."""
FOLD_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class XatlasUnwrapper:
    """The default unwrapper."""

    @property
    def identity(self) -> str:
        """Name and version of the package, and of how it is driven."""
        return f"xatlas {version('xatlas')}/1"

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
        atlas: Atlas = call_isolated(
            "bridge_server.backends.unwrapper.xatlas:unwrap_here",
            mesh,
            settings,
            run=run,
            time_limit_s=settings.time_limit_s,
            note="cutting and packing charts",
        )
        return atlas


def unwrap_here(mesh: Mesh, settings: UnwrapSettings) -> Atlas:
    """The whole work, in this process."""
    vertices, faces, flat_m, charts = _charts(mesh, settings)
    rank = -np.arange(len(faces), dtype=np.float64)
    for _ in range(FOLD_ROUNDS):
        uvs = _packed(flat_m, faces, settings)
        folded = folded_faces(uvs, faces, rank, settings.resolution_px)
        if not folded.any():
            break
        charts = connected_charts(mesh.faces, (charts * 2 + folded).astype(np.int32))
        corner_place = flat_m[faces].reshape(-1, 2)
        vertices, faces = split_vertices(mesh.faces, charts)
        flat_m = np.empty((len(vertices), 2))
        flat_m[faces.reshape(-1)] = corner_place
    return Atlas(vertices=vertices, faces=faces, uvs=uvs, charts=charts, method="xatlas")


def _charts(
    mesh: Mesh, settings: UnwrapSettings
) -> tuple[
    Int32[np.ndarray, "corners"],
    Int32[np.ndarray, "faces 3"],
    Float64[np.ndarray, "corners 2"],
    Int32[np.ndarray, "faces"],
]:
    """Split vertices, faces, places of the vertices in the plane of their chart in metres, and charts."""
    import xatlas

    sound = np.flatnonzero(face_cross_products(mesh).any(axis=1))
    if len(sound) == 0:
        raise StageFailed("the mesh has no face with an area.", subject="xatlas", remedy="Repair the mesh first.")
    atlas = xatlas.Atlas()
    atlas.add_mesh(mesh.positions_m, mesh.faces[sound].astype(np.uint32))
    packing = xatlas.PackOptions()
    packing.resolution = settings.resolution_px
    packing.padding = settings.padding_px
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
    return vertices, faces, np.concatenate([flat, np.tile(flat[:1], (len(extra), 1))]), charts


def _packed(
    flat_m: Float64[np.ndarray, "corners 2"], faces: Int32[np.ndarray, "faces 3"], settings: UnwrapSettings
) -> Float32[np.ndarray, "corners 2"]:
    """Texture coordinates at the greatest density that fits, or at the one that was asked for."""
    shrink = max(settings.resolution_px // PACKING_PX, 1)
    # xatlas keeps the padding on either side of every chart, so two charts lie twice as far apart
    padding = max(-(-settings.padding_px // (2 * shrink)), 1)
    inner = settings.resolution_px // shrink - 2 * padding
    area = float(np.abs(np.linalg.det(flat_m[faces[:, 1:]] - flat_m[faces[:, :1]])).sum()) / 2.0

    def attempt(density: float) -> Float64[np.ndarray, "corners 2"] | None:
        return _pack_once(flat_m, faces, inner, padding, density)

    places = attempt(settings.texels_per_m / shrink) if settings.texels_per_m else None
    if places is None:
        limit = inner / max(area, 1e-12) ** 0.5
        places = _densest(attempt, min(limit, settings.texels_per_m / shrink or limit))
    return ((places + padding) * shrink / settings.resolution_px).astype(np.float32)


def _densest(
    attempt: Callable[[float], Float64[np.ndarray, "corners 2"] | None], limit: float
) -> Float64[np.ndarray, "corners 2"]:
    """The attempt of the greatest density below ``limit`` that succeeds, by bisection."""
    low, high, best = limit * 0.6, limit * 0.95, attempt(limit * 0.6)
    while best is None:
        high, low = low, low * 0.6
        best = attempt(low)
        if best is None and low < limit * 1e-3:
            raise StageFailed(
                "the charts do not fit into the atlas with the gap that is asked for.",
                subject="xatlas",
                remedy="Raise unwrap.resolution_px or lower unwrap.padding_px.",
            )
    for _ in range(DENSITY_STEPS):
        middle = (low + high) / 2.0
        trial = attempt(middle)
        if trial is None:
            high = middle
        else:
            low, best = middle, trial
    return best


def _pack_once(
    flat_m: Float64[np.ndarray, "corners 2"],
    faces: Int32[np.ndarray, "faces 3"],
    size_px: int,
    padding_px: int,
    density: float,
) -> Float64[np.ndarray, "corners 2"] | None:
    """Places in texels of a square of that size; None where one square is not enough."""
    import xatlas

    atlas = xatlas.Atlas()
    atlas.add_uv_mesh(flat_m.astype(np.float32), faces.astype(np.uint32))
    packing = xatlas.PackOptions()
    packing.resolution = size_px
    packing.padding = padding_px
    packing.texels_per_unit = density
    atlas.generate(xatlas.ChartOptions(), packing)
    if atlas.atlas_count != 1 or max(atlas.width, atlas.height) > size_px:
        return None
    _, indices, uvs = atlas.get_mesh(0)
    places = np.zeros_like(flat_m)
    places[faces.reshape(-1)] = uvs[indices.reshape(-1)] * np.array([atlas.width, atlas.height], np.float64)
    return places
