"""Skew-free rays: straight over flat faces, without gaps at their edges, smooth where the surface is curved."""

import numpy as np
import pytest

from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.backends.texels.base import Places
from bridge_server.stages.bake_choices import RayDirection
from bridge_server.stages.ray_directions import BAND_CAGES, ray_directions
from bridge_server.values.mesh import Mesh
from tests.shapes import box, merged, sphere
from tests.stages.bake_cases import Case, case
from tests.stages.test_trace import places

CAGE_M = 0.04


def boxes(choice: RayDirection) -> Case:
    """A box and a slightly larger one around it, so that a ray that leans lands aside."""
    return case(box(), box((1.04, 1.04, 1.04)), size=256, smooth=False, cage_offset_m=CAGE_M, ray_direction=choice)


def aside(found: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For places on the top: place on the low poly, and how far the ray moved in x and z; distance to the edge."""
    low, high = places(found)
    top = low[:, 1] > 0.4999
    return low[top], (high - low)[top], 0.5 - np.abs(low[top][:, [0, 2]]).max(axis=1)


def test_rays_over_a_flat_face_are_straight_but_for_a_narrow_band() -> None:
    _, moved, edge_m = aside(boxes(RayDirection.SKEW_FREE))
    inner = edge_m > BAND_CAGES * CAGE_M + 1e-4
    assert inner.mean() > 0.6
    assert np.abs(moved[inner][:, [0, 2]]).max() < 1e-6
    _, leaning, _ = aside(boxes(RayDirection.SMOOTH))
    assert np.abs(leaning[inner][:, [0, 2]]).max() > 0.01


def test_no_ray_misses_and_none_crosses_another() -> None:
    found = boxes(RayDirection.SKEW_FREE)
    assert found.texel_hits.by_ray.all()
    low, moved, _ = aside(found)
    row = np.abs(low[:, 2] - low[np.abs(low[:, 2]).argmin(), 2]) < 1e-6
    order = np.argsort(low[row][:, 0])
    landed = (low[row] + moved[row])[order, 0]
    assert (np.diff(landed) > 0).all()
    assert landed[-1] > 0.51  # beyond the low poly: the high one is covered up to its edge
    assert np.diff(landed).max() < 3.0 / 100


def test_a_curved_surface_keeps_its_smoothed_rays() -> None:
    smooth, free = (case(sphere(0.5, 3), sphere(0.5, 5), size=96, ray_direction=choice) for choice in RayDirection)
    np.testing.assert_array_equal(smooth.texel_hits.high_face, free.texel_hits.high_face)
    np.testing.assert_array_equal(smooth.texel_hits.high_weights, free.texel_hits.high_weights)


@pytest.mark.parametrize("backend", RAYCASTERS.names())
def test_directions_are_the_same_by_every_ray_caster_and_continuous_over_diagonals(backend: str) -> None:
    if not RAYCASTERS.availability(backend).available:
        pytest.skip(f"{backend} is not here")
    low = case(box((1.0, 0.2, 0.6)), box((1.0, 0.2, 0.6)), size=64, smooth=False).unwrapped
    find = ray_directions(low, RayDirection.SKEW_FREE, CAGE_M, RAYCASTERS.load(backend))
    corners = low.positions_m[low.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    top = np.flatnonzero(normals[:, 1] > 0)
    x, z = (axis.ravel() for axis in np.meshgrid(np.linspace(-0.49, 0.49, 40), np.linspace(-0.29, 0.29, 40)))
    points = np.stack([x, np.full_like(x, 0.1), z], axis=1).astype(np.float32)
    share = np.clip(np.minimum(0.5 - np.abs(x), 0.3 - np.abs(z)) / (BAND_CAGES * CAGE_M), 0, 1)
    for face in top:
        matrix = np.concatenate([corners[face][:, [0, 2]], np.ones((3, 1))], axis=1)
        weights = np.linalg.solve(matrix.T, np.stack([x, z, np.ones_like(x)])).T.astype(np.float32)
        inside = (weights >= -1e-5).all(axis=1)
        low_places = Places(faces=np.full(int(inside.sum()), face, np.int32), weights=weights[inside, 1:])
        found = find(points[inside], low_places)
        straight = share[inside] >= 1
        np.testing.assert_allclose(found[straight], np.tile([0, 1, 0], (int(straight.sum()), 1)), atol=1e-6)
        lean = np.hypot(found[:, 0], found[:, 2])
        blend = share[inside] ** 2 * (3 - 2 * share[inside])
        assert (lean[~straight] > 0).all()
        assert (lean <= 1.0 - blend + 1e-3).all()


def test_a_stud_near_the_edge_stands_straight() -> None:
    """What is seen on top of a stud lies straight above its place; smoothed rays lean and shift it."""
    stud = Mesh(positions_m=(box((0.1, 0.03, 0.1)).positions_m + np.float32([0.25, 0.515, 0.0])), faces=box().faces)
    shift = {}
    for choice in RayDirection:
        found = case(box(), merged(box(), stud), size=256, smooth=False, cage_offset_m=CAGE_M, ray_direction=choice)
        low, high = places(found)
        on_stud = (high[:, 1] > 0.5299) & (low[:, 1] > 0.4999)
        assert on_stud.sum() > 30
        shift[choice] = np.abs((high - low)[on_stud][:, [0, 2]]).max()
    assert shift[RayDirection.SKEW_FREE] < 1e-6
    assert shift[RayDirection.SMOOTH] > 5e-3
