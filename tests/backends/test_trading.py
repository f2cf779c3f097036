"""Pieces traded for better ones: boards give the truth, because their hulls are themselves."""

import pytest
from manifold3d import Manifold

from bridge_server.backends.decomposer.trading import Trade, best_halves, block_of, united

SHORT = 0.2


def _angle(at: float = 0.0) -> Manifold:
    """Two arms of 1 m that meet at a right angle."""
    lying, standing = Manifold.cube((1.0, SHORT, SHORT)), Manifold.cube((SHORT, 1.0, SHORT))
    return (lying + standing).translate((at, 0.0, 0.0))


def _cost_m3(trade: Trade) -> float:
    return sum(block.hull_m3 for block in trade.blocks)


def test_the_best_halves_of_an_angle_are_its_arms():
    angle = _angle()
    halves = best_halves(angle)
    assert halves is not None
    assert sum(half.hull_m3 for half in halves) == pytest.approx(angle.volume(), rel=0.01)


def test_nothing_is_halved_where_nothing_is():
    assert best_halves(Manifold()) is None


def test_two_pieces_cut_in_the_wrong_place_are_cut_anew():
    angle = _angle()
    wrong = angle.split_by_plane((1.0, 0.0, 0.0), 0.6)
    trade = Trade([block_of(half) for half in wrong], 2, 0.01 * angle.volume())
    assert _cost_m3(trade) > 1.2 * angle.volume()
    assert trade.improve(lambda: True)
    assert len(trade.blocks) == 2
    assert _cost_m3(trade) == pytest.approx(angle.volume(), rel=0.01)


def test_a_needless_cut_is_given_up_for_one_that_is_needed():
    bar = Manifold.cube((1.0, SHORT, SHORT)).translate((3.0, 0.0, 0.0))
    parts = [_angle(), *bar.split_by_plane((1.0, 0.0, 0.0), 3.3)]
    volume = sum(part.volume() for part in parts)
    trade = Trade([block_of(part) for part in parts], 3, 0.01 * volume)
    assert trade.improve(lambda: True)
    assert len(trade.blocks) == 3
    assert _cost_m3(trade) == pytest.approx(volume, rel=0.01)
    assert sum(block.solid.volume() for block in trade.blocks) == pytest.approx(volume, rel=1e-4), "nothing is lost"


def test_a_search_that_is_told_to_stop_keeps_what_it_has():
    halves = _angle().split_by_plane((1.0, 0.0, 0.0), 0.6)
    trade = Trade([block_of(half) for half in halves], 2, 0.001)
    assert not trade.improve(lambda: False)
    assert len(trade.blocks) == 2


def test_what_touches_becomes_one_without_traces_of_the_cut():
    bar = Manifold.cube((1.0, SHORT, SHORT))
    again = united(bar.split_by_plane((0.9, 0.1, 0.0), 0.5))
    assert again.volume() == pytest.approx(bar.volume(), rel=1e-4)
    assert again.num_tri() == 12
