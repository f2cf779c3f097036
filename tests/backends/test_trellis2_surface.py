"""A solid of known shape and colours, given as the decoders give it, arrives in our space the right way round."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bridge_server.backends.generator.trellis2_surface import high_poly_of  # noqa: E402
from bridge_server.values.mesh import HighPoly, is_watertight, volume_m3  # noqa: E402
from tests.vendor.trellis2 import analytic_grids  # noqa: E402
from vendor.trellis2.decoding import assemble  # noqa: E402

EDGE = 40


def head(points: np.ndarray) -> np.ndarray:
    """A ball with a nose towards -Y and a hat towards +Z: upstream's front and up."""

    def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
        return np.linalg.norm(points - centre, axis=-1) - radius

    return np.minimum.reduce([ball((0, 0, -0.05), 0.25), ball((0, -0.28, -0.05), 0.07), ball((0, 0, 0.25), 0.12)])


@pytest.fixture(scope="module")
def high() -> HighPoly:
    """Its cells hold their own place as colour: red along upstream's X, green along Y, blue along Z."""
    grid = analytic_grids.encode(analytic_grids.sample(head, EDGE))
    place = (grid.voxels.coords.float() + 0.5) / EDGE
    attributes = torch.cat([place, place], dim=1)
    return high_poly_of(assemble(grid, grid.voxels, attributes, EDGE))


def test_it_is_closed_and_faces_outward(high: HighPoly) -> None:
    assert is_watertight(high.mesh)
    assert volume_m3(high.mesh) == pytest.approx(4 / 3 * np.pi * (0.25**3 + 0.12**3 + 0.07**3), rel=0.05)


def test_it_stands_upright_and_faces_forward(high: HighPoly) -> None:
    low, top = high.mesh.bounds_m
    assert low[1] == pytest.approx(0.0, abs=1e-6)
    assert top[1] == pytest.approx(0.67, abs=0.02), "the hat is up"
    assert top[2] == pytest.approx(0.35, abs=0.02), "the nose is in front"
    assert low[2] == pytest.approx(-0.25, abs=0.02)
    assert low[0] == pytest.approx(-0.25, abs=0.02)


def test_every_place_has_its_own_colour(high: HighPoly) -> None:
    """Our x, y, z are upstream's x, z, -y; within a cell, since a field is smooth between cells that are there."""
    points = high.mesh.positions_m
    found = high.field.sample(points, lambda *_: None).base_color
    ground = high.field.origin_m[1] + 0.5
    upstream = np.stack([points[:, 0], -points[:, 2], points[:, 1] - ground], axis=1) + 0.5
    assert np.abs(found - upstream).max() < 1.0 / EDGE
