"""Rows of quads: regular where the form is, on the edges of the form, closed, and found again by `quadrangulate`."""

import numpy as np
import pytest

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.field import QuadFieldFilter
from bridge_server.backends.mesh_filter.field_extraction import Extracted
from bridge_server.backends.mesh_filter.field_mending import without_rows
from bridge_server.backends.mesh_filter.field_quads import Ground, diagonals, quad_edges
from bridge_server.backends.mesh_filter.field_surface import LINE, POINT, field_surface, refined
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.backends.unwrapper.base import UNWRAPPERS
from bridge_server.errors import StageFailed
from bridge_server.run import SilentRun
from bridge_server.stages.decimate import Decimate, fold_count, objection_to
from bridge_server.stages.mesh_distance import surface_distance
from bridge_server.stages.quadrangulate import QuadMode, Quadrangulate
from bridge_server.stages.unwrap import Unwrap
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh import LowPoly, Mesh, area_m2, edge_face_counts, is_watertight, volume_m3
from bridge_server.values.mesh_split import non_manifold_counts
from tests import shapes


def remeshed(mesh, count):
    return QuadFieldFilter().decimate(mesh, count, SilentRun())


def dense(mesh, side_m):
    places, faces = refined(mesh.positions_m.astype(np.float64), mesh.faces, side_m)
    return Mesh(positions_m=places.astype(np.float32), faces=faces)


def sheet(cells=60):
    x, z = np.meshgrid(np.linspace(0, 1, cells + 1), np.linspace(0, 1, cells + 1), indexing="ij")
    place = np.stack([x, 0 * x, z], axis=-1)
    return shapes.grid_surface(cells + 1, cells + 1, place, wrap_rows=False, wrap_columns=False)


def quads_of(mesh):
    """Share of triangles in quads, and edges without those that cut quads."""
    places = mesh.positions_m.astype(np.float64)
    cuts = diagonals(places, mesh.faces, np.zeros(mesh.faces.shape, bool))
    return 2 * len(cuts) / len(mesh.faces), quad_edges(mesh.faces, cuts)


def inner_valences(mesh):
    """How many rows' edges meet at each vertex that is on no border."""
    _, edges = quads_of(mesh)
    valence = np.bincount(edges.reshape(-1), minlength=len(mesh.positions_m))
    border = opposite_half_edges(mesh.faces) < 0
    inner = np.ones(len(valence), bool)
    inner[mesh.faces.reshape(-1)[border]] = False
    return valence[inner]


def test_a_plane_becomes_a_regular_grid():
    found = remeshed(sheet(), 800)
    share, edges = quads_of(found)
    assert share == 1.0
    assert (inner_valences(found) == 4).all()
    assert (edge_face_counts(found.faces) == 1).sum() == 80
    assert area_m2(found) == pytest.approx(1.0, abs=1e-5)
    along = np.abs(found.positions_m[edges[:, 0]] - found.positions_m[edges[:, 1]])
    np.testing.assert_allclose(along.max(axis=1), 0.05, atol=1e-5)  # 20 by 20
    assert np.sort(along, axis=1)[:, 1].max() < 1e-5


@pytest.mark.slow
def test_a_torus_has_rows_nearly_everywhere():
    torus = shapes.torus(rows=160, columns=80)
    found = remeshed(torus, 4000)
    assert len(found.faces) == 4000
    assert is_watertight(found)
    assert non_manifold_counts(found) == (0, 0)
    assert fold_count(found) == 0
    share, _ = quads_of(found)
    assert share > 0.93
    assert (inner_valences(found) == 4).mean() > 0.88
    assert volume_m3(found) == pytest.approx(volume_m3(torus), rel=0.003)


