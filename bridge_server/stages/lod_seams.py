"""Levels of detail by a filter that finds places and texture coordinates together (``SeamedFilter``).

Each level is made of level 0 anew, several times: faces whose surroundings came out far away weigh more the next time,
and the nearest level is kept. Vertices that moved take normals, and coordinates for baked light, from the place of
level 0 that their texture coordinates mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int32

from bridge_server.backends.mesh_filter.base import SeamedFilter, SeamedMesh
from bridge_server.backends.raycaster.base import NearestPlaces, Raycaster
from bridge_server.run import PartialRun, Run
from bridge_server.stages.lod_fit import Original, fitted_level
from bridge_server.stages.lod_half_edges import DISTANCE_SAMPLES, Made, texture_scale_m
from bridge_server.stages.lod_hull import blended
from bridge_server.stages.lod_tasks import side_by_side
from bridge_server.stages.lod_texture import TexturePlaces
from bridge_server.stages.mesh_distance import surface_samples
from bridge_server.stages.tangent_frames import mikktspace_tangents, split_by_tangent
from bridge_server.values.lod import Lod
from bridge_server.values.mesh import Mesh, UnwrappedMesh
from bridge_server.values.mesh_topology import compacted

OUTLINE_PADDINGS = 2.0
"""How far chart outlines may move on the texture, in paddings of the atlas, where that is not dear."""
DEAR = 1.3
"""Outlines move freely where that makes the largest error so many times smaller."""
FAR_WEIGHT = 5.0
"""How much more the farthest faces weigh the next time."""
ROUNDS = ((50_000, 3), (200_000, 2))
"""Up to so many triangles of level 0 a level is made so many times, beyond that once."""
SAMPLES = np.array([[4, 4, 4], [6, 6, 0], [0, 6, 6], [6, 0, 6]]) / 12.0
"""Places on a face of a level where distances are measured: its middle and those of its edges. Of the smaller faces
of level 0 the middle does."""


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A level, and how far the surroundings of each face of level 0 lie from it."""

    mesh: SeamedMesh
    away_m: Float64[np.ndarray, "faces"]

    def rank(self, triangle_count: int, factor: float = 1.0) -> tuple[bool, float]:
        """Lower is better: those that meet the count first."""
        return len(self.mesh.faces) > triangle_count, float(self.away_m.max()) * factor


@dataclass(frozen=True, slots=True, eq=False)
class SeamLevels:
    """All levels of one mesh."""

    made: dict[int, Made]
    """By the triangles that were wanted."""

    @classmethod
    def of(
        cls,
        mesh_filter: SeamedFilter,
        raycaster: Raycaster,
        unwrapped: UnwrappedMesh,
        triangle_counts: Sequence[int],
        run: Run,
    ) -> "SeamLevels":
        """Make them beside each other: none depends on another."""
        counts = sorted(set(triangle_counts), reverse=True)
        if not counts:
            return cls({})
        maker = LevelMaker.of(mesh_filter, raycaster, unwrapped)
        return cls(dict(zip(counts, maker.levels(counts, run), strict=True)))

    def level(self, _before: Lod, triangle_count: int, _run: Run) -> Made:
        """About so many triangles; more where lines hold too much."""
        return self.made[triangle_count]


