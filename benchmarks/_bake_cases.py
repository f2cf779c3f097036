"""Meshes that bakes are compared on: each a dense one with its colours, and a low poly of it with charts and a cage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.raycasters import SUBDIVISIONS, bumpy_sphere
from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.backends.unwrapper.base import UNWRAPPERS
from bridge_server.run import SilentRun
from bridge_server.stages.decimate import Decimate
from bridge_server.stages.unwrap import Unwrap
from bridge_server.values.mesh import HighPoly, LowPoly, Mesh, UnwrappedMesh
from bridge_server.values.surface import VertexField

TRIANGLES = 10_000


@dataclass(frozen=True)
class Scene:
    """Both meshes, and what rays need to know."""

    high: HighPoly
    low: UnwrappedMesh
    cage_m: float
    reach_m: float


@dataclass(frozen=True)
class Shape:
    """How a scene is made."""

    mesh: Callable[[], Mesh]
    cage_m: float
    low: Callable[[], Mesh] | None = None
    """None: the dense mesh, decimated."""
    hard_edge_angle_deg: float = 180.0
    """Of the low poly."""


def sphere() -> Mesh:
    """A closed surface with hollows."""
    positions, faces = bumpy_sphere(SUBDIVISIONS)
    return Mesh(positions_m=positions, faces=faces)


def torus(rows: int = 560, columns: int = 280) -> Mesh:
    """313,600 triangles with bumps of two sizes, 0.7 m wide."""
    u = np.linspace(0, 2 * np.pi, rows, endpoint=False)[:, None]
    v = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None, :]
    minor = 0.11 + 0.006 * np.sin(24 * u) * np.sin(16 * v) + 0.001 * np.sin(90 * u + 40 * v)
    ring = 0.24 + minor * np.cos(v)
    places = np.stack([ring * np.cos(u), minor * np.sin(v), -ring * np.sin(u)], axis=-1)
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    a, b = row * columns + column, row * columns + (column + 1) % columns
    c, d = (row + 1) % rows * columns + column, (row + 1) % rows * columns + (column + 1) % columns
    faces = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    return Mesh(positions_m=places.reshape(-1, 3).astype(np.float32), faces=faces.astype(np.int32))


def panel(steps: int = 160, bevel_m: float = 0.02, groove_m: float = 0.006) -> Mesh:
    """A box of half a metre with rounded edges and grooves across its sides: 307,200 triangles of flat and sharp."""
    mesh = _box(steps)
    place = mesh.positions_m.astype(np.float64)
    inner = np.clip(place, -0.25 + bevel_m, 0.25 - bevel_m)
    outward = place - inner
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-12)
    axis = np.abs(place).argmax(axis=1)
    along = place[np.arange(len(place)), (axis + 1) % 3]
    flat = (np.abs(np.delete(inner, 0, axis=1)) < 1).all(axis=1) & (np.sort(np.abs(place), axis=1)[:, 1] < 0.2)
    wave = np.abs((along / 0.08) % 1.0 - 0.5)
    depth = np.where(flat, groove_m * np.clip((0.12 - wave) / 0.04, 0, 1), 0.0)
    return Mesh(positions_m=(inner + outward * (bevel_m - depth)[:, None]).astype(np.float32), faces=mesh.faces)


def plain_box() -> Mesh:
    """The low poly of the panel."""
    return _box(8)


def _box(steps: int) -> Mesh:
    """A cube of half a metre, each side a grid."""
    line = np.linspace(-0.25, 0.25, steps + 1)
    s, t = np.meshgrid(line, line, indexing="ij")
    positions, faces = [], []
    index = np.arange((steps + 1) ** 2).reshape(steps + 1, steps + 1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    quads = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    for axis in range(3):
        for side in (1, -1):
            place = np.empty((s.size, 3))
            place[:, axis], place[:, (axis + 1) % 3], place[:, (axis + 2) % 3] = side * 0.25, s.ravel(), t.ravel()
            positions.append(place)
            faces.append((quads if side > 0 else quads[:, ::-1]) + len(faces) * s.size)
    every = np.concatenate(positions)
    _, first, which = np.unique(np.rint(every * 1e6).astype(np.int64), axis=0, return_index=True, return_inverse=True)
    return Mesh(
        positions_m=every[first].astype(np.float32), faces=which.reshape(-1)[np.concatenate(faces)].astype(np.int32)
    )


SHAPES: Mapping[str, Shape] = {
    "bumpy sphere": Shape(sphere, 0.01),
    "detailed torus": Shape(torus, 0.01),
    "hard-surface panel": Shape(panel, 0.03, plain_box, 60.0),
}


def color(points: np.ndarray) -> np.ndarray:
    """Linear base colour, with waves about 0.2 m long."""
    waves = [np.sin(30 * points[:, axis] + axis) * np.cos(25 * points[:, axis - 1]) for axis in range(3)]
    return 0.5 + 0.4 * np.stack(waves, axis=1)


def scene_of(shape: Shape, resolution_px: int = 2048) -> Scene:
    """Decimate where there is no low poly, unwrap, and paint."""
    mesh, run = shape.mesh(), SilentRun()
    field = VertexField(
        positions_m=mesh.positions_m,
        faces=mesh.faces,
        base_color=color(mesh.positions_m.astype(np.float64)).astype(np.float32),
        metallic=np.zeros(len(mesh.positions_m), np.float32),
        roughness=np.ones(len(mesh.positions_m), np.float32),
    )
    high = HighPoly(mesh=mesh, field=field, source="benchmark")
    caster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    if shape.low is None:
        reducer = MESH_FILTERS.load(MESH_FILTERS.choose("auto"))
        low = Decimate(triangle_count=TRIANGLES)(run, reducer, caster, high_poly=high)
    else:
        plain = shape.low()
        low = LowPoly(
            mesh=plain, target_triangle_count=len(plain.faces), hausdorff_m=0.0, mean_distance_m=0.0, method="given"
        )
    wrap = Unwrap(resolution_px=resolution_px, hard_edge_angle_deg=shape.hard_edge_angle_deg)
    wrapped = wrap(run, UNWRAPPERS.load(UNWRAPPERS.choose("auto")), low_poly=low)
    return Scene(high=high, low=wrapped, cage_m=shape.cage_m, reach_m=0.5 * mesh.diagonal_m)