def test_a_cube_keeps_its_edges():
    cube = dense(shapes.box(), 0.04)
    found = remeshed(cube, 1200)
    assert is_watertight(found)
    assert volume_m3(found) == pytest.approx(1.0, abs=1e-5)
    line = np.stack([np.linspace(-0.5, 0.5, 401), np.full(401, 0.5), np.full(401, 0.5)], axis=1)
    edges = np.concatenate([np.roll(line, turn, 1) * sign for turn in range(3) for sign in SIGNS])
    flat = Mesh(positions_m=edges.astype(np.float32), faces=np.zeros((1, 3), np.int32))
    scene = RAYCASTERS.load(RAYCASTERS.choose("auto")).scene(found.positions_m, found.faces)
    assert scene.nearest(flat.positions_m).distances_m.max() < 1e-4
    assert np.abs(np.abs(found.positions_m).max(axis=1) - 0.5).max() < 1e-4
    for corner in np.array(np.meshgrid(*[[-0.5, 0.5]] * 3)).reshape(3, -1).T:
        assert np.linalg.norm(found.positions_m - corner, axis=1).min() < 1e-5
    assert quads_of(found)[0] > 0.9


SIGNS = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]])


@pytest.mark.slow
def test_the_pairing_finds_the_quads_again():
    raycaster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    high = shapes.painted(shapes.torus(rows=160, columns=80))
    low = Decimate(triangle_count=3000)(SilentRun(), QuadFieldFilter(), raycaster, high_poly=high)
    assert low.method == QuadFieldFilter().identity
    own, _ = quads_of(low.mesh)
    unwrapped = Unwrap()(SilentRun(), UNWRAPPERS.load(UNWRAPPERS.choose("auto")), low_poly=low)
    layout = Quadrangulate(mode=QuadMode.PAIRS)(SilentRun(), unwrapped=unwrapped)
    assert layout.triangle_share > 0.9
    assert layout.triangle_share > own - 0.08  # some of their diagonals are seams of the map
    assert layout.angle_deviation_deg < 12.0


def test_what_comes_out_does_not_depend_on_the_unit():
    torus = shapes.torus(rows=64, columns=32)
    for scale in (1e-3, 1e3):
        scaled = Mesh(positions_m=torus.positions_m * np.float32(scale), faces=torus.faces)
        assert quads_of(remeshed(scaled, 1000))[0] > 0.9


def test_two_pieces_stay_two_and_an_open_one_stays_open():
    pipe = shapes.torus()
    keep = pipe.positions_m[pipe.faces][:, :, 0].max(axis=1) < 0.25
    both = shapes.merged(Mesh(positions_m=pipe.positions_m, faces=pipe.faces[keep]), shapes.sphere(0.2, 4, (2, 0, 0)))
    found = remeshed(both, 2000)
    assert objection_to(found, both, 2000) is None
    assert non_manifold_counts(found) == (0, 0)
    near = found.positions_m[:, 0] > 1.0
    assert is_watertight(Mesh(positions_m=found.positions_m, faces=found.faces[near[found.faces].all(axis=1)]))
    rims = (edge_face_counts(found.faces) == 1).sum()
    assert 20 < rims < 200
    raycaster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    distance = surface_distance(raycaster, both, found, 5000, SilentRun())
    assert distance.largest_m < 0.03


def test_faces_that_wind_against_each_other_are_refused_with_a_remedy():
    sphere = shapes.sphere(0.5, 3)
    faces = np.array(sphere.faces)
    faces[:300] = faces[:300, ::-1]
    with pytest.raises(StageFailed, match="repair") as caught:
        remeshed(Mesh(positions_m=sphere.positions_m, faces=faces), 500)
    assert "quadric" in caught.value.remedy


def test_more_pieces_than_quads_are_told_and_the_stage_serves_otherwise():
    crumbs = shapes.merged(*(shapes.sphere(0.1, 1, (x, y, 0)) for x in range(6) for y in range(6)))
    with pytest.raises(StageFailed, match="are wanted"):
        remeshed(crumbs, 60)
    raycaster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    low = Decimate(triangle_count=60)(SilentRun(), QuadFieldFilter(), raycaster, high_poly=shapes.painted(crumbs))
    assert isinstance(low, LowPoly)
    assert {notice.code for notice in low.notices} & {"decimate_fallback", "decimate_imperfect"}


