"""Colour borders that decimation keeps where shape alone would not."""

import numpy as np
import pytest

from bridge_server.backends.mesh_filter.base import MESH_FILTERS, Paint
from bridge_server.backends.mesh_filter.collapsing import collapsed
from bridge_server.backends.mesh_filter.paint import paint_on, paint_quadrics
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.run import SilentRun
from bridge_server.stages.decimate import Decimate
from bridge_server.stages.decimate_colours import looks_at_vertices
from bridge_server.values.mesh import HighPoly, Mesh, is_watertight
from bridge_server.values.surface import VertexField
from tests import shapes

WEIGHT = 0.02


@pytest.fixture(scope="module")
def raycaster():
    return RAYCASTERS.load(RAYCASTERS.choose("auto"))


def painted(mesh, red):
    """Red where asked, blue elsewhere, equally rough."""
    colour = np.where(red[:, None], (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)).astype(np.float32)
    count = len(mesh.positions_m)
    field = VertexField(
        positions_m=mesh.positions_m,
        faces=mesh.faces,
        base_color=colour,
        metallic=np.zeros(count, np.float32),
        roughness=np.full(count, 0.5, np.float32),
    )
    return HighPoly(mesh=mesh, field=field, source="test")


def sheet(cells=48):
    steps = np.linspace(-0.5, 0.5, cells + 1)
    x, z = (grid.reshape(-1) for grid in np.meshgrid(steps, steps))
    places = np.stack([x, np.zeros_like(x), z], axis=1).astype(np.float32)
    a = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).reshape(-1)
    b, c, d = a + 1, a + cells + 1, a + cells + 2
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)]).astype(np.int32)
    return painted(Mesh(positions_m=places, faces=faces), (np.floor(x * 4 + 0.1) + np.floor(z * 4 + 0.1)) % 2 == 0)


def ball():
    mesh = shapes.sphere(0.5, 4)
    x, y, z = mesh.positions_m.T
    return painted(mesh, y > 0.1 * np.sin(3 * np.arctan2(z, x)))


def low(raycaster, high, count, weight, name="quadric"):
    mesh_filter = MESH_FILTERS.load(name)
    return Decimate(triangle_count=count, attribute_weight=weight)(SilentRun(), mesh_filter, raycaster, high_poly=high)


def colour_error(raycaster, high, mesh):
    """RMS over the vertices of the high poly of the colour that the low poly's corners give there."""
    nearest = raycaster.scene(high.mesh.positions_m, high.mesh.faces).nearest(mesh.positions_m)
    colours = high.field.base_color[high.mesh.faces[nearest.faces]]
    at_corner = np.einsum("pc,pcd->pd", nearest.barycentrics, colours)
    shown = raycaster.scene(mesh.positions_m, mesh.faces).nearest(high.mesh.positions_m)
    given = np.einsum("pc,pcd->pd", shown.barycentrics, at_corner[mesh.faces[shown.faces]])
    return float(np.sqrt(((given - high.field.base_color) ** 2).mean()))


@pytest.mark.parametrize(("high", "count", "better"), [(sheet(), 400, 0.7), (ball(), 600, 0.8)])
def test_borders_stay_where_shape_does_not_care(raycaster, high, count, better):
    plain, aware = (low(raycaster, high, count, weight) for weight in (0.0, WEIGHT))
    assert colour_error(raycaster, high, aware.mesh) < better * colour_error(raycaster, high, plain.mesh)
    assert len(aware.mesh.faces) <= count
    assert is_watertight(aware.mesh) == is_watertight(high.mesh)
    assert not aware.notices


def test_one_colour_changes_nothing(raycaster):
    mesh = ball().mesh
    plain, aware = (low(raycaster, painted(mesh, mesh.positions_m[:, 0] > 9), 300, weight) for weight in (0.0, WEIGHT))
    assert plain.mesh.positions_m.tobytes() == aware.mesh.positions_m.tobytes()
    assert plain.mesh.faces.tobytes() == aware.mesh.faces.tobytes()


def test_a_filter_without_colours_is_told_of(raycaster):
    found = low(raycaster, ball(), 300, WEIGHT, "simplification")
    assert {notice.code for notice in found.notices} == {"decimate_without_colours"}


def test_the_cost_of_a_step_is_the_change_of_colour_over_it():
    """A triangle whose red rises by one along x: a step across it costs area, weight and change squared."""
    places = np.array([[0.0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]])
    values = np.array([[0.0, 0], [1.0, 0], [0.0, 0]])
    quadrics = paint_quadrics(places, np.array([[0, 1, 2]]), values, 0.1)
    a, b, c, d, e, f, gx, gy, gz, constant, _ = quadrics[1]

    def cost(x, y, z):
        planes = a * x * x + 2 * (b * x * y + c * x * z + e * y * z) + d * y * y + f * z * z
        return planes + 2 * (gx * x + gy * y + gz * z) + constant

    third = 0.125 / 3
    assert cost(0.5, 0, 0) == pytest.approx(0.0, abs=1e-12)
    assert cost(0.75, 0, 0) == pytest.approx(third * 0.1**2 * 0.5**2)
    assert cost(0.5, 0.3, 0.2) == pytest.approx(0.0, abs=1e-12)


def test_looks_are_perceptual(raycaster):
    looks = looks_at_vertices(ball(), raycaster)
    assert looks.shape[1] == 5
    assert looks.min() == 0.0
    assert looks.max() == 1.0
    assert (looks[:, 4] == 0.5).all()


def test_paint_finds_vertices_again_when_they_were_renumbered(raycaster):
    high = ball()
    turned = Mesh(
        positions_m=high.mesh.positions_m[::-1].copy(), faces=len(high.mesh.positions_m) - 1 - high.mesh.faces
    )
    values = high.field.base_color
    np.testing.assert_array_equal(paint_on(turned, high.mesh, Paint(values, 1.0)), values[::-1])
    assert collapsed(high.mesh, 300, SilentRun(), paint=(values.astype(float), WEIGHT)).faces.shape[0] <= 300
