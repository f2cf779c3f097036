"""Levels of detail by a filter that finds places and texture coordinates together (``SeamedFilter``).

Each level is made of level 0 anew, several times: faces whose surroundings came out far away weigh more the next time,
and the nearest level is kept. Vertices that moved take normals, and coordinates for baked light, from the place of
level 0 that their texture coordinates mean.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int32

from bridge_server.backends.mesh_filter.base import SeamedFilter, SeamedMesh
from bridge_server.backends.raycaster.base import NearestPlaces, Raycaster, RayScene
from bridge_server.run import PartialRun, Run
from bridge_server.stages.lod_half_edges import texture_scale_m
from bridge_server.stages.lod_hull import blended
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
LAYER = 4.0
"""Charts lie so far apart when a place is sought by its texture coordinates: farther than any two places of one."""
SAMPLES = np.array([[4, 4, 4], [6, 6, 0], [0, 6, 6], [6, 0, 6]]) / 12.0
"""Places on a face of a level where distances are measured: its middle and those of its edges. Of the smaller faces
of level 0 the middle does."""


@dataclass(frozen=True, slots=True, eq=False)
class LevelMaker:
    """What is the same for all levels of one mesh."""

    mesh_filter: SeamedFilter
    raycaster: Raycaster
    unwrapped: UnwrappedMesh
    source: SeamedMesh
    base: Mesh
    """Level 0, welded."""
    scene: RayScene
    """Of ``base``."""
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
        base = unwrapped.welded_mesh()
        return cls(
            mesh_filter=mesh_filter,
            raycaster=raycaster,
            unwrapped=unwrapped,
            source=source,
            base=base,
            scene=raycaster.scene(base.positions_m, base.faces),
            outline=OUTLINE_PADDINGS * unwrapped.padding_px / max(unwrapped.atlas_px, 1) * scale,
            uv_scale=scale,
        )

    def level(self, _before: Lod, triangle_count: int, run: Run) -> UnwrappedMesh:
        """The nearest of several levels of about so many triangles; more triangles where lines hold too much."""
        rounds = next((count for most, count in ROUNDS if len(self.source.faces) <= most), 1)
        outline, best, least = self.outline, None, (True, np.inf)
        weights = np.ones(len(self.source.faces))
        for number in range(rounds):
            part = PartialRun(run, number / rounds, (number + 1) / rounds)
            found, away = self._tried(triangle_count, outline, weights, part)
            if number == 0:
                other, other_away = self._tried(triangle_count, np.inf, weights, part)
                if _rank(other, other_away, triangle_count, DEAR) < _rank(found, away, triangle_count):
                    outline, found, away = np.inf, other, other_away
            rank = _rank(found, away, triangle_count)
            if best is None or rank < least:
                best, least = found, rank
            weights = weights * (1.0 + FAR_WEIGHT * (away / max(away.max(), 1e-300)) ** 2)
        assert best is not None
        return self._dressed(best)

    def _tried(
        self, triangle_count: int, outline: float, weights: Float64[np.ndarray, "faces"], run: Run
    ) -> tuple[SeamedMesh, Float64[np.ndarray, "faces"]]:
        """A level, and how far the surroundings of each face of level 0 lie from it."""
        weighed = replace(self.source, weights=weights)
        found = self.mesh_filter.collapse_with_seams(weighed, triangle_count, outline, PartialRun(run, 0.0, 0.7))
        run.checkpoint(0.7, "measuring the level")
        return found, self._away(found)

    def _away(self, level: SeamedMesh) -> Float64[np.ndarray, "faces"]:
        mesh = compacted(level.positions.astype(np.float32), level.points[level.faces])
        faces = self.base.faces
        there = self.raycaster.scene(mesh.positions_m, mesh.faces).nearest(_samples(self.base, SAMPLES[:1]))
        away = there.distances_m.astype(np.float64)
        back = self.scene.nearest(_samples(mesh, SAMPLES))
        np.maximum.at(away, back.faces, back.distances_m)
        for _ in range(2):
            around = np.zeros(len(self.base.positions_m))
            np.maximum.at(around, faces, away[:, None])
            away = around[faces].max(axis=1)
        return away

    def _dressed(self, level: SeamedMesh) -> UnwrappedMesh:
        """The level with normals, tangents and all coordinates; unused vertices go."""
        mesh = self.unwrapped
        used, inverse = np.unique(level.faces, return_inverse=True)
        faces = inverse.reshape(-1, 3).astype(np.int32)
        places = level.positions[level.points[used]].astype(np.float32)
        uvs = (level.uvs[used] / self.uv_scale).astype(np.float32)
        moved = (places != mesh.positions_m[used]).any(axis=1) | (uvs != mesh.uvs[used]).any(axis=1)
        charts = mesh.charts_of_vertices()
        normals = mesh.normals[used]
        light = None if mesh.lightmap_uvs is None else mesh.lightmap_uvs[used]
        if moved.any():
            meant = meant_places(self.raycaster, mesh, uvs[moved], charts[used[moved]])
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


def meant_places(
    raycaster: Raycaster,
    mesh: UnwrappedMesh,
    uvs: np.ndarray,
    charts: Int32[np.ndarray, "places"],
) -> NearestPlaces:
    """The places of a mesh that texture coordinates mean, or the nearest of the same chart on the texture."""
    layers = np.concatenate([mesh.uvs, LAYER * mesh.charts_of_vertices()[:, None]], axis=1).astype(np.float32)
    return raycaster.scene(layers, mesh.faces).nearest(
        np.concatenate([uvs, LAYER * charts[:, None]], axis=1).astype(np.float32)
    )


def _rank(
    level: SeamedMesh, away: Float64[np.ndarray, "faces"], triangle_count: int, factor: float = 1.0
) -> tuple[bool, float]:
    """Lower is better: those that meet the count first."""
    return len(level.faces) > triangle_count, float(away.max()) * factor


def _samples(mesh: Mesh, weights: np.ndarray) -> np.ndarray:
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    return np.einsum("kc,fcd->fkd", weights, corners).reshape(-1, 3).astype(np.float32)


def _unit_blend(values: np.ndarray, faces: Int32[np.ndarray, "faces 3"], places: NearestPlaces) -> np.ndarray:
    shaded = blended(values, faces, places).astype(np.float32)
    length = np.linalg.norm(shaded, axis=1, keepdims=True)
    return np.where(length > 0.0, shaded / np.maximum(length, 1e-30), values[faces[places.faces][:, 0]])
