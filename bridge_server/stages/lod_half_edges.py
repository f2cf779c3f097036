"""Levels of detail by half-edge collapses, for mesh filters that know nothing of texture.

Vertices of a level are vertices of the level before, with their texture coordinates and normals.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import PartialRun, Run
from bridge_server.stages.edge_collapse import WedgeMesh, collapse_edges
from bridge_server.stages.mesh_distance import surface_distance
from bridge_server.stages.tangent_frames import mikktspace_tangents, split_by_tangent
from bridge_server.values.lod import Lod
from bridge_server.values.mesh import Mesh, UnwrappedMesh

UV_WEIGHT = 0.5
"""How heavy a shift of the texture weighs, over a shift of the surface by as much."""
OUTLINE_STEPS = (0.5, 2.0, np.inf)
"""How far chart outlines may move, in paddings of the atlas; the next step is taken where the target is not met."""
USUAL_GROWTH, WORTH_IT = 1.3, 0.8
"""An error that grows by more than this times the loss of triangles comes from outlines that hold too much: the level
is made again from the second step on, and kept where its error is less than this share of the first."""
DISTANCE_SAMPLES = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """One level."""

    mesh: UnwrappedMesh
    error_m: float
    """Largest sampled distance to level 0, both ways."""


@dataclass(frozen=True, slots=True, eq=False)
class HalfEdgeLevels:
    """Makes the levels of one mesh."""

    raycaster: Raycaster
    base: Mesh
    """Level 0, welded."""

    def level(self, before: Lod, triangle_count: int, run: Run) -> Made:
        """About so many triangles out of the level before; more where chart borders hold too much."""
        mesh = simplified(before.mesh, triangle_count, PartialRun(run, 0.0, 0.5))
        error_m = largest_error_m(self.raycaster, self.base, mesh, PartialRun(run, 0.5, 0.6))
        usual_m = USUAL_GROWTH * before.error_m * len(before.mesh.faces) / max(len(mesh.faces), 1)
        if before.error_m <= 0.0 or error_m <= usual_m:
            return Made(mesh, error_m)
        looser = simplified(before.mesh, triangle_count, PartialRun(run, 0.6, 0.9), OUTLINE_STEPS[1:])
        looser_m = largest_error_m(self.raycaster, self.base, looser, PartialRun(run, 0.9, 1.0))
        return Made(looser, looser_m) if looser_m < WORTH_IT * error_m else Made(mesh, error_m)


def largest_error_m(raycaster: Raycaster, base: Mesh, mesh: UnwrappedMesh, run: Run) -> float:
    """Largest sampled distance to level 0, both ways."""
    return surface_distance(raycaster, base, mesh.welded_mesh(), DISTANCE_SAMPLES, run).largest_m


def texture_scale_m(mesh: UnwrappedMesh) -> float:
    """Metres that an edge length of the atlas counts for: the length it has on the surface, times ``UV_WEIGHT``."""
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    flat = mesh.uvs.astype(np.float64)[mesh.faces]
    side, other = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    uv_area = np.abs(side[:, 0] * other[:, 1] - side[:, 1] * other[:, 0]).sum()
    return UV_WEIGHT * float(np.sqrt(area / max(uv_area, 1e-12)))


def simplified(
    mesh: UnwrappedMesh, triangle_count: int, run: Run, outline_steps: tuple[float, ...] = OUTLINE_STEPS
) -> UnwrappedMesh:
    """About so many triangles, by collapses that tear no seam; more where chart borders do not allow fewer."""
    points = mesh.welded.astype(np.int64)
    low, high = mesh.positions_m.min(axis=0), mesh.positions_m.max(axis=0)
    diagonal = float(np.linalg.norm(high.astype(np.float64) - low)) or 1.0
    uv_scale = texture_scale_m(mesh) / diagonal
    places = (mesh.positions_m.astype(np.float64) - low) / diagonal
    coordinates = np.concatenate([places, mesh.uvs.astype(np.float64) * uv_scale], axis=1)
    faces = mesh.faces.astype(np.int64)
    for step, paddings in enumerate(outline_steps):
        part = PartialRun(run, step / len(outline_steps), (step + 1) / len(outline_steps))
        tolerance = paddings * mesh.padding_px / max(mesh.atlas_px, 1) * uv_scale
        faces = collapse_edges(WedgeMesh(coordinates, points, faces), triangle_count, part, tolerance)
        if len(faces) <= triangle_count:
            break
    return with_faces(mesh, faces)


def with_faces(mesh: UnwrappedMesh, faces: Int64[np.ndarray, "faces 3"]) -> UnwrappedMesh:
    """The mesh with other faces over the same vertices; tangents are made anew, unused vertices go."""
    used, inverse = np.unique(faces, return_inverse=True)
    local = inverse.reshape(-1, 3).astype(np.int32)
    tangents = mikktspace_tangents(mesh.positions_m[used], mesh.normals[used], mesh.uvs[used], local)
    split = split_by_tangent(local, tangents)
    origin = used[split.vertices]
    return replace(
        mesh,
        positions_m=mesh.positions_m[origin],
        normals=mesh.normals[origin],
        tangents=split.tangents,
        uvs=mesh.uvs[origin],
        lightmap_uvs=None if mesh.lightmap_uvs is None else mesh.lightmap_uvs[origin],
        faces=split.faces,
        charts=mesh.charts_of_vertices()[faces[:, 0]],
        welded=np.unique(mesh.welded[origin], return_inverse=True)[1].reshape(-1).astype(np.int32),
        notices=(),
    )
