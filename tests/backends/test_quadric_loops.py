"""The compiled loops of decimation beside the same loops in plain Python, and what they must never do."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter import quadric
from bridge_server.backends.mesh_filter.collapsing import (
    collapsed,
    dense_surface,
    halfway,
    in_order,
    reduce_to,
    survivors,
    working_arrays,
)
from bridge_server.backends.mesh_filter.fitting import begun, best_round, fitted, surface_of
from bridge_server.backends.mesh_filter.fitting_worst import worst_first
from bridge_server.backends.mesh_filter.quadric import QuadricFilter, little_moved, mesh_of
from bridge_server.backends.mesh_filter.ridges import ridge_weights, ridges_of
from bridge_server.backends.mesh_filter.sampling import Gap, Walkable
from bridge_server.run import SilentRun
from bridge_server.values.mesh import Mesh, is_watertight
from bridge_server.values.mesh_topology import compacted, edge_table, face_components
from tests import shapes

BALL = shapes.sphere(0.5, 2)


def bumpy(subdivisions):
    ball = shapes.sphere(0.5, subdivisions)
    x, y, z = ball.positions_m.T
    swell = 1 + 0.06 * np.sin(11 * x) * np.cos(9 * y + 1) * np.sin(10 * z)
    return Mesh(positions_m=(ball.positions_m * swell[:, None]).astype(np.float32), faces=ball.faces)


def rough(subdivisions):
    """As scans are: every vertex lies a little off."""
    ball = bumpy(subdivisions)
    off = 1 + 0.003 * np.random.default_rng(1).standard_normal((len(ball.positions_m), 1))
    return Mesh(positions_m=(ball.positions_m * off).astype(np.float32), faces=ball.faces)


def test_quadrics_hold_squared_distances_to_planes():
    """Against the formula: area times squared distance to the planes of the faces around a vertex."""
    kernels = compiled_loops("quadric")
    surface = working_arrays(kernels, BALL.positions_m.astype(np.float64), BALL.faces)
    kernels.link_corners(surface)
    kernels.gather_quadrics(surface, np.ones(len(BALL.faces)))
    corners = BALL.positions_m.astype(np.float64)[BALL.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    place = np.array([0.1, 0.7, -0.2])
    gaps = np.einsum("ij,ij->i", cross / length[:, None], place - corners[:, 0])
    for vertex in (0, 40, 161):
        around = (BALL.faces == vertex).any(axis=1)
        meant = (length[around] / 6.0 * gaps[around] ** 2).sum()
        q = surface.quadrics[vertex]
        assert kernels.cost_at(q, np.zeros(11), *place) == pytest.approx(meant, rel=1e-9)


def test_quadrics_hold_squared_distances_to_border_lines():
    """Beside the planes of its faces a border vertex has the squared distances to the lines of its two border edges."""
    kernels = compiled_loops("quadric")
    sheet = curled_sheet(6)
    surface = working_arrays(kernels, sheet.positions_m.astype(np.float64), sheet.faces)
    kernels.link_corners(surface)
    kernels.gather_quadrics(surface, np.zeros(len(sheet.faces)))
    place, here = np.array([0.3, 0.4, 0.7]), surface.places
    for before, vertex, after in ((0, 1, 2), (6, 0, 1), (29, 35, 34)):
        meant = 0.0
        for other in (before, after):
            edge = here[other] - here[vertex]
            gap = np.linalg.norm(np.cross(edge, place - here[vertex])) / np.linalg.norm(edge)
            meant += kernels.BORDER_WEIGHT * (edge @ edge) * gap**2
        assert kernels.cost_at(surface.quadrics[vertex], np.zeros(11), *place) == pytest.approx(meant, rel=1e-9)


def test_turns_of_faces_cost_area_times_change():
    """Against the formula: of unit normals before and after, over the faces that move and stay."""
    kernels = compiled_loops("quadric")
    surface = working_arrays(kernels, BALL.positions_m.astype(np.float64), BALL.faces, sparing=True)
    kernels.link_corners(surface)
    turn_cost = compiled_loops("collapse").turn_cost
    u, v, _ = BALL.faces[7]
    moved = surface.places.copy()
    moved[u] = (surface.places[u] + surface.places[v]) / 2 + [0.01, -0.02, 0.015]
    around = BALL.faces[(BALL.faces == u).any(axis=1) & (BALL.faces != v).all(axis=1)]
    cross = [
        np.cross(x[around[:, 1]] - x[around[:, 0]], x[around[:, 2]] - x[around[:, 0]]) for x in (surface.places, moved)
    ]
    before, after = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in cross)
    area = np.linalg.norm(cross[1], axis=1) / 2
    meant = (area * np.linalg.norm(after - before, axis=1)).sum()
    for function in (turn_cost, turn_cost.py_func):
        assert function(surface, u, v, *moved[u]) == pytest.approx(meant, rel=1e-9)


def test_errors_count_from_where_a_vertex_is():
    """Between any two places the difference stays; where the vertex is, nothing is left to lose."""
    kernels = compiled_loops("quadric")
    surface = working_arrays(kernels, BALL.positions_m.astype(np.float64), BALL.faces)
    kernels.link_corners(surface)
    kernels.gather_quadrics(surface, np.ones(len(BALL.faces)))
    surface.places[40] += [0.05, -0.1, 0.08]
    none, here, there = np.zeros(11), surface.places[40], np.array([0.1, 0.7, -0.2])
    for function in (kernels.write_off, kernels.write_off.py_func):
        quadrics = surface.quadrics.copy()
        lost = kernels.cost_at(quadrics[40], none, *here)
        before = kernels.cost_at(quadrics[40], none, *there)
        assert lost > 0.0
        function(surface.places, quadrics, 40)
        assert kernels.cost_at(quadrics[40], none, *here) == pytest.approx(0.0, abs=1e-12)
        assert kernels.cost_at(quadrics[40], none, *there) == pytest.approx(before - lost, rel=1e-9)
        np.testing.assert_array_equal(np.delete(quadrics, 40, axis=0), np.delete(surface.quadrics, 40, axis=0))


def test_what_is_lost_is_not_lost_again():
    """After collapses the vertices that are left have nothing to lose where they are."""
    mesh = bumpy(4)
    surface = dense_surface(mesh, None, None)
    reduce_to(in_order(surface), 1000, compiled_loops("collapse").LIMITS[0], SilentRun())
    _, _, used, _ = survivors(surface)
    cost_at, none = compiled_loops("quadric").cost_at, np.zeros(11)
    assert all(cost_at(surface.quadrics[vertex], none, *surface.places[vertex]) < 1e-15 for vertex in used)


def normal_deviation_deg(dense, light):
    """Mean angle at places on the dense faces to the nearest light face, by area.

    Middles of faces alone would not do: a plain collapse is nearest there.
    """
    one, two = (Walkable.of(m.positions_m.astype(np.float64), np.array(m.faces)) for m in (dense, light))
    faces = np.repeat(np.arange(len(one.faces)), 6)
    points = one.at(faces, np.random.default_rng(5).dirichlet((1.0, 1.0, 1.0), len(faces)))
    gap = Gap.of(points, np.zeros(len(points), np.int32), np.ones(len(points)))
    gap.found.squares[:] = np.inf
    gap.search(two, len(points))
    cosines = np.einsum("ij,ij->i", one.normals()[faces], two.normals()[gap.found.faces])
    return np.average(np.degrees(np.arccos(np.clip(cosines, -1, 1))), weights=one.areas()[faces])


@pytest.mark.slow
def test_where_most_faces_can_stay_normals_do():
    """A rough mesh at 55 % of its faces, beside the plain way of collapse and fit."""
    dense = rough(4)
    light, spared = collapsed(dense, 2816, SilentRun()), collapsed(dense, 2816, SilentRun(), sparing=True)
    plain = fitted(dense, light, SilentRun())
    kept = mesh_of(little_moved(begun(dense, spared), spared), spared)
    assert normal_deviation_deg(dense, kept) < 0.92 * normal_deviation_deg(dense, plain)
    assert is_watertight(kept)
    assert len(kept.faces) == 2816


@pytest.mark.parametrize(
    ("less_turned", "farther", "is_kept"), [(2.0, 9.0, True), (0.1, 9.0, False), (2.0, 0.1, False)]
)
def test_the_mesh_that_keeps_faces_is_taken_where_it_is_nearer(monkeypatch, less_turned, farther, is_kept):
    dense = rough(3)
    surface = surface_of(dense)
    weights = ridge_weights(surface, ridges_of(surface))
    spared = collapsed(dense, 700, SilentRun(), weights=weights, sparing=True)
    kept = mesh_of(little_moved(begun(dense, spared), spared), spared)
    monkeypatch.setattr(quadric, "LESS_TURNED", less_turned)
    monkeypatch.setattr(quadric, "FARTHER", farther)
    chosen = QuadricFilter().decimate(dense, 700, SilentRun())
    assert np.array_equal(chosen.positions_m, kept.positions_m) == is_kept


def test_edges_turn_where_normals_come_nearer():
    """Two faces over four corners of a saddle: samples lie as far from either diagonal; normals tell which is meant."""
    turning, places = compiled_loops("turning"), np.array([[0, 0, 0], [1, 0, 0.4], [1, 1, 0], [0, 1, 0.4]], np.float64)
    one, other = np.array([[0, 1, 2], [0, 2, 3]], np.int32), np.array([[0, 1, 3], [1, 2, 3]], np.int32)
    points = np.array([[0.3, 0.3, 0.2], [0.7, 0.3, 0.2], [0.3, 0.7, 0.2], [0.7, 0.7, 0.2]])
    for price, meant, turns in ((0.0, other, 0), (1.0, other, 1), (1.0, one, 0)):
        for function in (turning.turn_edges, turning.turn_edges.py_func):
            light, aim = Walkable.of(places.copy(), one.copy()), Walkable.of(places.copy(), meant.copy())
            gap, wanted = (Gap.of(points, np.zeros(4, np.int32), np.full(4, 0.25)) for _ in range(2))
            gap.walk(light)
            wanted.walk(aim)
            opposite = np.zeros((2, 3), np.int32)
            turning.opposite_faces(light.surface, opposite)
            asked = turning.Wanted(gap.found, aim.normals()[wanted.found.faces], gap.weights, price)
            assert function(light.surface, asked, light.normals(), opposite, 0.02) == turns
            assert np.array_equal(np.sort(light.faces.sum(axis=1)), np.sort((other if turns else one).sum(axis=1)))


@pytest.mark.parametrize(
    "point", [(0.2, 0.1, 0.5), (-1.0, -1.0, 0.1), (2.0, 0.1, 0.0), (0.4, 1.5, -0.3), (1.1, 1.2, 0)]
)
def test_the_nearest_place_on_a_triangle(point):
    kernels = compiled_loops("walking")
    triangle = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    steps = np.linspace(0, 1, 401)
    v, w = (grid.reshape(-1) for grid in np.meshgrid(steps, steps))
    inside = v + w <= 1.0
    least = ((np.stack([v, w, 0 * v], 1)[inside] - point) ** 2).sum(axis=1).min()
    for function in (kernels.nearest_on_face, kernels.nearest_on_face.py_func):
        square, *shares = function(*triangle, *point)
        assert square == pytest.approx(least, abs=5e-3)
        assert ((np.array(shares) @ triangle - point) ** 2).sum() == pytest.approx(square, abs=1e-12)


def test_compiled_and_plain_collapses_agree(monkeypatch):
    """The outer loop in plain Python, over the same functions, takes the same edges."""
    mesh = bumpy(2)
    fast = collapsed(mesh, 60, SilentRun())
    kernels = compiled_loops("collapse")
    for name in ("collapse", "merge", "keeps_shape", "push_around", "fill_heap"):
        monkeypatch.setattr(kernels, name, getattr(kernels, name).py_func)
    plain = collapsed(mesh, 60, SilentRun())
    np.testing.assert_array_equal(fast.faces, plain.faces)
    np.testing.assert_allclose(fast.places, plain.places, atol=1e-12)


def test_walks_end_where_a_full_search_does():
    mesh = bumpy(3)
    surface = Walkable.of(mesh.positions_m.astype(np.float64), np.array(mesh.faces))
    points = mesh.positions_m[::3].astype(np.float64) * 1.01
    walked = Gap.of(points, surface.first_face[::3].copy(), np.ones(len(points)))
    walked.walk(surface)
    searched = Gap.of(points, surface.first_face[::3].copy(), np.ones(len(points)))
    searched.found.squares[:] = np.inf
    searched.search(surface, len(points))
    np.testing.assert_allclose(walked.found.squares, searched.found.squares, atol=1e-12)


def test_fitting_brings_the_surfaces_nearer_and_keeps_them_sound():
    mesh = bumpy(5)
    light = collapsed(mesh, 800, SilentRun())
    before = begun(mesh, light).score
    fit = fitted(mesh, light, SilentRun())
    again = begun(mesh, type(light)(light.unit.of(fit.positions_m), fit.faces, light.owners, light.unit))
    assert again.score < 0.6 * before
    assert is_watertight(fit)
    assert len(fit.faces) == 800


def test_vertices_that_stick_out_are_drawn_back():
    """By other samples than those of the fit, both ways, each searched for on the whole surface."""
    mesh = bumpy(4)
    light = collapsed(mesh, 800, SilentRun())
    fit = begun(mesh, light)
    best = best_round(fit, SilentRun())
    usual = all_distances(fit.dense, Walkable.of(best.places.copy(), best.faces.copy()))
    places = best.places.copy()
    places[[7, 150, 311]] *= 1.02
    pushed = replace(best, places=places)
    worst_first(fit, pushed, light.owners)
    after = all_distances(fit.dense, fit.light)
    before = all_distances(fit.dense, Walkable.of(places, best.faces))
    assert before.max() > 3 * usual.max()
    assert after.max() < 1.3 * usual.max()
    assert after.mean() < before.mean()
    moved = (fit.light.places != places).any(axis=1)
    assert 3 <= moved.sum() < len(places) / 2


def all_distances(dense, light):
    """Of seven places on each face to the nearest place on the other surface."""
    shares = np.concatenate([np.eye(3), (1 - np.eye(3)) / 2, np.full((1, 3), 1 / 3)])
    found = []
    for one, other in ((dense, light), (light, dense)):
        faces = np.repeat(np.arange(len(one.faces)), 7)
        points = one.at(faces, np.tile(shares, (len(one.faces), 1)))
        gap = Gap.of(points, np.zeros(len(points), np.int32), np.ones(len(points)))
        gap.found.squares[:] = np.inf
        gap.search(other, len(points))
        found.append(np.sqrt(gap.found.squares))
    return np.concatenate(found)


def test_a_collapse_goes_on_from_halfway():
    """Owners lead from every dense vertex to one near it, and the quadrics are the sums of those of the owned."""
    mesh = bumpy(4)
    start = halfway(mesh, 2000, SilentRun())
    light = collapsed(mesh, 500, SilentRun(), start=start)
    assert len(start.faces) == 2000
    assert len(light.faces) == 500
    assert is_watertight(light.mesh())
    gaps = np.linalg.norm(light.places[light.owners] - light.unit.of(mesh.positions_m), axis=1)
    edges = light.places[light.faces] - light.places[np.roll(light.faces, 1, axis=1)]
    assert gaps.max() < np.linalg.norm(edges, axis=2).max()
    quadrics = np.random.default_rng(4).random((len(mesh.positions_m), 11))
    meant = np.zeros((len(start.places), 11))
    np.add.at(meant, start.owners, quadrics)
    for function in (compiled_loops("quadric").sum_quadrics, compiled_loops("quadric").sum_quadrics.py_func):
        summed = np.zeros_like(meant)
        function(quadrics, start.owners, summed)
        np.testing.assert_allclose(summed, meant, rtol=1e-12)


def test_flat_sides_collapse_first_and_corners_stay():
    steps = np.linspace(-0.5, 0.5, 9).astype(np.float32)
    side = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
    index = np.arange(81).reshape(9, 9)
    a, b, c, d = (part.reshape(-1) for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    flat = Mesh(positions_m=np.concatenate([side, 0 * side[:, :1]], axis=1), faces=faces)
    light = collapsed(flat, 2, SilentRun()).mesh()
    assert len(light.faces) == 2
    np.testing.assert_allclose(np.sort(light.positions_m, axis=0)[[0, -1]], [[-0.5, -0.5, 0], [0.5, 0.5, 0]], atol=1e-4)


def test_small_pieces_go_when_the_count_cannot_hold_them():
    crumbs = [shapes.sphere(0.004, 1, (0.9 + 0.02 * i, 0.0, 0.0)) for i in range(20)]
    mesh = shapes.merged(shapes.sphere(0.5, 4), *crumbs)
    light = collapsed(mesh, 60, SilentRun())
    assert 58 <= len(light.faces) <= 60
    assert len(np.unique(face_components(light.faces))) < 15
    assert (light.owners < 0).any()
    assert len(fitted(mesh, light, SilentRun()).faces) == len(light.faces)


def curled_sheet(steps):
    """A wavy sheet whose four sides are curved; its border is a formula of u or v at 0 and 1."""
    u, v = (part.reshape(-1) for part in np.meshgrid(*[np.linspace(0, 1, steps)] * 2, indexing="ij"))
    places = curled(u, v)
    a = (np.arange(steps - 1)[:, None] * steps + np.arange(steps - 1)).reshape(-1)
    faces = np.concatenate([np.stack([a, a + steps, a + 1], 1), np.stack([a + 1, a + steps, a + steps + 1], 1)])
    return Mesh(positions_m=places.astype(np.float32), faces=faces.astype(np.int32))


def curled(u, v):
    x = u + 0.06 * np.sin(2 * np.pi * v)
    y = v + 0.06 * np.sin(2 * np.pi * u)
    return np.stack([x, y, 0.08 * np.cos(7 * u) * np.sin(6 * v)], axis=1)


def border_places(mesh):
    """Places along the border, 33 an edge."""
    table = edge_table(mesh.faces)
    ends = mesh.positions_m.astype(np.float64)[table.edges[table.counts == 1]]
    shares = np.linspace(0, 1, 33)[None, :, None]
    return (ends[:, :1] * (1 - shares) + ends[:, 1:] * shares).reshape(-1, 3)


def border_distances(mesh):
    """Of places on the border of a mesh to the formula of the sheet's border, and of that border to the mesh's."""
    t, zero = np.linspace(0, 1, 2001), np.zeros(2001)
    truth = np.concatenate([curled(t, zero), curled(t, zero + 1), curled(zero, t), curled(zero + 1, t)])
    along = border_places(mesh)
    return cKDTree(truth).query(along)[0], cKDTree(along).query(truth)[0]


def test_a_border_that_was_pushed_aside_comes_back_to_its_formula():
    """All but corners are pushed by up to a hundredth; the fit finds the curve again within a thousandth."""
    sheet = curled_sheet(80)
    light = collapsed(sheet, 400, SilentRun())
    table = edge_table(light.faces)
    border = np.unique(table.edges[table.counts == 1])
    border = border[begun(sheet, light).held[border] == 0]
    assert len(border) > 20
    places = light.places.copy()
    places[border] += np.random.default_rng(5).uniform(-0.01, 0.01, (len(border), 3))
    pushed = replace(light, places=places)
    before = np.concatenate(border_distances(pushed.mesh()))
    after = np.concatenate(border_distances(fitted(sheet, pushed, SilentRun())))
    assert after.mean() < 0.3 * before.mean()
    assert after.mean() < 1e-3


def test_corners_of_a_border_stay():
    corners = curled(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0]))
    sheet = curled_sheet(60)
    made = fitted(sheet, collapsed(sheet, 300, SilentRun()), SilentRun())
    assert cKDTree(made.positions_m).query(corners)[0].max() < 2e-3


@pytest.mark.parametrize(("steps", "triangles", "nearest"), [(60, 300, 5e-4), (60, 100, 2e-3), (120, 1000, 2.5e-4)])
def test_a_collapse_leaves_corners_of_a_border(steps, triangles, nearest):
    corners = curled(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0]))
    light = collapsed(curled_sheet(steps), triangles, SilentRun()).mesh()
    assert cKDTree(light.positions_m).query(corners)[0].max() < nearest


def test_a_border_that_goes_up_and_down_is_followed():
    """The height of the border jags by 0.02, which the planes of few and small faces hardly hold."""
    steps = 60
    sheet = curled_sheet(steps)
    row, column = np.divmod(np.arange(steps * steps), steps)
    depth = np.minimum(np.minimum(row, steps - 1 - row), np.minimum(column, steps - 1 - column))
    places = sheet.positions_m.copy()
    places[:, 2] += 0.02 * np.random.default_rng(2).uniform(-1, 1, steps * steps) * np.maximum(0, 1 - depth / 2)
    jagged = Mesh(positions_m=places, faces=sheet.faces)
    made = QuadricFilter().decimate(jagged, 1200, SilentRun())
    dense, light = (border_places(mesh) for mesh in (jagged, made))
    assert cKDTree(light).query(dense)[0].mean() < 5e-5


def test_borders_that_lie_on_each_other_stay_together():
    """Two sheets parted along a line: no vertex there moves in the fit."""
    sheet = curled_sheet(50)
    left = (sheet.positions_m[sheet.faces][:, :, 0].mean(axis=1)) < 0.5
    parts = [sheet.faces[left], sheet.faces[~left] + len(sheet.positions_m)]
    parted = compacted(np.concatenate([sheet.positions_m, sheet.positions_m]), np.concatenate(parts))
    light = collapsed(parted, 500, SilentRun())
    fit = begun(parted, light)
    doubled = np.unique(parted.positions_m, axis=0, return_inverse=True, return_counts=True)[1:]
    on_seam = doubled[1][doubled[0].reshape(-1)] > 1
    assert on_seam.any()
    assert fit.held[light.owners[on_seam]].all()


def test_a_box_that_is_beyond_holds_no_nearer_place():
    kernels, random = compiled_loops("walking"), np.random.default_rng(3)
    places, faces = random.random((90, 3)), np.arange(90, dtype=np.int32).reshape(30, 3)
    passed = 0
    for point in random.random((40, 3)):
        for face in range(30):
            square = kernels.nearest_on_face(*places[faces[face]], *point)[0]
            assert not kernels.is_beyond(places, faces, face, *point, square * 1.0001)
            passed += kernels.is_beyond(places, faces, face, *point, square * 0.5)
    assert passed > 200
