import math

import numpy as np
import pytest

from bridge_server.values.mesh import area_m2, is_watertight, vertex_normals, volume_m3
from tests import shapes


@pytest.mark.parametrize(
    ("mesh", "volume", "area", "tolerance"),
    [
        (shapes.box((1, 2, 3)), 6.0, 22.0, 1e-6),
        (shapes.sphere(0.5, 5), math.pi / 6, math.pi, 2e-3),
        (shapes.torus(0.5, 0.2, 256, 128), 2 * math.pi**2 * 0.5 * 0.04, 4 * math.pi**2 * 0.5 * 0.2, 2e-3),
    ],
    ids=["box", "sphere", "torus"],
)
def test_measures_of_analytic_shapes(mesh, volume, area, tolerance):
    assert volume_m3(mesh) == pytest.approx(volume, rel=tolerance)
    assert area_m2(mesh) == pytest.approx(area, rel=tolerance)
    assert is_watertight(mesh)


def test_inside_out_has_negative_volume():
    assert volume_m3(shapes.flipped(shapes.box())) == pytest.approx(-1.0)


def test_vertex_normals_of_a_sphere_point_outward():
    mesh = shapes.sphere(1.0, 4)
    cosine = np.einsum("ij,ij->i", vertex_normals(mesh), mesh.positions_m)
    assert cosine.min() > 0.9999


def test_vertex_normals_of_a_box_corner_weigh_the_three_sides_equally():
    mesh = shapes.box()
    expected = np.sign(mesh.positions_m) / math.sqrt(3)
    np.testing.assert_allclose(vertex_normals(mesh), expected, atol=1e-6)


def test_values_are_read_only():
    mesh = shapes.box()
    with pytest.raises(ValueError, match="read-only"):
        mesh.positions_m[0, 0] = 1.0
    with pytest.raises(AttributeError):
        mesh.faces = mesh.faces  # type: ignore[misc]


def test_a_wrong_shape_is_refused_in_tests():
    from bridge_server.values.mesh import Mesh

    with pytest.raises(Exception, match="positions_m"):
        Mesh(positions_m=np.zeros((3, 2), np.float32), faces=np.zeros((1, 3), np.int32))


def test_a_mesh_with_a_hole_is_not_watertight():
    from bridge_server.values.mesh import Mesh

    whole = shapes.sphere(1.0, 2)
    assert not is_watertight(Mesh(positions_m=whole.positions_m, faces=whole.faces[1:]))
