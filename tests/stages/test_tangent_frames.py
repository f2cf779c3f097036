"""Tangent frames against the reference implementation (npm mikktspace) and against closed forms."""

import numpy as np
import pytest

from bridge_server.stages.corner_normals import corner_normals, hard_half_edges
from bridge_server.stages.tangent_frames import mikktspace_tangents, split_by_tangent
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh import Mesh, vertex_normals
from tests.referees.node import mikktspace_tangents as reference_tangents
from tests.shapes import box, grid_surface, sphere, torus


def charted(mesh: Mesh, charts: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Positions, normals, UVs and faces with seams between random charts, some mirrored, some without UV area."""
    random = np.random.default_rng(seed)
    centers = mesh.positions_m[mesh.faces].mean(axis=1)
    seeds = centers[random.choice(len(centers), charts, replace=False)]
    chart = np.argmin(np.linalg.norm(centers[:, None] - seeds[None], axis=2), axis=1)
    turn = random.normal(size=(charts, 3, 2))
    keys = mesh.faces.astype(np.int64) * charts + chart[:, None]
    unique, faces = np.unique(keys, return_inverse=True)
    vertex, which = unique // charts, unique % charts
    uvs = np.einsum("vi,vij->vj", mesh.positions_m[vertex], turn[which]) + random.uniform(0, 9, (charts, 2))[which]
    uvs[which == charts - 1] = 0.25
    return (
        mesh.positions_m[vertex],
        vertex_normals(mesh)[vertex],
        uvs.astype(np.float32),
        faces.reshape(-1, 3).astype(np.int32),
    )


def referee(positions: np.ndarray, normals: np.ndarray, uvs: np.ndarray, faces: np.ndarray) -> np.ndarray:
    upward = uvs * np.float32([1, -1]) + np.float32([0, 1])
    return reference_tangents(*(part[faces].reshape(len(faces) * 3, -1) for part in (positions, normals, upward)))


@pytest.mark.parametrize(
    "mesh", [sphere(subdivisions=3), torus(rows=40, columns=20), box()], ids=["sphere", "torus", "box"]
)
@pytest.mark.parametrize("seed", [1, 2])
def test_tangents_equal_the_reference(mesh: Mesh, seed: int) -> None:
    positions, normals, uvs, faces = charted(mesh, 5, seed)
    expected = referee(positions, normals, uvs, faces)
    tangents = mikktspace_tangents(positions, normals, uvs, faces).reshape(-1, 4)
    corners = uvs[faces].astype(np.float64)
    area = np.abs(np.linalg.det(np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=1)))
    sound = np.repeat(area > 1e-6, 3)
    assert sound.mean() > 0.4
    assert (tangents[sound, 3] == expected[sound, 3]).mean() > 0.999
    angle = np.degrees(np.arccos(np.clip((tangents[sound, :3] * expected[sound, :3]).sum(1), -1, 1)))
    assert np.percentile(angle, 99.5) < 0.1
    assert (tangents[:, 3] == -1).mean() > 0.1
    assert np.abs(np.linalg.norm(tangents[:, :3], axis=1) - 1).max() < 1e-5
    assert np.abs((tangents[:, :3] * normals[faces].reshape(-1, 3)).sum(1)).max() < 1e-4


def test_a_plane_has_its_texture_axes() -> None:
    x, y = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 4), indexing="ij")
    mesh = grid_surface(5, 4, np.stack([x, y, 0 * x], axis=-1), wrap_rows=False, wrap_columns=False)
    normals = np.tile(np.float32([0, 0, 1]), (20, 1))
    uvs = np.stack([x, 1 - y], axis=-1).reshape(-1, 2).astype(np.float32)
    tangents = mikktspace_tangents(mesh.positions_m, normals, uvs, mesh.faces).reshape(-1, 4)
    np.testing.assert_allclose(tangents, np.tile([1, 0, 0, 1], (len(tangents), 1)), atol=1e-6)
    bitangent = np.cross(normals[0], tangents[0, :3]) * tangents[0, 3]
    np.testing.assert_allclose(bitangent, [0, 1, 0], atol=1e-6)  # up in the picture
    mirrored = mikktspace_tangents(mesh.positions_m, normals, uvs * np.float32([-1, 1]), mesh.faces).reshape(-1, 4)
    np.testing.assert_allclose(mirrored, np.tile([-1, 0, 0, -1], (len(tangents), 1)), atol=1e-6)


def test_degenerate_faces_borrow_or_invent_a_frame() -> None:
    positions = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5], [6, 5, 5], [5, 6, 5]])
    normals = np.tile(np.float32([0, 0, 1]), (6, 1))
    uvs = np.float32([[0, 1], [1, 1], [0, 0], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    faces = np.int32([[0, 1, 2], [0, 0, 1], [3, 4, 5], [3, 3, 3]])
    tangents = mikktspace_tangents(positions, normals, uvs, faces)
    np.testing.assert_allclose(tangents[:2].reshape(-1, 4), np.tile([1, 0, 0, 1], (6, 1)), atol=1e-6)
    assert np.isfinite(tangents).all()
    assert np.abs(np.linalg.norm(tangents[..., :3], axis=2) - 1).max() < 1e-6
    assert np.abs(tangents[..., 2]).max() < 1e-6
    assert mikktspace_tangents(positions, normals, uvs, np.zeros((0, 3), np.int32)).shape == (0, 3, 4)


def test_splitting_gives_each_vertex_one_frame() -> None:
    positions, normals, uvs, faces = charted(torus(rows=30, columns=12), 4, 3)
    half = uvs.copy()
    half[:, 0] = np.abs(half[:, 0] - half[:, 0].mean())
    tangents = mikktspace_tangents(positions, normals, half, faces)
    split = split_by_tangent(faces, tangents)
    assert (split.vertices[split.faces] == faces).all()
    np.testing.assert_array_equal(split.tangents[split.faces], tangents)
    assert len(positions) < len(split.vertices) < len(positions) * 1.6
    assert (np.diff(split.vertices) >= 0).all()
    again = mikktspace_tangents(positions[split.vertices], normals[split.vertices], half[split.vertices], split.faces)
    np.testing.assert_allclose(again, tangents, atol=1e-5)


def test_half_edges_pair_like_a_dictionary_does() -> None:
    faces = np.concatenate([sphere(subdivisions=2).faces, np.int32([[0, 11, 7], [3, 3, 4], [0, 11, 9]])])
    opposite = opposite_half_edges(faces)
    start, end = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    paired = np.flatnonzero(opposite >= 0)
    assert (opposite[opposite[paired]] == paired).all()
    assert (start[paired] == end[opposite[paired]]).all()
    assert (end[paired] == start[opposite[paired]]).all()
    counts: dict[tuple[int, int], int] = {}
    for a, b in zip(start.tolist(), end.tolist(), strict=True):
        counts[a, b] = counts.get((a, b), 0) + 1
    expected = sum(min(n, counts.get((b, a), 0)) for (a, b), n in counts.items() if a != b)
    assert len(paired) == expected
    assert opposite_half_edges(np.zeros((0, 3), np.int32)).shape == (0,)


def test_hard_edges_keep_the_normals_of_a_box_flat() -> None:
    mesh = box((1.0, 2.0, 3.0))
    sharp = corner_normals(mesh, hard_half_edges(mesh, 60.0))
    assert (np.sort(np.abs(sharp), axis=2)[..., :2] < 1e-6).all()
    round_off = corner_normals(mesh, hard_half_edges(mesh, 180.0))
    np.testing.assert_allclose(np.abs(round_off), 3**-0.5, atol=1e-6)
    assert not hard_half_edges(sphere(subdivisions=3), 30.0).any()
