import numpy as np
import pytest

from bridge_server.run import SilentRun
from bridge_server.stages.edge_collapse import WedgeMesh, collapse_edges
from bridge_server.stages.edge_quadrics import add_feature_edges, face_quadrics
from bridge_server.values.mesh import Mesh, edge_face_counts, is_watertight, volume_m3
from bridge_server.values.mesh_split import non_manifold_counts
from bridge_server.values.mesh_topology import face_components, welded_exactly
from tests import shapes


def collapsed(mesh, target):
    count = len(mesh.positions_m)
    wedges = WedgeMesh(mesh.positions_m.astype(np.float64), np.arange(count), mesh.faces.astype(np.int64))
    faces = collapse_edges(wedges, target, SilentRun())
    return Mesh(positions_m=mesh.positions_m, faces=faces.astype(np.int32))


def distance_to_plane(x, p, q, r):
    """The readable twin: squared distance of x to the plane through three points of any dimension."""
    basis, _ = np.linalg.qr(np.stack([q - p, r - p], axis=1))
    offset = x - p
    return ((offset - basis @ (basis.T @ offset)) ** 2).sum()


@pytest.mark.parametrize("width", [3, 5])
def test_a_quadric_is_the_weighted_squared_distance_to_the_planes(width):
    random = np.random.default_rng(5)
    coordinates = random.normal(size=(6, width))
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 4, 5]])
    quadrics = face_quadrics(coordinates, faces)
    flat = coordinates[faces][:, :, :3]
    area = np.linalg.norm(np.cross(flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]), axis=1) / 2
    for source, target in ((0, 1), (2, 5)):
        expected = sum(
            area[f] / 3 * distance_to_plane(coordinates[target], *coordinates[face])
            for end in (source, target)
            for f, face in enumerate(faces)
            if end in face
        )
        found = quadrics.cost(np.array([source]), np.array([target]), coordinates)[0]
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_feature_edge_adds_the_distance_to_its_line():
    coordinates = np.array([[0, 0, 0], [2, 0, 0], [1, 3, 4.0]])
    quadrics = face_quadrics(coordinates, np.zeros((0, 3), np.int64))
    add_feature_edges(quadrics, coordinates, np.array([0]), np.array([1]))
    assert quadrics.cost(np.array([0]), np.array([2]), coordinates)[0] == pytest.approx(4.0 * 25.0)


@pytest.mark.parametrize("target", [1000, 100, 8, 4, 0])
def test_a_sphere_stays_a_closed_sphere_down_to_the_last_tetrahedron(target):
    found = collapsed(shapes.sphere(0.5, 3), target)
    assert is_watertight(found)
    assert volume_m3(found) > 0
    assert max(target, 4) >= len(found.faces) or len(found.faces) <= 12
    assert non_manifold_counts(found) == (0, 0)


def test_the_genus_is_kept():
    found = collapsed(shapes.torus(), 60)
    assert is_watertight(found)
    edges = len(found.faces) * 3 // 2
    assert len(np.unique(found.faces)) - edges + len(found.faces) == 0


def test_a_box_in_many_cells_becomes_a_box_again():
    from tests.unwrapped_shapes import unwrapped_box

    fine = unwrapped_box((1, 2, 3), cells=10).welded_mesh()
    found = collapsed(fine, 16)
    assert len(found.faces) == 16
    assert volume_m3(found) == pytest.approx(6.0)


def test_shells_never_vanish_or_merge():
    shells = shapes.merged(*(shapes.sphere(0.3, 2, (i, 0.0, 0.0)) for i in range(6)))
    found = collapsed(shells, 0)
    assert len(np.unique(face_components(found.faces))) == 6
    assert is_watertight(found)


def test_an_open_grid_keeps_its_outline():
    side = np.linspace(0, 1, 30)
    x, y = np.meshgrid(side, side, indexing="ij")
    sheet = shapes.grid_surface(30, 30, np.stack([x, y, 0 * x], -1), wrap_rows=False, wrap_columns=False)
    found = collapsed(sheet, 2)
    assert len(found.faces) <= 4
    corners = found.positions_m.astype(np.float64)[found.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    assert area == pytest.approx(1.0)


def test_non_manifold_edges_and_pinched_points_are_left_as_they_are():
    balls = shapes.merged(shapes.sphere(0.5, 3), shapes.sphere(0.5, 3, (0.0, 1.0, 0.0)))
    top, bottom = balls.positions_m[:642, 1].argmax(), 642 + balls.positions_m[642:, 1].argmin()
    faces = balls.faces.copy()
    faces[faces == bottom] = top
    found = collapsed(Mesh(positions_m=balls.positions_m, faces=faces), 200)
    assert top in found.faces
    assert len(np.unique(face_components(found.faces))) == 2
    touching = shapes.merged(shapes.box(), shapes.box(center=(1, 1, 0)))
    kept, owner = welded_exactly(touching.positions_m)
    crowded = Mesh(positions_m=touching.positions_m[kept], faces=owner[touching.faces].astype(np.int32))
    assert edge_face_counts(collapsed(crowded, 0).faces).max() == 4


def test_random_soups_do_not_crash_or_hang():
    random = np.random.default_rng(0)
    for _ in range(10):
        faces = random.integers(0, 30, (60, 3))
        faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
        soup = Mesh(positions_m=random.random((30, 3)).astype(np.float32), faces=faces.astype(np.int32))
        assert len(collapsed(soup, 5).faces) <= len(faces)