def test_a_row_between_two_triangles_goes_with_them():
    """A grid of 10 by 10 in which one more row runs in from the border for a while, between two dislocations."""
    rows, (before, after) = 12, (11, 12)
    z = np.linspace(0.0, 1.0, rows)
    places, index = [], {}
    for line, depth in enumerate(z):
        count = after if 3 < line < 8 else before
        for column in range(count):
            index[line, column] = len(places)
            places.append((column / (count - 1), 0.0, depth))
    faces = []
    for line in range(rows - 1):
        near, far = (max(column for at, column in index if at == row) + 1 for row in (line, line + 1))
        left = right = 0
        while left < near - 1 or right < far - 1:
            a, b = index[line, left], index[line + 1, right]
            both = left < near - 1 and right < far - 1
            # The odd row begins or ends in the middle by a triangle alone.
            if near != far and left == right == 5 and max(near, far) == after:
                near_moves = near > far
                third = index[line, left + 1] if near_moves else index[line + 1, right + 1]
                faces.append((a, b, third))
                left, right = left + near_moves, right + (not near_moves)
                continue
            assert both
            c, d = index[line, left + 1], index[line + 1, right + 1]
            faces += [(a, b, c), (c, b, d)]
            left, right = left + 1, right + 1
    mesh = Mesh(positions_m=np.array(places, np.float32), faces=np.array(faces, np.int32))
    surface = field_surface(mesh.positions_m.astype(np.float64), mesh.faces, 0.1)
    vertices = np.arange(len(places), dtype=np.int32)
    light = Extracted(surface.places, surface.faces, surface.hard, surface.kinds, vertices, vertices)
    ground = Ground.of(surface)
    assert quads_of(mesh)[0] < 1.0
    found = without_rows(light, ground, len(faces) - 12, SilentRun())
    assert len(found.faces) == 2 * 10 * (rows - 1)
    after_mesh = Mesh(positions_m=found.places.astype(np.float32), faces=found.faces)
    assert quads_of(after_mesh)[0] == 1.0
    assert (inner_valences(after_mesh) == 4).all()
    assert area_m2(after_mesh) == pytest.approx(1.0)


def test_refining_halves_what_is_long_and_keeps_the_surface():
    places, faces = refined(shapes.box().positions_m.astype(np.float64), shapes.box().faces, 0.3)
    mesh = Mesh(positions_m=places.astype(np.float32), faces=faces)
    ends = places[faces] - np.roll(places[faces], 1, axis=1)
    assert np.linalg.norm(ends, axis=2).max() <= 0.3
    assert is_watertight(mesh)
    assert volume_m3(mesh) == pytest.approx(1.0)
    assert area_m2(mesh) == pytest.approx(6.0)


def test_lines_and_points_of_a_cube():
    surface = field_surface(*refined(shapes.box().positions_m.astype(np.float64), shapes.box().faces, 0.05), 0.1)
    outer = (np.abs(np.abs(surface.places) - 0.5) < 1e-9).sum(axis=1)
    assert (surface.kinds == POINT).sum() == 8
    assert (outer[surface.kinds == POINT] == 3).all()
    assert ((surface.kinds == LINE) == (outer == 2)).all()
    along = np.abs(surface.along[surface.kinds == LINE])
    np.testing.assert_allclose(along.max(axis=1), 1.0)
    assert ((np.abs(surface.places[surface.kinds == LINE])).argmin(axis=1) >= 0).all()


def test_the_loops_are_plain_python_too():
    """A lattice beside a shifted one: the nearest two points, by trying all."""
    loops = compiled_loops("field")
    random = np.random.default_rng(3)
    up = np.array([0.0, 0.0, 1.0])
    for _ in range(50):
        p, o, v, w = (np.append(random.uniform(-1, 1, 2), 0.0) for _ in range(4))
        turn, other = random.uniform(0, 6, 2)
        q, r = (np.array([np.cos(angle), np.sin(angle), 0.0]) for angle in (turn, other))
        arguments = (v, up, q, 0, *p, w, up, r, 0, o, 0.5)
        square, a, b, c, d = loops.nearest_pair(*arguments)
        assert loops.nearest_pair.py_func(*arguments) == pytest.approx((square, a, b, c, d))
        mine = p + 0.5 * (a * q + b * np.cross(up, q))
        theirs = o + 0.5 * (c * r + d * np.cross(up, r))
        assert ((mine - theirs) ** 2).sum() == pytest.approx(square)
        for point in (mine, theirs):
            assert np.linalg.norm(point - (v + w) / 2) < 0.75  # one of the four around the middle
