"""Bottles with narrow necks keep their inside; hulls that hang on holes and tunnels lose theirs."""

import numpy as np
import pytest

from benchmarks.meshes.solids import surface_of
from bridge_server.stages.repair_necks import hangs_on_necks
from bridge_server.values.mesh import Mesh, is_watertight, volume_m3
from bridge_server.values.mesh_topology import edge_table, half_edge_pairs
from tests.stages.repair_cases import middles, repaired, revolved

DIAGONAL_M = np.linalg.norm([0.36, 1.0, 0.36])


def bottle(neck_share, wall_m=0.012, around=64):
    """A bottle 1 m high whose bore is ``neck_share`` of the diagonal wide, with a neck of 0.2 m."""
    bore = neck_share * DIAGONAL_M / 2.0
    outside = [(0.0, -0.5), (0.18, -0.5), (0.18, 0.15), (bore + wall_m, 0.3), (bore + wall_m, 0.5)]
    within = [(bore, 0.5), (bore, 0.3), (0.18 - wall_m, 0.14), (0.18 - wall_m, wall_m - 0.5), (0.0, wall_m - 0.5)]
    return revolved([*outside, *within], around)


def holed_ball(hole_m, wall_m):
    """A ball of 1 m with a second hull inside, joined by one round hole: a tunnel as long as the wall is thick."""
    turn = np.linspace(0.0, np.pi - np.arcsin(hole_m), 60)
    outer = np.stack([0.5 * np.sin(turn), -0.5 * np.cos(turn)], axis=1)
    inner = outer * (1.0 - 2.0 * wall_m)
    inner[-1, 0] = outer[-1, 0]
    return revolved([*outer.tolist(), *inner[::-1].tolist()], 96)


def keeps_its_inside(mesh):
    return len(repaired_and_told(mesh).faces) == len(mesh.faces)


def repaired_and_told(mesh):
    """Where its inside went, a notice says so."""
    assert is_watertight(mesh)
    assert volume_m3(mesh) > 0.0
    found, notices = repaired(mesh)
    assert (len(found.faces) != len(mesh.faces)) == ("hidden_removed" in notices)
    return found


@pytest.mark.parametrize("wall_m", [0.004, 0.012])
@pytest.mark.parametrize(
    "neck_share", [0.01, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.02, 0.03)), 0.05]
)
def test_a_bottle_keeps_its_inside_however_narrow_its_neck(neck_share, wall_m):
    assert keeps_its_inside(bottle(neck_share, wall_m))


def test_so_does_one_that_leans_and_is_rough():
    mesh = bottle(0.02)
    random = np.random.default_rng(1)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    rough = mesh.positions_m @ turn.T + random.normal(scale=4e-4, size=mesh.positions_m.shape)
    assert keeps_its_inside(Mesh(positions_m=rough.astype(np.float32), faces=mesh.faces))


def test_so_does_one_of_few_faces():
    assert keeps_its_inside(bottle(0.03, around=10))


@pytest.mark.slow
def test_so_does_one_whose_faces_follow_a_grid():
    def distance(points):
        across, height = np.hypot(points[:, 0], points[:, 2]), points[:, 1]
        body = np.linalg.norm(points - [0.0, -0.2, 0.0], axis=1) - 0.3
        neck = np.maximum(across - 0.04, np.maximum(-height, height - 0.45))
        hollow = np.minimum(body + 0.03, np.maximum(across - 0.018, -height))
        return np.maximum(np.minimum(body, neck), -hollow)

    points, faces = surface_of(distance, 160)
    assert keeps_its_inside(Mesh(positions_m=points.astype(np.float32), faces=faces.astype(np.int32)))


def test_so_does_a_float_with_a_neck_at_either_end():
    half = [(0.2, 0.0), (0.2, 0.2), (0.03, 0.3), (0.03, 0.5), (0.018, 0.5), (0.018, 0.3), (0.188, 0.195), (0.188, 0.0)]
    other = [(radius, -height) for radius, height in half[::-1]]
    assert keeps_its_inside(revolved([*half, *other[1:-1], half[0]]))


@pytest.mark.parametrize(
    ("hole_m", "wall_m"), [(0.05, 0.03), pytest.param(0.03, 0.03, marks=pytest.mark.slow), (0.02, 0.06)]
)
def test_a_hull_that_hangs_on_a_round_hole_or_a_long_tunnel_goes(hole_m, wall_m):
    mesh = holed_ball(hole_m, wall_m)
    found = repaired_and_told(mesh)
    assert len(found.faces) != len(mesh.faces)
    assert is_watertight(found)
    assert volume_m3(found) == pytest.approx(np.pi / 6.0, rel=0.01)


def border_at(mesh, inside):
    table = edge_table(mesh.faces)
    pairs = half_edge_pairs(table)
    cut = inside[pairs[:, 0] // 3] != inside[pairs[:, 1] // 3]
    return table.edges[table.of_half_edge[pairs[cut, 0]]]


def inside_below(mesh, height_m, wall_m=0.012):
    """Faces of the inner wall of a bottle with a neck of 2 % up to some height."""
    across, height = np.hypot(*middles(mesh)[:, [0, 2]].T), middles(mesh)[:, 1]
    outside = np.interp(height, [0.15, 0.3], [0.18, 0.01 * DIAGONAL_M + wall_m])
    highest = mesh.positions_m[mesh.faces][..., 1].max(axis=1)  # whole rings, so that the border is no zigzag
    return (across < outside - wall_m / 2.0) & (height > wall_m / 2.0 - 0.5) & (highest < height_m)


@pytest.mark.parametrize("height_m", [0.32, 0.4, 0.48])
def test_wherever_in_the_bore_the_cut_runs_the_neck_is_told(height_m):
    mesh = bottle(0.02)
    inside = inside_below(mesh, height_m)
    assert hangs_on_necks(mesh, inside, border_at(mesh, inside))


def test_a_bore_that_is_pressed_flat_is_no_neck():
    mesh = bottle(0.02)
    inside = inside_below(mesh, 0.4)
    flat = Mesh(positions_m=mesh.positions_m * np.float32([8.0, 1.0, 1.0]), faces=mesh.faces)
    assert not hangs_on_necks(flat, inside, border_at(flat, inside))


def test_a_bore_with_a_hole_as_wide_beside_it_is_no_neck():
    mesh = bottle(0.02)
    place = middles(mesh)
    hole = inside_below(mesh, 0.4) & (np.linalg.norm(place - [0.168, 0.0, 0.0], axis=1) < 0.03)
    assert hole.any()
    inside = inside_below(mesh, 0.4) & ~hole
    assert not hangs_on_necks(mesh, inside, border_at(mesh, inside))
