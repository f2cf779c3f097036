"""Insides behind narrow openings are filled, open vessels are not; volumes by the formulas of solids of revolution."""

import numpy as np
import pytest

from bridge_server.values.hollow import filled
from bridge_server.values.mesh import Mesh, is_watertight, volume_m3
from tests import shapes

ROUND = shapes.AROUND / (2.0 * np.pi) * np.sin(2.0 * np.pi / shapes.AROUND)
"""Area of a regular polygon over that of its circle."""


def test_a_bottle_is_filled_to_the_brim():
    full = filled(shapes.bottle(0.04))
    assert full is not None
    assert is_watertight(full)
    assert volume_m3(full) == pytest.approx(np.pi * ROUND * (0.2**2 * 0.7 + 0.05**2 * 0.3), rel=0.02)


@pytest.mark.parametrize("neck", [0.08, 0.12])
def test_a_jar_that_a_hand_fits_into_stays_hollow(neck):
    assert filled(shapes.bottle(neck)) is None


def test_a_bottle_lying_askew_is_filled_as_well():
    bottle = shapes.bottle(0.04)
    tilt = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    turned = Mesh(
        positions_m=(bottle.positions_m @ (tilt * np.linalg.det(tilt))).astype(np.float32), faces=bottle.faces
    )
    full = filled(turned)
    assert full is not None
    assert volume_m3(full) == pytest.approx(np.pi * ROUND * (0.2**2 * 0.7 + 0.05**2 * 0.3), rel=0.03)


@pytest.mark.parametrize(
    "mesh",
    [
        shapes.box(),
        shapes.torus(),
        shapes.revolved([(0, 0), (0.3, 0), (0.3, 0.8), (0.28, 0.8), (0.28, 0.02), (0, 0.02)]),
    ],
    ids=["box", "ring", "bucket"],
)
def test_what_has_no_such_inside_stays_as_it_is(mesh):
    assert filled(mesh) is None


def test_an_open_surface_has_nothing_to_fill():
    bottle = shapes.bottle(0.04)
    assert filled(Mesh(positions_m=bottle.positions_m, faces=bottle.faces[3:])) is None
