import numpy as np
import pytest

from bridge_server.values.mesh import Mesh, is_watertight, volume_m3
from bridge_server.values.mesh_slivers import heights, without_slivers
from tests import shapes


def with_point_on_edge(mesh, share):
    """Split one edge of the first face; the neighbour gets the point by a triangle without height."""
    a, b, c = mesh.faces[0].tolist()
    place = mesh.positions_m[a] + np.float32(share) * (mesh.positions_m[b] - mesh.positions_m[a])
    new = len(mesh.positions_m)
    faces = np.concatenate([mesh.faces[1:], [[a, new, c], [new, b, c], [b, new, a]]]).astype(np.int32)
    return Mesh(positions_m=np.concatenate([mesh.positions_m, place[None]]), faces=faces)


@pytest.mark.parametrize("share", [0.5, 0.2, 1e-8])
def test_caps_and_needles_go_and_the_surface_stays_closed(share):
    box = shapes.box()
    mesh = with_point_on_edge(box, share)
    assert is_watertight(mesh)
    assert heights(mesh.positions_m, mesh.faces).min() < 1e-6
    found = without_slivers(mesh, 1e-6)
    assert is_watertight(found)
    assert heights(found.positions_m, found.faces).min() > 1e-6
    assert volume_m3(found) == pytest.approx(1.0)


def test_a_sound_mesh_is_left_alone():
    torus = shapes.torus(rows=30, columns=16)
    assert without_slivers(torus, 1e-6) is torus


def test_what_cannot_be_mended_stays():
    flat = Mesh(
        positions_m=np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]], np.float32), faces=np.array([[0, 1, 2]], np.int32)
    )
    assert without_slivers(flat, 1e-6) is flat
