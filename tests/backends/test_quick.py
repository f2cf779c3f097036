"""The quick filter of previews: what it must never do, and how near it comes."""

import numpy as np
import pytest

from bridge_server import blocks
from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.collapsing import working_arrays
from bridge_server.backends.mesh_filter.quick import QuickFilter, half_slabs_of
from bridge_server.backends.mesh_filter.simplification import SimplificationFilter
from bridge_server.errors import Cancelled
from bridge_server.run import CallbackRun, SilentRun
from bridge_server.stages.decimate import fold_count
from bridge_server.values.mesh import Mesh, edge_face_counts, is_watertight, volume_m3
from bridge_server.values.mesh_topology import edge_table, face_components, piece_count
from tests import shapes


def quick(mesh, count):
    return QuickFilter().decimate(mesh, count, SilentRun())


def rough(subdivisions, amount=0.06):
    ball = shapes.sphere(0.5, subdivisions)
    x, y, z = ball.positions_m.T
    swell = 1 + amount * np.sin(31 * x) * np.cos(29 * y + 1) * np.sin(30 * z)
    return Mesh(positions_m=(ball.positions_m * swell[:, None]).astype(np.float32), faces=ball.faces)


def sheet(rows=60):
    u, v = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, rows), indexing="ij")
    return shapes.grid_surface(rows, rows, np.stack([u, 0.05 * np.sin(7 * u) * np.cos(9 * v), v], -1), False, False)


def euler_characteristic(mesh):
    return len(np.unique(mesh.faces)) - len(edge_table(mesh.faces).edges) + len(mesh.faces)


def radial_errors(mesh, radius=0.5):
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    weights = np.random.default_rng(0).dirichlet((1, 1, 1), 100)
    return np.abs(np.linalg.norm(np.einsum("kc,fcd->fkd", weights, corners), axis=2) - radius)


@pytest.mark.parametrize("count", [100, 2_000, 9_000])
def test_a_torus_stays_a_torus(count):
    torus = shapes.torus()
    low = quick(torus, count)
    assert len(low.faces) == count
    assert is_watertight(low)
    assert euler_characteristic(low) == 0
    assert fold_count(low) == 0
    assert volume_m3(low) == pytest.approx(volume_m3(torus), rel=0.1 if count == 100 else 0.01)


def test_a_rough_surface_gets_no_folds_and_no_slivers_turned_over():
    dense = rough(6, 0.1)
    low = quick(dense, 6_000)
    assert len(low.faces) == 6_000
    assert is_watertight(low)
    assert fold_count(low) == 0
    corners = low.positions_m.astype(np.float64)[low.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.einsum("ij,ij->i", cross, corners.mean(axis=1)) > 0.0).all()


def test_it_comes_nearer_to_a_sphere_than_the_filter_before_it():
    """Against the radius: samples of every face, for both."""
    dense = shapes.sphere(0.5, 6)
    ours, before = (
        radial_errors(f.decimate(dense, 2_000, SilentRun())) for f in (QuickFilter(), SimplificationFilter())
    )
    assert ours.mean() < before.mean()
    assert ours.max() < 1.05 * before.max()


def test_an_open_sheet_keeps_its_outline_and_its_one_border():
    low = quick(sheet(), 600)
    assert len(low.faces) in (599, 600)
    assert euler_characteristic(low) == 1
    table = edge_table(low.faces)
    ends = low.positions_m[table.edges[table.counts == 1]].astype(np.float64)
    for places in (ends[:, 0], ends[:, 1], ends.mean(axis=1)):
        outside = np.minimum(np.abs(places[:, [0, 2]]), np.abs(1.0 - places[:, [0, 2]])).min(axis=1)
        assert outside.max() < 2e-3
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        assert np.linalg.norm(low.positions_m[:, [0, 2]] - corner, axis=1).min() < 5e-3


