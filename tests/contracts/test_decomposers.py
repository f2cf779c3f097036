"""What every decomposer must hold, whichever it is."""

import numpy as np
import pytest

from bridge_server.backends.decomposer.base import DECOMPOSERS, DecompositionSettings
from bridge_server.errors import Cancelled, StageFailed
from bridge_server.run import CallbackRun, SilentRun
from bridge_server.values.convex import is_convex, outside_distance_m
from bridge_server.values.mesh import Mesh, is_watertight, volume_m3
from tests import shapes

ELL = shapes.merged(shapes.box((1.0, 0.2, 0.2)), shapes.box((0.2, 1.0, 0.2), center=(-0.4, 0.6, 0.0)))
OPEN_BALL = Mesh(positions_m=shapes.sphere(0.5, 3).positions_m, faces=shapes.sphere(0.5, 3).faces[6:])


def _settings(**changes) -> DecompositionSettings:
    fields = {"max_pieces": 4, "max_vertices_per_piece": 16, "concavity": 0.08, "seed": 0, "time_limit_s": 60.0}
    return DecompositionSettings(**(fields | changes))


@pytest.fixture(params=DECOMPOSERS.names())
def decomposer(request):
    found = DECOMPOSERS.availability(request.param)
    if not found.available:
        pytest.skip(found.detail)
    return DECOMPOSERS.load(request.param)


@pytest.mark.parametrize("name", ["ell", "open_ball"])
def test_pieces_are_solid_few_small_and_hold_the_shape(decomposer, name):
    mesh = {"ell": ELL, "open_ball": OPEN_BALL}[name]
    pieces = decomposer.decompose(mesh, _settings(), SilentRun())
    assert 1 <= len(pieces) <= 4
    for piece in pieces:
        assert is_watertight(piece)
        assert volume_m3(piece) > 0
        assert len(piece.positions_m) <= 16
        assert is_convex(piece, 1e-5 * mesh.diagonal_m)
    nearest = np.min([outside_distance_m(piece, mesh.positions_m) for piece in pieces], axis=0)
    assert np.quantile(nearest, 0.99) <= 0.02 * mesh.diagonal_m


def test_the_same_call_gives_the_same_pieces(decomposer):
    first, second = (decomposer.decompose(ELL, _settings(), SilentRun()) for _ in range(2))
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.positions_m, other.positions_m)
        np.testing.assert_array_equal(one.faces, other.faces)


def test_cancellation_is_heard(decomposer):
    def stop(fraction: float, _: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        decomposer.decompose(ELL, _settings(), CallbackRun(stop))


def test_the_inputs_stay_as_they_are(decomposer):
    before = ELL.positions_m.copy(), ELL.faces.copy()
    decomposer.decompose(ELL, _settings(max_pieces=1), SilentRun())
    np.testing.assert_array_equal(ELL.positions_m, before[0])
    np.testing.assert_array_equal(ELL.faces, before[1])


def test_identity_and_availability_say_the_version(decomposer):
    assert any(character.isdigit() for character in decomposer.identity)
    assert type(decomposer).availability().detail


def test_coacd_splits_two_beams_exactly():
    coacd = DECOMPOSERS.load("coacd")
    pieces = coacd.decompose(ELL, _settings(), SilentRun())
    assert len(pieces) == 2
    assert sum(volume_m3(piece) for piece in pieces) == pytest.approx(0.08, rel=0.02)


def test_coacd_gives_up_at_the_time_limit():
    coacd = DECOMPOSERS.load("coacd")
    with pytest.raises(StageFailed) as caught:
        coacd.decompose(shapes.torus(), _settings(time_limit_s=0.1), SilentRun())
    assert caught.value.reason == "TIME_LIMIT"


def test_coacd_refuses_a_flat_sheet_by_name():
    sheet = Mesh(positions_m=np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]]) * 0.0, faces=np.array([[0, 1, 2]], np.int32))
    with pytest.raises(StageFailed):
        DECOMPOSERS.load("coacd").decompose(sheet, _settings(), SilentRun())
