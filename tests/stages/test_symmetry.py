import numpy as np
import pytest

from bridge_server.run import SilentRun
from bridge_server.stages.symmetry import KeptSide, Symmetry, SymmetryCenter, SymmetryMode
from bridge_server.values.mesh import Mesh, is_watertight, volume_m3
from bridge_server.values.mesh_topology import face_components
from bridge_server.values.surface import SurfacePlaces
from tests import shapes


def symmetric(mesh, **fields):
    return Symmetry(**fields)(SilentRun(), high_poly=shapes.painted(mesh))


def sorted_rows(values):
    rounded = np.round(values.astype(np.float64), 5) + 0.0
    return rounded[np.lexsort(rounded.T)]


def lumpy(seed=0):
    """A closed ball with bumps that has no symmetry."""
    ball = shapes.sphere(0.5, 4)
    random = np.random.default_rng(seed)
    factor = 1 + 0.1 * np.sin(ball.positions_m @ random.normal(size=(3, 4)) * 6 + random.random(4)).sum(1)
    place = ball.positions_m * factor[:, None] + (0.3, -0.2, 0.1)
    return Mesh(positions_m=place.astype(np.float32), faces=ball.faces)


def by_place(positions_m, faces, points_m):
    from scipy.spatial import cKDTree

    flat = faces.reshape(-1)
    nearest = cKDTree(positions_m[flat]).query(points_m)[1]
    return SurfacePlaces(faces=(nearest // 3).astype(np.int32), barycentrics=np.eye(3, dtype=np.float32)[nearest % 3])


def test_off_is_the_identity():
    high = shapes.painted(shapes.torus())
    assert Symmetry()(SilentRun(), high_poly=high) is high


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("keep", [KeptSide.POSITIVE, KeptSide.NEGATIVE])
def test_bilateral_is_an_exact_mirror_closed_and_with_twice_the_volume_of_the_half(axis, keep):
    mesh = lumpy()
    mode = [SymmetryMode.BILATERAL_X, SymmetryMode.BILATERAL_Y, SymmetryMode.BILATERAL_Z][axis]
    found = symmetric(mesh, mode=mode, keep=keep, center=SymmetryCenter.ORIGIN).mesh
    reflected = found.positions_m * np.where(np.arange(3) == axis, -1, 1)
    np.testing.assert_array_equal(sorted_rows(found.positions_m), sorted_rows(reflected))
    assert is_watertight(found)
    import manifold3d

    solid = manifold3d.Manifold(manifold3d.Mesh(mesh.positions_m.copy(), mesh.faces.astype(np.uint32)))
    normal = np.eye(3)[axis] * (1 if keep is KeptSide.POSITIVE else -1)
    volume = solid.trim_by_plane(tuple(normal), 0.0).volume()
    assert volume_m3(found) == pytest.approx(2 * volume, rel=1e-4)


def test_the_half_with_more_detail_is_kept():
    coarse, fine = shapes.sphere(0.5, 2, (-2, 0, 0)), shapes.sphere(0.5, 4, (2, 0, 0))
    found = symmetric(shapes.merged(coarse, fine), mode=SymmetryMode.BILATERAL_X).mesh
    assert len(found.faces) == 2 * len(fine.faces)


def test_a_mirror_of_what_is_symmetric_already_changes_nothing():
    box = shapes.box((1, 2, 3))
    found = symmetric(box, mode=SymmetryMode.BILATERAL_X).mesh
    assert volume_m3(found) == pytest.approx(6.0)
    assert is_watertight(found)


def test_a_wall_in_the_mirror_plane_does_not_stay_inside():
    halves = shapes.box((1, 1, 1), (0.5, 0, 0))
    found = symmetric(halves, mode=SymmetryMode.BILATERAL_X, center=SymmetryCenter.ORIGIN).mesh
    assert is_watertight(found)
    assert volume_m3(found) == pytest.approx(2.0)
    assert len(np.unique(face_components(found.faces))) == 1


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_radial_repeats_exactly_and_stays_closed(count):
    found = symmetric(lumpy(2), mode=SymmetryMode.RADIAL, radial_count=count).mesh
    assert is_watertight(found)
    assert volume_m3(found) > 0
    low, high = lumpy(2).bounds_m
    center = (low + high) / 2
    angle = 2 * np.pi / count
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    turned = (found.positions_m - center) @ turn.T + center
    from scipy.spatial import cKDTree

    assert cKDTree(found.positions_m).query(turned)[0].max() < 1e-6
    mirrored = (found.positions_m - center) * (-1, 1, 1) + center
    assert cKDTree(found.positions_m).query(mirrored)[0].max() < 1e-6


def test_colours_mirror_with_the_shape():
    mesh = lumpy(1)
    high = symmetric(mesh, mode=SymmetryMode.BILATERAL_X, keep=KeptSide.POSITIVE)
    low, up = mesh.bounds_m
    center = (low + up) / 2
    points = high.mesh.positions_m[::7]
    twins = ((points - center) * (-1, 1, 1) + center).astype(np.float32)
    here, there = (high.field.sample(p, by_place).base_color for p in (points, twins))
    agree = np.abs(here - there).max(axis=1) < 1e-3
    assert agree.mean() > 0.99  # rounding may pick another nearest vertex on the seam
    on_kept_side = points[:, 0] > center[0] + 0.01
    original = shapes.painted(mesh).field.sample(points[on_kept_side], by_place).base_color
    np.testing.assert_allclose(here[on_kept_side], original, atol=1e-5)


def test_folding_leaves_the_kept_sector_and_moves_all_else_into_it():
    field = symmetric(lumpy(3), mode=SymmetryMode.RADIAL, radial_count=3).field
    points = np.random.default_rng(0).normal(size=(2000, 3)).astype(np.float32)
    once = field.folded(points)
    np.testing.assert_allclose(field.folded(once), once, atol=1e-6)
    offset = once - np.array(field.center_m)
    angle = np.arctan2(offset @ np.array(field.ahead), offset @ np.array(field.right))
    assert angle.min() > -1e-5
    assert angle.max() < np.pi / 3 + 1e-5


def test_an_open_surface_can_be_mirrored_too():
    ball = shapes.sphere(0.5, 3)
    half = Mesh(positions_m=ball.positions_m, faces=ball.faces[ball.positions_m[ball.faces].mean(1)[:, 1] > 0])
    found = symmetric(half, mode=SymmetryMode.BILATERAL_X).mesh
    counts = np.unique(found.faces, return_counts=True)[1]
    assert counts.min() >= 1
    assert len(np.unique(face_components(found.faces))) == 1
