"""Polygons as triangles, held against areas by the shoelace formula."""

import numpy as np
import pytest

from bridge_server.stages.load_mesh_polygons import MOST_CORNERS, polygon_triangles

DART = np.array([[0, 0], [0.5, 1], [0, 0.3], [-0.5, 1]], float)
ELL = np.array([[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]], float)
KEYHOLE = np.array([[0, 0], [4, 0], [4, 4], [0, 4], [0, 0], [1, 1], [1, 3], [3, 3], [3, 1], [1, 1]], float)
"""A square with a square hole, joined by a bridge, as programs without holes in polygons store it."""
BESIDE = np.array([[0, 0], [1, 0], [2, 0], [2, 1], [0, 1]], float)
"""With a corner on a straight side."""


def shoelace(outline):
    x, y = outline.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2.0)


def signed_areas(outline, triangles):
    a, b, c = (outline[triangles[:, corner]] for corner in range(3))
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2.0


def in_space(outline, seed):
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return np.pad(outline, ((0, 0), (0, 1))) @ turn.T * 3.0 + (5.0, -2.0, 1.0)


def triangles_of(outline, seed=0):
    return polygon_triangles(in_space(outline, seed), np.arange(len(outline)), np.array([len(outline)]))


@pytest.mark.parametrize("outline", [DART, ELL, KEYHOLE, BESIDE], ids=["dart", "ell", "keyhole", "beside"])
@pytest.mark.parametrize("way", [1, -1])
def test_a_hollow_polygon_is_covered_once_whichever_corner_is_first(outline, way):
    for first in range(len(outline)):
        ring = np.roll(outline[::way], first, axis=0)
        areas = signed_areas(ring, triangles_of(ring, first)) * way
        assert len(areas) == len(ring) - 2
        assert areas.min() > 0.0
        assert areas.sum() == pytest.approx(abs(shoelace(ring)))


def test_stars_of_any_shape_are_covered_once():
    random = np.random.default_rng(3)
    for seed in range(60):
        count = int(random.integers(5, 40))
        angles = (np.arange(count) + random.uniform(-0.4, 0.4, count)) * 2.0 * np.pi / count
        ring = random.uniform(0.05, 1.0, count)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        areas = signed_areas(ring, triangles_of(ring, seed))
        assert areas.min() >= 0.0
        assert areas.sum() == pytest.approx(shoelace(ring))


def test_convex_polygons_stay_fans_and_polygons_keep_their_order():
    hexagon = np.stack([np.cos(np.arange(6) * np.pi / 3), np.sin(np.arange(6) * np.pi / 3)], axis=1)
    points = np.pad(np.concatenate([hexagon, DART, hexagon[:3], hexagon[:2]]), ((0, 0), (0, 1)))
    found = polygon_triangles(points, np.arange(15), np.array([6, 4, 3, 2]))
    assert found[:4].tolist() == [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]]
    assert sorted(set(found[4:6].ravel().tolist())) == [6, 7, 8, 9]
    assert found[6].tolist() == [10, 11, 12]
    assert len(found) == 7


def test_outlines_that_are_no_polygon_get_as_many_triangles_as_any():
    bow = np.array([[0, 0], [1, 1], [1, 0], [0, 1], [0.5, 3]], float)
    for points in (np.pad(bow, ((0, 0), (0, 1))), np.zeros((5, 3)), np.full((5, 3), np.nan), np.full((5, 3), 1e300)):
        found = polygon_triangles(points, np.arange(5), np.array([5]))
        assert found.shape == (3, 3)
        assert found.min() >= 0
        assert found.max() < 5


def test_a_polygon_of_very_many_corners_keeps_its_fan():
    angles = np.linspace(0.0, 2.0 * np.pi, MOST_CORNERS + 2)[:-1]
    ring = (1.0 + 0.5 * (np.arange(len(angles)) % 2))[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert (triangles_of(ring)[:, 0] == 0).all()
