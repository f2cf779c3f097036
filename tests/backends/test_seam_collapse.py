"""The collapse that moves points and their texture together, on shapes of which the answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.base import MESH_FILTERS, SeamedFilter, SeamedMesh
from bridge_server.run import SilentRun
from bridge_server.values.mesh import Mesh, edge_face_counts, is_watertight, volume_m3
from bridge_server.values.mesh_topology import compacted
from tests import shapes
from tests.unwrapped_shapes import unwrapped_ball, unwrapped_box


def seamed(unwrapped):
    places = np.zeros((int(unwrapped.welded.max()) + 1, 3))
    places[unwrapped.welded] = unwrapped.positions_m
    return SeamedMesh(
        positions=places,
        uvs=2.0 * unwrapped.uvs.astype(np.float64),
        points=unwrapped.welded.astype(np.int32),
        faces=unwrapped.faces.astype(np.int32),
    )


def plain(mesh: Mesh, uvs=None):
    count = len(mesh.positions_m)
    return SeamedMesh(
        positions=mesh.positions_m.astype(np.float64),
        uvs=np.zeros((count, 2)) if uvs is None else uvs,
        points=np.arange(count, dtype=np.int32),
        faces=mesh.faces,
    )


def collapsed(mesh, target, outline=np.inf):
    mesh_filter = MESH_FILTERS.load("quadric")
    assert isinstance(mesh_filter, SeamedFilter)
    return mesh_filter.collapse_with_seams(mesh, (target,), outline, SilentRun())[0]


def surface_of(found: SeamedMesh) -> Mesh:
    return compacted(found.positions.astype(np.float32), found.points[found.faces].astype(np.int32))


def signed_uv_areas(found: SeamedMesh):
    a, b, c = found.uvs[found.faces].transpose(1, 0, 2)
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def test_a_box_in_many_cells_becomes_a_box_again_with_its_charts():
    fine = unwrapped_box((1.0, 2.0, 3.0), cells=10)
    found = collapsed(seamed(fine), 12)
    assert len(found.faces) == 12
    assert is_watertight(surface_of(found))
    assert volume_m3(surface_of(found)) == pytest.approx(6.0, rel=1e-4)
    given = np.abs(signed_uv_areas(seamed(fine))).reshape(6, -1).sum(axis=1)
    side = np.argmax(
        np.abs(np.cross(*np.diff(found.positions[found.points[found.faces]], axis=1).transpose(1, 0, 2))), 1
    )
    kept = np.bincount(side, np.abs(signed_uv_areas(found)), 3)
    assert kept == pytest.approx(np.full(3, 2 * given[0]), rel=1e-3)


def test_places_of_a_ball_are_nearer_than_any_choice_among_its_vertices():
    """Inscribed vertices lie on the ball; the best ones lie beyond it, so that faces cut through it."""
    found = surface_of(collapsed(seamed(unwrapped_ball(0.5, 20)), 600))
    radii = np.linalg.norm(found.positions_m, axis=1, keepdims=True)
    inscribed = replace(found, positions_m=0.5 * found.positions_m / radii)
    missing, missing_there = (np.pi / 6.0 - volume_m3(mesh) for mesh in (found, inscribed))
    assert radii.mean() > 0.501
    assert 0.0 < missing < 0.6 * missing_there


def test_twins_across_seams_have_one_place_and_charts_never_fold():
    fine = seamed(unwrapped_ball(0.5, 20))
    sign = np.sign(signed_uv_areas(fine)[0])
    for target in (2000, 500, 100):
        found = collapsed(fine, target)
        assert len(found.faces) <= target
        assert is_watertight(surface_of(found))
        assert (sign * signed_uv_areas(found) > 0.0).all()


def test_seams_meet_elsewhere_where_charts_are_many():
    """Every pair of triangles of the ball is a chart: below one pair each, seams have to run together."""
    ball = unwrapped_ball(0.5, 10)
    faces = np.arange(len(ball.faces) * 3, dtype=np.int32).reshape(-1, 3)
    uvs = ball.uvs[ball.faces] + 3.0 * np.arange(len(faces))[:, None, None]
    patchy = SeamedMesh(
        positions=seamed(ball).positions,
        uvs=uvs.reshape(-1, 2).astype(np.float64),
        points=ball.welded[ball.faces].reshape(-1).astype(np.int32),
        faces=faces,
    )
    found = collapsed(patchy, 400)
    assert len(found.faces) == 400
    assert is_watertight(surface_of(found))
    chart = found.faces // 3
    assert (chart == chart[:, :1]).all(), "a face shows one chart"
    assert (np.sign(signed_uv_areas(found)) == np.sign(signed_uv_areas(patchy)[chart[:, 0]])).all()


@pytest.mark.parametrize(("outline", "straight"), [(0.02, False), (np.inf, True)])
def test_outlines_move_on_the_texture_no_more_than_they_may(outline, straight):
    """A zigzag border of 0.1 on a flat sheet costs little in space; on the texture it may be held."""
    steps = np.linspace(0.0, 1.0, 41)
    x, y = np.meshgrid(steps, steps, indexing="ij")
    zigzag = 0.1 * (np.arange(41) % 2)[:, None] * (y == 1.0)
    sheet = shapes.grid_surface(41, 41, np.stack([x, y + zigzag, 0 * x], -1), wrap_rows=False, wrap_columns=False)
    found = collapsed(plain(sheet, sheet.positions_m[:, :2].astype(np.float64)), 24, outline)
    assert (len(found.faces) <= 24) == straight
    top = found.uvs[np.unique(found.faces)]
    peaks = ((top[:, 1] > 1.09) & (top[:, 0] > 0.01) & (top[:, 0] < 0.99)).sum()
    assert peaks < 15 if straight else peaks == 20


def test_weights_keep_triangles_where_they_are_heavy():
    ball = shapes.sphere(0.5, 4)
    upper = ball.positions_m[ball.faces].mean(axis=1)[:, 1] > 0.0
    heavy = SeamedMesh(
        **{name: getattr(plain(ball), name) for name in ("positions", "uvs", "points", "faces")},
        weights=np.where(upper, 50.0, 1.0),
    )
    shares = []
    for given in (plain(ball), heavy):
        found = surface_of(collapsed(given, 400))
        shares.append((found.positions_m[found.faces].mean(axis=1)[:, 1] > 0.0).mean())
    assert shares[0] == pytest.approx(0.5, abs=0.05)
    assert shares[1] > 0.65


def test_the_genus_is_kept_and_shells_never_vanish():
    found = surface_of(collapsed(plain(shapes.torus()), 60))
    assert is_watertight(found)
    assert len(found.positions_m) - len(found.faces) * 3 // 2 + len(found.faces) == 0
    shells = shapes.merged(*(shapes.sphere(0.3, 2, (i, 0.0, 0.0)) for i in range(6)))
    assert is_watertight(surface_of(collapsed(plain(shells), 0)))
    assert len(collapsed(plain(shells), 0).faces) == 24  # tetrahedra


def test_an_open_grid_keeps_its_outline():
    steps = np.linspace(0, 1, 30)
    x, y = np.meshgrid(steps, steps, indexing="ij")
    sheet = shapes.grid_surface(30, 30, np.stack([x, y, 0 * x], -1), wrap_rows=False, wrap_columns=False)
    found = surface_of(collapsed(plain(sheet), 4))
    assert len(found.faces) <= 4
    corners = found.positions_m.astype(np.float64)[found.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    assert area == pytest.approx(1.0, abs=1e-3)


def test_what_is_no_surface_stays():
    balls = shapes.merged(shapes.sphere(0.5, 3), shapes.sphere(0.5, 3, (0.0, 1.0, 0.0)))
    top, bottom = balls.positions_m[:642, 1].argmax(), 642 + balls.positions_m[642:, 1].argmin()
    faces = balls.faces.copy()
    faces[faces == bottom] = top
    found = collapsed(plain(Mesh(positions_m=balls.positions_m, faces=faces)), 200)
    assert top in found.faces
    assert np.array_equal(found.positions[top], balls.positions_m[top].astype(np.float64))
    assert (edge_face_counts(found.points[found.faces]) == 2).all()


def test_random_soups_do_not_crash_or_hang():
    random = np.random.default_rng(0)
    for _ in range(10):
        corners = random.integers(0, 40, (60, 3))
        corners = corners[(np.diff(np.sort(corners, axis=1), axis=1) > 0).all(axis=1)]
        points = random.integers(0, 25, 40).astype(np.int32)
        corners = corners[(np.diff(np.sort(points[corners], axis=1), axis=1) > 0).all(axis=1)]
        soup = SeamedMesh(
            positions=random.random((25, 3)), uvs=random.random((40, 2)), points=points, faces=corners.astype(np.int32)
        )
        found = collapsed(soup, 5)
        assert len(found.faces) <= len(corners)
        assert np.isfinite(found.positions).all()


def test_the_same_mesh_gives_the_same_level():
    one, two = (collapsed(seamed(unwrapped_ball(0.5, 12)), 300) for _ in range(2))
    assert np.array_equal(one.faces, two.faces)
    assert np.array_equal(one.positions, two.positions)


@pytest.mark.parametrize("both", [0.0, 1.0])
def test_a_quadric_is_the_weighted_squared_distance_to_a_line_or_plane(both):
    kernels, random = compiled_loops("seamed"), np.random.default_rng(3)
    basis, _ = np.linalg.qr(random.normal(size=(5, 2)))
    base, spot, quadric = random.normal(size=5), random.normal(size=7), np.zeros(21)
    kernels.add_flat(quadric, base, basis[:, 0].copy(), basis[:, 1].copy(), both, 3.0)
    flat = basis if both else basis[:, :1]
    for side in (0, 1):
        offset = spot[[0, 1, 2, 3 + 2 * side, 4 + 2 * side]] - base
        away = offset - flat @ (flat.T @ offset)
        assert kernels.cost_of(quadric, 0, spot, side) == pytest.approx(3.0 * away @ away)


def test_the_best_spot_solves_the_equations():
    kernels, random = compiled_loops("seamed"), np.random.default_rng(4)
    root = random.normal(size=(7, 7))
    matrix, right = root @ root.T + np.eye(7), random.normal(size=7)
    wanted = np.linalg.solve(matrix, right)
    kernels.solved(matrix, right, 7)
    assert right == pytest.approx(wanted)