@dataclass(frozen=True, slots=True, eq=False)
class LevelMaker:
    """What is the same for all levels of one mesh."""

    mesh_filter: SeamedFilter
    raycaster: Raycaster
    unwrapped: UnwrappedMesh
    source: SeamedMesh
    original: Original
    """Level 0, welded."""
    texture: TexturePlaces
    """Of level 0."""
    outline: float
    """``OUTLINE_PADDINGS`` in the units of the source's coordinates."""
    uv_scale: float
    """Those units in one edge length of the atlas."""

    @classmethod
    def of(cls, mesh_filter: SeamedFilter, raycaster: Raycaster, unwrapped: UnwrappedMesh) -> "LevelMaker":
        """Scale the texture so that its shifts compare with those of the surface."""
        scale = texture_scale_m(unwrapped)
        places = np.zeros((int(unwrapped.welded.max()) + 1, 3))
        places[unwrapped.welded] = unwrapped.positions_m
        source = SeamedMesh(
            positions=places,
            uvs=unwrapped.uvs.astype(np.float64) * scale,
            points=unwrapped.welded.astype(np.int32),
            faces=unwrapped.faces.astype(np.int32),
        )
        return cls(
            mesh_filter=mesh_filter,
            raycaster=raycaster,
            unwrapped=unwrapped,
            source=source,
            original=Original.of(raycaster, unwrapped.welded_mesh()),
            texture=TexturePlaces.of(raycaster, unwrapped),
            outline=OUTLINE_PADDINGS * unwrapped.padding_px / max(unwrapped.atlas_px, 1) * scale,
            uv_scale=scale,
        )

    def levels(self, triangle_counts: Sequence[int], run: Run) -> list[Made]:
        """The nearest of several levels for each of the falling counts."""
        alike = np.ones(len(self.source.faces))

        def begun(outline: float) -> Callable[[Run], list[Tried]]:
            return lambda own: self._tried(triangle_counts, outline, alike, own)

        def finished(count: int, held: Tried, free: Tried) -> Callable[[Run], Made]:
            return lambda own: self._finished(count, held, free, own)

        first = side_by_side([begun(self.outline), begun(np.inf)], PartialRun(run, 0.0, 0.4))
        tasks = [finished(*tried) for tried in zip(triangle_counts, *first, strict=True)]
        return side_by_side(tasks, PartialRun(run, 0.4, 1.0))

    def _finished(self, triangle_count: int, held: Tried, free: Tried, run: Run) -> Made:
        """The nearest level by more rounds, with outlines held or free as was better in the first."""
        rounds = next((count for most, count in ROUNDS if len(self.source.faces) <= most), 1)
        freely = free.rank(triangle_count, DEAR) < held.rank(triangle_count)
        outline, tried = (np.inf, free) if freely else (self.outline, held)
        best, weights = tried, np.ones(len(self.source.faces))
        for number in range(1, rounds):
            weights = weights * (1.0 + FAR_WEIGHT * (tried.away_m / max(tried.away_m.max(), 1e-300)) ** 2)
            part = PartialRun(run, 0.6 * (number - 1) / (rounds - 1), 0.6 * number / (rounds - 1))
            (tried,) = self._tried((triangle_count,), outline, weights, part)
            best = min(best, tried, key=lambda one: one.rank(triangle_count))
        level = replace(best.mesh, uvs=best.mesh.uvs / self.uv_scale)
        backends = self.mesh_filter, self.raycaster
        mesh = self._dressed(fitted_level(backends, self.original, self.texture, level, PartialRun(run, 0.6, 0.9)))
        return Made(mesh, self._largest_error_m(mesh.welded_mesh()))

    def _tried(
        self, triangle_counts: Sequence[int], outline: float, weights: Float64[np.ndarray, "faces"], run: Run
    ) -> list[Tried]:
        weighed = replace(self.source, weights=weights)
        found = self.mesh_filter.collapse_with_seams(weighed, triangle_counts, outline, PartialRun(run, 0.0, 0.7))
        run.checkpoint(0.7, "measuring the level")
        return [Tried(level, self._away_m(level)) for level in found]

    def _away_m(self, level: SeamedMesh) -> Float64[np.ndarray, "faces"]:
        mesh = compacted(level.positions.astype(np.float32), level.points[level.faces])
        faces = self.original.mesh.faces
        there = self.raycaster.scene(mesh.positions_m, mesh.faces).nearest(self.original.points[: len(faces)])
        away = there.distances_m.astype(np.float64)
        back = self.original.scene.nearest(_samples(mesh, SAMPLES))
        np.maximum.at(away, back.faces, back.distances_m)
        for _ in range(2):
            around = np.zeros(len(self.original.mesh.positions_m))
            np.maximum.at(around, faces, away[:, None])
            away = around[faces].max(axis=1)
        return away

    def _largest_error_m(self, mesh: Mesh) -> float:
        """As ``largest_error_m``, over the scene of level 0 that is there already."""
        there = self.raycaster.scene(mesh.positions_m, mesh.faces).nearest(
            surface_samples(self.original.mesh, DISTANCE_SAMPLES)
        )
        back = self.original.scene.nearest(surface_samples(mesh, DISTANCE_SAMPLES))
        return float(max(there.distances_m.max(), back.distances_m.max()))

    def _dressed(self, level: SeamedMesh) -> UnwrappedMesh:
        """The level with normals, tangents and all coordinates; unused vertices go."""
        mesh = self.unwrapped
        used, inverse = np.unique(level.faces, return_inverse=True)
        faces = inverse.reshape(-1, 3).astype(np.int32)
        places = level.positions[level.points[used]].astype(np.float32)
        uvs = level.uvs[used].astype(np.float32)
        moved = (places != mesh.positions_m[used]).any(axis=1) | (uvs != mesh.uvs[used]).any(axis=1)
        charts = self.texture.charts
        normals = mesh.normals[used]
        light = None if mesh.lightmap_uvs is None else mesh.lightmap_uvs[used]
        if moved.any():
            meant = self.texture.nearest(uvs[moved], charts[used[moved]])
            normals[moved] = _unit_blend(mesh.normals, mesh.faces, meant)
            if light is not None and mesh.lightmap_uvs is not None:
                light[moved] = blended(mesh.lightmap_uvs, mesh.faces, meant)
        tangents = mikktspace_tangents(places, normals, uvs, faces)
        split = split_by_tangent(faces, tangents)
        return replace(
            mesh,
            positions_m=places[split.vertices],
            normals=normals[split.vertices],
            tangents=split.tangents,
            uvs=uvs[split.vertices],
            lightmap_uvs=None if light is None else light[split.vertices],
            faces=split.faces,
            charts=charts[level.faces[:, 0]],
            welded=np.unique(level.points[used][split.vertices], return_inverse=True)[1].reshape(-1).astype(np.int32),
            notices=(),
        )


def _samples(mesh: Mesh, weights: np.ndarray) -> np.ndarray:
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    return np.einsum("kc,fcd->fkd", weights, corners).reshape(-1, 3).astype(np.float32)


def _unit_blend(values: np.ndarray, faces: Int32[np.ndarray, "faces 3"], places: NearestPlaces) -> np.ndarray:
    shaded = blended(values, faces, places).astype(np.float32)
    length = np.linalg.norm(shaded, axis=1, keepdims=True)
    return np.where(length > 0.0, shaded / np.maximum(length, 1e-30), values[faces[places.faces][:, 0]])
