import numpy as np
import pytest

from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.errors import Cancelled
from bridge_server.run import CallbackRun, SilentRun
from bridge_server.stages.mesh_distance import surface_distance
from bridge_server.stages.remesh import Occasion, Remesh
from bridge_server.values.mesh import Mesh, is_watertight, volume_m3
from bridge_server.values.mesh_topology import face_components
from tests import shapes


@pytest.fixture(scope="module")
def raycaster():
    return RAYCASTERS.load(RAYCASTERS.choose("auto"))


def remeshed(raycaster, mesh, **fields):
    return Remesh(**{"resolution": 48, **fields})(SilentRun(), raycaster, high_poly=shapes.painted(mesh))


def spoilt(mesh, share=0.02):
    """Some faces gone, some turned over, all corners apart."""
    random = np.random.default_rng(3)
    faces = mesh.faces[random.random(len(mesh.faces)) > share]
    turned = random.random(len(faces)) < 0.2
    faces = np.where(turned[:, None], faces[:, ::-1], faces)
    return Mesh(
        positions_m=mesh.positions_m[faces.reshape(-1)], faces=np.arange(faces.size, dtype=np.int32).reshape(-1, 3)
    )


def test_a_heap_of_triangles_becomes_a_closed_skin_on_it(raycaster):
    torus = shapes.torus()
    found = remeshed(raycaster, spoilt(torus))
    skin = found.mesh
    assert is_watertight(skin)
    assert len(np.unique(face_components(skin.faces))) == 1
    assert volume_m3(skin) == pytest.approx(volume_m3(torus), rel=0.03)
    assert surface_distance(raycaster, torus, skin, 2000, SilentRun()).largest_m < 0.02
    assert {notice.code for notice in found.notices} == {"remeshed"}


def test_what_is_closed_stays_unless_asked(raycaster):
    ball = shapes.sphere(0.5, 3)
    assert remeshed(raycaster, ball).mesh is ball
    assert len(remeshed(raycaster, ball, occasion=Occasion.ALWAYS).mesh.faces) != len(ball.faces)


def test_an_inner_hull_goes_and_a_wide_opening_is_entered(raycaster):
    double = shapes.merged(shapes.sphere(0.5, 3), shapes.sphere(0.3, 3))
    skin = remeshed(raycaster, double, occasion=Occasion.ALWAYS).mesh
    assert volume_m3(skin) == pytest.approx(np.pi / 6, rel=0.05)
    ball = shapes.sphere(0.5, 4)
    bowl = Mesh(positions_m=ball.positions_m, faces=ball.faces[ball.positions_m[ball.faces].mean(1)[:, 1] < 0])
    skin = remeshed(raycaster, bowl).mesh
    assert is_watertight(skin)
    assert 0.0 < volume_m3(skin) < 0.1 * np.pi / 12  # a thin sheet, not half a ball


def test_cancellation_is_heard(raycaster):
    def stop(fraction, note):
        raise Cancelled

    with pytest.raises(Cancelled):
        Remesh(occasion=Occasion.ALWAYS, resolution=16)(
            CallbackRun(stop), raycaster, high_poly=shapes.painted(shapes.box())
        )
