"""Samples by which a level is fitted to level 0 (``SeamedFilter.fit``).

A collapse puts a point where it is best for the planes around it. Seams decide which points are left, and what bulges
between them is cut off, though the points around could share the loss.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64, Int32

from bridge_server.backends.mesh_filter.base import FitSamples, SeamedFilter, SeamedMesh
from bridge_server.backends.raycaster.base import Raycaster, RayScene
from bridge_server.run import Run
from bridge_server.stages.lod_hull import blended
from bridge_server.stages.lod_texture import TexturePlaces
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import face_areas


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """Level 0, welded, and where it is sampled: in the middles of its faces and at its points."""

    mesh: Mesh
    scene: RayScene
    points: Float32[np.ndarray, "samples 3"]
    weights: Float64[np.ndarray, "samples"]
    """Share of the area."""

    @classmethod
    def of(cls, raycaster: Raycaster, mesh: Mesh) -> "Original":
        """Middles of the faces come first."""
        scene = raycaster.scene(mesh.positions_m, mesh.faces)
        places, areas = mesh.positions_m.astype(np.float64), face_areas(mesh)
        used = np.unique(mesh.faces)
        around = np.bincount(mesh.faces.reshape(-1), np.repeat(areas / 3.0, 3), len(places))[used]
        points = np.concatenate([places[mesh.faces].mean(axis=1), places[used]]).astype(np.float32)
        weights = np.concatenate([areas, around])
        scene.nearest(points[:1])  # what is built at the first question is not to be built in several threads
        return cls(mesh, scene, points, weights / max(weights.sum(), 1e-300))


def level_places(
    faces: Int32[np.ndarray, "faces 3"],
) -> tuple[Int32[np.ndarray, "places"], Float64[np.ndarray, "places 3"], int]:
    """Face and barycentric weights of the middles of faces and edges and of the points of a mesh; how many edges.

    An edge and a point belong to the first face that has them.
    """
    ends = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2).reshape(-1, 2).astype(np.int64), axis=1)
    edge = np.unique(ends[:, 0] * (int(faces.max()) + 1) + ends[:, 1], return_index=True)[1]
    point = np.unique(faces.reshape(-1), return_index=True)[1]
    along = (np.eye(3) + np.roll(np.eye(3), 1, axis=1)) / 2.0
    owners = np.concatenate([np.arange(len(faces)), edge // 3, point // 3]).astype(np.int32)
    shares = np.concatenate([np.full((len(faces), 3), 1.0 / 3.0), along[edge % 3], np.eye(3)[point % 3]])
    return owners, shares, len(edge)


def fitted_level(
    backends: tuple[SeamedFilter, Raycaster],
    original: Original,
    texture: TexturePlaces,
    level: SeamedMesh,
    run: Run,
) -> SeamedMesh:
    """The level with its points where it lies nearer; ``uvs`` are in edge lengths of the atlas."""
    mesh_filter, raycaster = backends
    used, inverse = np.unique(level.points[level.faces], return_inverse=True)
    mesh = Mesh(positions_m=level.positions[used].astype(np.float32), faces=inverse.reshape(-1, 3).astype(np.int32))
    owners, shares, edges = level_places(mesh.faces)

    def at(values: np.ndarray, corners: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("nk,nkd->nd", shares, values.astype(np.float64)[corners[owners]]))

    whole = texture.mesh
    meant = texture.nearest(at(level.uvs, level.faces), texture.charts[level.faces[owners, 0]])
    scene = raycaster.scene(mesh.positions_m, mesh.faces)
    samples = FitSamples(
        points_m=original.points,
        weights=original.weights,
        onto_level=scene.nearest(original.points).faces,
        faces=owners,
        shares=shares,
        edges=edges,
        onto_original=original.scene.nearest(at(mesh.positions_m, mesh.faces).astype(np.float32)).faces,
        meant_m=blended(whole.positions_m, whole.faces, meant),
    )
    positions = np.array(level.positions)
    positions[used] = mesh_filter.fit(mesh, original.mesh, samples, run)
    return replace(level, positions=positions)
