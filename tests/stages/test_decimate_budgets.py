import numpy as np
import pytest

from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.run import SilentRun
from bridge_server.stages.decimate import Decimate, Quality
from bridge_server.stages.decimate_budgets import geometry_bytes, triangles_within
from bridge_server.values.mesh import is_watertight
from tests import shapes


@pytest.fixture(scope="module")
def raycaster():
    return RAYCASTERS.load(RAYCASTERS.choose("auto"))


def decimated(mesh, raycaster, **fields):
    return Decimate(**fields)(SilentRun(), MESH_FILTERS.load("quadric"), raycaster, high_poly=shapes.painted(mesh))


@pytest.mark.parametrize("target", [100, 101, pytest.param(2468, marks=pytest.mark.slow), 3001])
@pytest.mark.parametrize("name", ["quadric", "simplification"])
def test_the_count_is_met_to_one_collapse(raycaster, name, target):
    low = Decimate(triangle_count=target)(
        SilentRun(), MESH_FILTERS.load(name), raycaster, high_poly=shapes.painted(shapes.torus())
    )
    assert len(low.mesh.faces) == target - target % 2  # a closed mesh has an even count
    assert is_watertight(low.mesh)


def test_an_error_bound_is_kept_with_few_triangles(raycaster):
    ball = shapes.sphere(0.5, 4)
    low = decimated(ball, raycaster, max_error_share=0.01)
    assert low.hausdorff_m <= 0.01 * ball.diagonal_m
    assert len(low.mesh.faces) < 260  # a sphere within 0.017 m of a radius of 0.5 needs about 200
    assert not low.notices


def test_an_error_bound_on_flat_sides_leaves_the_least(raycaster):
    box = shapes.box()
    for _ in range(4):
        box = subdivided(box)
    low = decimated(box, raycaster, max_error_share=1e-3)
    assert len(low.mesh.faces) <= 16


def test_an_error_that_the_count_cannot_keep_is_told(raycaster):
    low = decimated(shapes.torus(), raycaster, max_error_share=1e-5, triangle_count=200)
    assert len(low.mesh.faces) == 200
    assert {notice.code for notice in low.notices} == {"decimate_error_missed"}


def test_a_size_becomes_a_count(raycaster):
    assert geometry_bytes(triangles_within(500_000.0)) <= 500_000 < geometry_bytes(triangles_within(500_000.0) + 1)
    low = decimated(shapes.torus(), raycaster, file_budget_kb=60.0)
    assert len(low.mesh.faces) == triangles_within(60_000.0) - triangles_within(60_000.0) % 2


def test_a_preview_is_near_too(raycaster):
    torus = shapes.torus()
    low = decimated(torus, raycaster, triangle_count=2000, quality=Quality.PREVIEW)
    assert len(low.mesh.faces) == 2000
    assert 0.0 < low.hausdorff_m < 0.02 * torus.diagonal_m


def subdivided(mesh):
    """Each triangle into four."""
    places, faces = mesh.positions_m, mesh.faces
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, inverse = np.unique(edges, axis=0, return_inverse=True)
    ab, bc, ca = (inverse.reshape(-1, 3) + len(places)).T
    a, b, c = faces.T
    split = [np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    return type(mesh)(
        positions_m=np.concatenate([places, places[unique].mean(axis=1)]).astype(np.float32),
        faces=np.concatenate(split).astype(np.int32),
    )
