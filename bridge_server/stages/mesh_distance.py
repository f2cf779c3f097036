"""Distance between two surfaces, by samples."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import PartialRun, Run
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import face_areas

BLOCK = 16_384
"""Samples between two checkpoints."""
SEED = 20_011


@dataclass(frozen=True, slots=True)
class SurfaceDistance:
    """How far two surfaces lie apart, both ways."""

    largest_m: float
    """Sampled Hausdorff distance."""
    mean_m: float
    """Mean over the samples of both directions."""


def surface_samples(mesh: Mesh, count: int) -> Float32[np.ndarray, "samples 3"]:
    """Vertices (evenly picked where there are more than ``count``) and as many random places, spread by area."""
    random = np.random.default_rng(SEED)
    step = max(1, -(-len(mesh.positions_m) // count))
    areas = np.cumsum(face_areas(mesh))
    if areas[-1] <= 0.0:
        return mesh.positions_m[::step]
    face = np.minimum(np.searchsorted(areas, random.random(count) * areas[-1], side="right"), len(areas) - 1)
    root, share = np.sqrt(random.random((count, 1))), random.random((count, 1))
    a, b, c = mesh.positions_m[mesh.faces[face]].astype(np.float64).transpose(1, 0, 2)
    inside = (1.0 - root) * a + root * (1.0 - share) * b + root * share * c
    used = np.zeros(len(mesh.positions_m), np.bool_)
    used[mesh.faces.reshape(-1)] = True
    return np.concatenate([mesh.positions_m[np.flatnonzero(used)[::step]], inside.astype(np.float32)])


def surface_distance(raycaster: Raycaster, one: Mesh, other: Mesh, samples: int, run: Run) -> SurfaceDistance:
    """Nearest distances from samples of each surface to the other one."""
    there = distance_from(raycaster, one, other, samples, PartialRun(run, 0.0, 0.5))
    back = distance_from(raycaster, other, one, samples, PartialRun(run, 0.5, 1.0))
    return SurfaceDistance(max(there.largest_m, back.largest_m), (there.mean_m + back.mean_m) / 2.0)


def distance_from(raycaster: Raycaster, one: Mesh, other: Mesh, samples: int, run: Run) -> SurfaceDistance:
    """Nearest distances from samples of one surface to the other, one way only: quick where the other is light."""
    scene = raycaster.scene(other.positions_m, other.faces)
    points = surface_samples(one, samples)
    found = []
    for start in range(0, len(points), BLOCK):
        run.checkpoint(start / len(points), "measuring the distance")
        found.append(scene.nearest(points[start : start + BLOCK]).distances_m)
    distances = np.concatenate(found).astype(np.float64)
    return SurfaceDistance(float(distances.max()), float(distances.mean()))
