"""What every decomposer must hold, whichever it is."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from bridge_server.backends.decomposer.base import DECOMPOSERS, DecompositionSettings
from bridge_server.errors import Cancelled, StageFailed
from bridge_server.run import CallbackRun, SilentRun
from bridge_server.values.convex import is_convex, outside_distance_m
from bridge_server.values.mesh import Mesh, is_watertight, volume_m3
from tests import shapes

ELL = shapes.merged(shapes.box((1.0, 0.2, 0.2)), shapes.box((0.2, 1.0, 0.2), center=(-0.4, 0.6, 0.0)))
DUMBBELL = shapes.merged(
    shapes.sphere(0.3, 2, (-0.5, 0.0, 0.0)), shapes.sphere(0.3, 2, (0.5, 0.0, 0.0)), shapes.box((1.0, 0.1, 0.1))
)


def _settings(**changes) -> DecompositionSettings:
    fields = {"max_pieces": 4, "piece_cost": 0.01, "seed": 0, "time_limit_s": 60.0}
    return DecompositionSettings(**(fields | changes))


@pytest.fixture(params=DECOMPOSERS.names())
def decomposer(request):
    found = DECOMPOSERS.availability(request.param)
    if not found.available:
        pytest.skip(found.detail)
    return DECOMPOSERS.load(request.param)


@pytest.mark.parametrize("name", ["ell", "dumbbell"])
def test_pieces_are_solid_few_and_hold_the_shape(decomposer, name):
    mesh = {"ell": ELL, "dumbbell": DUMBBELL}[name]
    found = decomposer.decompose(mesh, _settings(), SilentRun())
    pieces = found.pieces
    assert found.complete
    assert 1 <= len(pieces) <= 4
    for piece in pieces:
        assert is_watertight(piece)
        assert volume_m3(piece) > 0
        assert is_convex(piece, 1e-5 * mesh.diagonal_m)
    nearest = np.min([outside_distance_m(piece, mesh.positions_m) for piece in pieces], axis=0)
    assert np.quantile(nearest, 0.99) <= 0.02 * mesh.diagonal_m


def test_the_same_call_gives_the_same_pieces(decomposer):
    first, second = (decomposer.decompose(ELL, _settings(), SilentRun()) for _ in range(2))
    assert len(first.pieces) == len(second.pieces)
    for one, other in zip(first.pieces, second.pieces, strict=True):
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


@pytest.mark.parametrize("name", ["planes", "coacd"])
def test_two_beams_are_split_exactly(name):
    pieces = DECOMPOSERS.load(name).decompose(ELL, _settings(), SilentRun()).pieces
    assert len(pieces) == 2
    assert sum(volume_m3(piece) for piece in pieces) == pytest.approx(0.08, rel=0.02)


@pytest.mark.parametrize("name", ["planes", "coacd"])
def test_a_surface_that_bounds_nothing_is_refused(name):
    sheet = Mesh(positions_m=np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), faces=np.array([[0, 1, 2]], np.int32))
    with pytest.raises(StageFailed, match="bounds no solid"):
        DECOMPOSERS.load(name).decompose(sheet, _settings(), SilentRun())


def test_a_pile_of_crumbs_is_taken_in_groups():
    rng = np.random.default_rng(0)
    crumbs = [shapes.box((0.02, 0.02, 0.02), tuple(place)) for place in rng.uniform(-0.5, 0.5, (60, 3))]
    pile = shapes.merged(shapes.box((0.4, 0.4, 0.4)), *crumbs)
    found = DECOMPOSERS.load("planes").decompose(pile, _settings(max_pieces=4), SilentRun())
    assert len(found.pieces) <= 4
    held = np.min([outside_distance_m(piece, pile.positions_m) for piece in found.pieces], axis=0)
    assert held.max() <= 1e-3


def test_planes_give_the_best_so_far_at_the_time_limit():
    found = DECOMPOSERS.load("planes").decompose(shapes.torus(), _settings(time_limit_s=0.0), SilentRun())
    assert not found.complete
    assert len(found.pieces) == 1


def test_coacd_gives_up_where_the_time_limit_passes_before_the_first_answer():
    with pytest.raises(StageFailed) as caught:
        DECOMPOSERS.load("coacd").decompose(shapes.torus(), _settings(time_limit_s=0.1), SilentRun())
    assert caught.value.reason == "TIME_LIMIT"


def test_coacd_keeps_the_answers_it_had_when_it_is_stopped(monkeypatch):
    def stopped(function, positions, faces, settings, folder, **_):
        for number, (cost, size) in enumerate(((3.0, 1.0), (2.0, 2.0))):
            clouds = [shapes.box((size, size, size)).positions_m]
            Path(folder, f"{number}.round").write_bytes(pickle.dumps((cost, clouds)))
        raise StageFailed("took longer than 1 s.", reason="TIME_LIMIT")

    monkeypatch.setattr("bridge_server.backends.decomposer.coacd.call_isolated", stopped)
    found = DECOMPOSERS.load("coacd").decompose(ELL, _settings(), SilentRun())
    assert not found.complete
    assert [volume_m3(piece) for piece in found.pieces] == [pytest.approx(8.0)]


def test_a_ring_is_cut_although_the_first_cut_saves_nothing():
    pieces = DECOMPOSERS.load("planes").decompose(
        shapes.torus(rows=24, columns=8), _settings(max_pieces=8), SilentRun()
    )
    ring_m3 = volume_m3(shapes.torus(rows=24, columns=8))
    assert sum(volume_m3(piece) for piece in pieces.pieces) < 1.15 * ring_m3


@pytest.mark.slow
def test_a_further_piece_has_to_be_worth_its_price():
    planes = DECOMPOSERS.load("planes")
    ring = shapes.torus(rows=24, columns=8)
    cheap, dear = (
        planes.decompose(ring, _settings(max_pieces=16, piece_cost=cost), SilentRun()).pieces for cost in (0.001, 0.03)
    )
    assert len(cheap) > len(dear) > 1
