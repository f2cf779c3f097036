"""Tangents against the reference implementation (npm mikktspace) on ten meshes, six of them not made for this test."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bridge_server.backends.unwrapper.base import UNWRAPPERS
from bridge_server.run import SilentRun
from bridge_server.stages.tangent_frames import mikktspace_tangents
from bridge_server.stages.unwrap import Unwrap
from bridge_server.values.mesh import Mesh, vertex_normals
from tests.referees.node import mikktspace_tangents as reference_tangents
from tests.shapes import box, sphere, torus
from tests.stages.bake_cases import low_poly

FOX = Path(__file__).parents[2] / "examples" / "fox" / "fox.glb"
TOLERANCE_DEG = 0.1
DETERMINED = 1e-12
"""Twice the area in the texture below which a face has no direction of its own."""


@dataclass(frozen=True)
class Textured:
    """Vertices with one normal and one place in the texture each, V down."""

    positions: np.ndarray
    normals: np.ndarray
    uvs: np.ndarray
    faces: np.ndarray


def charted(mesh: Mesh, charts: int, seed: int) -> Textured:
    """Random charts, each its own projection: seams, mirrored parts and stretched faces."""
    random = np.random.default_rng(seed)
    centers = mesh.positions_m[mesh.faces].mean(axis=1)
    seeds = centers[random.choice(len(centers), charts, replace=False)]
    chart = np.argmin(np.linalg.norm(centers[:, None] - seeds[None], axis=2), axis=1)
    unique, faces = np.unique(mesh.faces.astype(np.int64) * charts + chart[:, None], return_inverse=True)
    vertex, which = unique // charts, unique % charts
    turn, shift = random.normal(size=(charts, 3, 2)), random.uniform(0, 9, (charts, 2))
    uvs = np.einsum("vi,vij->vj", mesh.positions_m[vertex], turn[which]) + shift[which]
    return _textured(mesh.positions_m[vertex], vertex_normals(mesh)[vertex], uvs, faces.reshape(-1, 3))


def mirrored_torus() -> Textured:
    """Both halves share one texture."""
    mesh = torus(rows=60, columns=24)
    uvs = np.stack([np.abs(mesh.positions_m[:, 0]), mesh.positions_m[:, 1] + mesh.positions_m[:, 2]], axis=1)
    return _textured(mesh.positions_m, vertex_normals(mesh), uvs, mesh.faces)


def spoilt_torus() -> Textured:
    """Patches without texture area, slivers, faces given twice and faces with one corner twice, all among good ones."""
    random = np.random.default_rng(7)
    base = charted(torus(rows=60, columns=24), 6, 3)
    uvs, faces = base.uvs.copy(), base.faces.copy()
    for face in random.choice(len(faces), 40, replace=False):
        uvs[faces[face]] = uvs[faces[face][0]]
    twice = faces[random.choice(len(faces), 30, replace=False)]
    needles = faces[random.choice(len(faces), 30, replace=False)][:, [0, 1, 1]]
    faces = random.permutation(np.concatenate([faces, twice, needles]))
    return _textured(base.positions, base.normals, uvs, faces)


def fox() -> Textured:
    """Its own texture coordinates and normals (CC BY 4.0 and CC0, see its folder)."""
    import trimesh

    found = trimesh.load(FOX, force="mesh")
    uvs = np.asarray(found.visual.uv) * [1, -1] + [0, 1]
    return _textured(found.vertices, found.vertex_normals, uvs, found.faces)


def sample(name: str) -> Textured:
    """A model that comes with PyMeshLab's own tests, with its coordinates where it has any, else box-projected."""
    import trimesh

    pymeshlab = pytest.importorskip("pymeshlab")
    path = Path(pymeshlab.__file__).parent / "tests" / "sample_meshes" / name
    if not path.exists():
        pytest.skip(f"this build of PyMeshLab brings no {name}")
    found = trimesh.load(path, force="mesh")
    uvs = getattr(found.visual, "uv", None)
    if uvs is not None:
        return _textured(found.vertices, found.vertex_normals, np.asarray(uvs) * [1, -1] + [0, 1], found.faces)
    mesh = Mesh(positions_m=np.asarray(found.vertices, np.float32), faces=np.asarray(found.faces, np.int32))
    wrapped = Unwrap(resolution_px=512)(SilentRun(), UNWRAPPERS.load("planar"), low_poly=low_poly(mesh))
    return _textured(wrapped.positions_m, wrapped.normals, wrapped.uvs, wrapped.faces)


def _textured(positions: np.ndarray, normals: np.ndarray, uvs: np.ndarray, faces: np.ndarray) -> Textured:
    positions, normals, uvs = (np.ascontiguousarray(part, np.float32) for part in (positions, normals, uvs))
    return Textured(positions=positions, normals=normals, uvs=uvs, faces=np.ascontiguousarray(faces, np.int32))


MESHES = {
    "sphere": lambda: charted(sphere(subdivisions=4), 7, 1),
    "box": lambda: charted(box(), 3, 2),
    "mirrored torus": mirrored_torus,
    "spoilt torus": spoilt_torus,
    "fox": fox,
    "textured bunny": lambda: sample("bunny10k_textured.obj"),
    "cow": lambda: sample("cow.obj"),
    "airplane": lambda: sample("airplane.obj"),
    "bone": lambda: sample("bone.ply"),
    "bunny": lambda: sample("bunny.obj"),
}


@pytest.mark.parametrize("name", MESHES)
def test_999_of_1000_corners_equal_the_reference(name: str) -> None:
    mesh = MESHES[name]()
    upward = mesh.uvs * np.float32([1, -1]) + np.float32([0, 1])
    corners = (part[mesh.faces].reshape(len(mesh.faces) * 3, -1) for part in (mesh.positions, mesh.normals, upward))
    expected = reference_tangents(*corners).astype(np.float64)
    found = mikktspace_tangents(mesh.positions, mesh.normals, mesh.uvs, mesh.faces).reshape(-1, 4).astype(np.float64)
    across = np.linalg.norm(np.cross(found[:, :3], expected[:, :3]), axis=1)
    angle = np.degrees(np.arctan2(across, (found[:, :3] * expected[:, :3]).sum(axis=1)))
    same = (angle < TOLERANCE_DEG) & (found[:, 3] == expected[:, 3])
    determined = np.repeat(_texture_area(mesh) > DETERMINED, 3)
    print(
        f"{name}: {len(same)} corners, {same[determined].mean():.6f} of {determined.mean():.3f}; all {same.mean():.6f}"
    )
    assert determined.mean() > 0.9
    assert same[determined].mean() >= 0.999


def _texture_area(mesh: Textured) -> np.ndarray:
    corners = mesh.uvs[mesh.faces].astype(np.float64)
    sides = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=1)
    return np.abs(np.linalg.det(sides))