def test_a_flat_plate_stays_flat_to_the_last_bit_of_its_outline():
    rows = 40
    u, v = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, rows), indexing="ij")
    flat = shapes.grid_surface(rows, rows, np.stack([u, 0 * u, v], -1), False, False)
    low = quick(flat, 50)
    corners = low.positions_m.astype(np.float64)[low.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert len(low.faces) in (49, 50)
    assert np.abs(low.positions_m[:, 1]).max() < 1e-6
    assert np.linalg.norm(cross, axis=1).sum() / 2 == pytest.approx(1.0, abs=1e-4)


def test_any_number_of_threads_gives_the_same_bytes(monkeypatch):
    dense = rough(6)
    assert half_slabs_of(dense.positions_m.astype(np.float64), 0)[1] >= 4
    found = []
    for cores in (1, 2, 5):
        monkeypatch.setattr(blocks, "usable_cores", lambda cores=cores: cores)
        low = quick(dense, 3_000)
        found.append((low.positions_m.tobytes(), low.faces.tobytes()))
    assert found[0] == found[1] == found[2]


def test_slabs_hold_about_as_many_vertices_each():
    places = np.random.default_rng(3).random((100_000, 3)) ** 3
    halves, amount = half_slabs_of(places, 1)
    counts = np.bincount(halves // 2)
    assert len(counts) == amount == 16
    assert halves.max() == 31
    assert counts.max() < 1.5 * counts.min()


def test_pieces_are_counted_as_without_the_compiler():
    """Faces of balls in any order, a vertex that no face uses, a face that meets a ball in one vertex."""
    balls = shapes.merged(*(shapes.sphere(0.3, 2, (i, 0.0, 0.0)) for i in range(5)))
    random, count = np.random.default_rng(2), len(balls.positions_m)
    hung = np.array([[7, count, count + 1]], np.int32)
    numbers = random.permutation(count + 3).astype(np.int32)
    faces = numbers[random.permutation(np.concatenate([balls.faces, hung]))]
    mesh = Mesh(positions_m=np.zeros((count + 3, 3), np.float32), faces=faces)
    assert QuickFilter().piece_count(mesh) == piece_count(mesh) == 5
    assert QuickFilter().piece_count(Mesh(positions_m=mesh.positions_m, faces=faces[:0])) == 0


@pytest.mark.parametrize("count", [4, 5, 11])
def test_the_least_of_meshes(count):
    for mesh in (shapes.box(), shapes.sphere(0.5, 0)):
        low = quick(mesh, count)
        assert 4 <= len(low.faces) <= count
        assert is_watertight(low)
    one = Mesh(positions_m=np.eye(3, dtype=np.float32), faces=np.array([[0, 1, 2]], np.int32))
    assert quick(one, 1) is one


def test_faces_without_area_and_doubles_do_no_harm():
    ball = rough(4)
    zero = np.array([[0, 0, 1], [5, 9, 5], [7, 7, 7]], np.int32)
    alone = np.float32([[9, 9, 9]])
    bad = Mesh(positions_m=np.concatenate([ball.positions_m, alone]), faces=np.concatenate([zero, ball.faces, zero]))
    low = quick(bad, 500)
    assert len(low.faces) == 500
    assert is_watertight(low)
    assert np.abs(low.positions_m).max() < 1.0
    doubled = Mesh(positions_m=ball.positions_m, faces=np.concatenate([ball.faces, ball.faces[:40]]))
    assert len(quick(doubled, 500).faces) <= 500


def test_unwelded_triangles_come_down_too():
    ball = shapes.sphere(0.5, 4)
    loose = Mesh(
        positions_m=ball.positions_m[ball.faces.reshape(-1)],
        faces=np.arange(ball.faces.size, dtype=np.int32).reshape(-1, 3),
    )
    low = quick(loose, 800)
    assert len(low.faces) == 800
    assert is_watertight(low)


def test_crowded_edges_are_not_made():
    """Two balls that share an edge: four faces there, and nowhere more afterwards."""
    ball = shapes.sphere(0.5, 4)
    a, b = ball.faces[0, :2]
    number = np.arange(len(ball.positions_m)) + len(ball.positions_m)
    number[[a, b]] = a, b
    mirrored = ball.positions_m.astype(np.float64)
    normal = mirrored[a] + mirrored[b]
    normal /= np.linalg.norm(normal)
    mirrored -= 2.0 * ((mirrored - mirrored[a]) @ normal)[:, None] * normal
    both = Mesh(
        positions_m=np.concatenate([ball.positions_m, mirrored.astype(np.float32)]),
        faces=np.concatenate([ball.faces, number[ball.faces][:, ::-1].astype(np.int32)]),
    )
    assert sorted(set(edge_face_counts(both.faces).tolist())) == [2, 4]
    counts = edge_face_counts(quick(both, 1_000).faces)
    assert (counts == 4).sum() <= 1
    assert set(counts.tolist()) <= {2, 4}


def test_all_shells_stay_while_there_is_room():
    shells = shapes.merged(*(shapes.sphere(0.3, 3, (i, 0.0, 0.0)) for i in range(10)))
    low = quick(shells, 800)
    assert len(np.unique(face_components(low.faces))) == 10
    assert len(low.faces) == 800


def test_cancellation_is_heard_between_passes():
    heard = []

    def stop(fraction, note):
        heard.append(fraction)
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        QuickFilter().decimate(rough(5), 500, CallbackRun(stop))
    assert heard[-1] < 0.8


def test_its_loops_agree_with_those_of_the_sorted_collapse():
    """Places, costs and the link condition, on every edge of a sheet with borders."""
    mesh = sheet(12)
    kernels, collapse, loops = (compiled_loops(name) for name in ("quadric", "collapse", "quick"))
    surface = working_arrays(kernels, mesh.positions_m.astype(np.float64), mesh.faces)
    kernels.link_corners(surface)
    kernels.gather_quadrics(surface, np.ones(len(mesh.faces)))
    chains = (surface.faces, surface.alive, np.full_like(surface.first, -1), np.empty_like(surface.onward))
    quadrics, border = np.zeros_like(surface.quadrics), np.zeros_like(surface.border)
    assert compiled_loops("quick_arrays").link_sound_corners(*chains) == len(mesh.faces)
    loops.gather_range(surface.places, chains[0], *chains[2:], quadrics, border, 0, len(border))
    np.testing.assert_allclose(quadrics, surface.quadrics, atol=1e-15)
    np.testing.assert_array_equal(border, surface.border)
    stars, halves = np.empty((2, 48, 3), np.int32), np.zeros(len(border), np.uint8)
    sound = []
    for u, v in edge_table(mesh.faces).edges.tolist():
        found, meant = loops.place_of(surface.places, quadrics, border, u, v), kernels.best_place(surface, u, v)
        np.testing.assert_allclose(found, meant, rtol=1e-6, atol=1e-12)
        sizes = tuple(loops.read_star(*chains, halves, 0, 0, end, stars, side) for side, end in enumerate((u, v)))
        marks = np.zeros(len(border), np.int32)
        sound.append(loops.is_link_sound(*chains[1:], border, marks, 2, u, v, stars, sizes))
        assert sound[-1] == collapse.keeps_topology(surface, u, v)
    assert 0 < sum(sound) < len(sound)
