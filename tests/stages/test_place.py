"""Placement: the origin lies where asked, and the height is exact."""

import numpy as np
import pytest

from bridge_server.errors import StageFailed
from bridge_server.run import SilentRun
from bridge_server.stages.place import HEIGHTS_CM, Place, SizePreset
from bridge_server.values.base import Severity
from bridge_server.values.mesh import LowPoly, Mesh
from bridge_server.values.placement import Pivot
from tests import shapes


def _low(mesh: Mesh) -> LowPoly:
    return LowPoly(mesh=mesh, target_triangle_count=12, hausdorff_m=0.0, mean_distance_m=0.0, method="test")


def _place(mesh: Mesh, source: str = "mesh", **fields):
    high = shapes.painted(mesh)
    placement = Place(**fields)(
        SilentRun(), low_poly=_low(mesh), high_poly=type(high)(mesh=high.mesh, field=high.field, source=source)
    )
    return placement, placement.apply(mesh.positions_m)


BOX = shapes.box((0.4, 0.8, 1.2), center=(3.0, -2.0, 5.0))


def test_feet_stand_on_the_origin_and_the_scale_of_a_mesh_file_stays():
    placement, placed = _place(BOX)
    assert placement.scale == 1.0
    assert placement.notices == ()
    assert placement.height_cm == pytest.approx(80.0, abs=1e-4)
    np.testing.assert_allclose([placed.min(0), placed.max(0)], [[-0.2, 0, -0.6], [0.2, 0.8, 0.6]], atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "low", "high"),
    [
        ({"pivot": Pivot.CENTER}, [-0.2, -0.4, -0.6], [0.2, 0.4, 0.6]),
        (
            {"pivot": Pivot.CUSTOM, "pivot_x": 0.0, "pivot_y": 1.0, "pivot_z": 0.25},
            [0.0, -0.8, -0.3],
            [0.4, 0.0, 0.9],
        ),
    ],
)
def test_other_pivots(fields, low, high):
    _, placed = _place(BOX, **fields)
    np.testing.assert_allclose([placed.min(0), placed.max(0)], [low, high], atol=1e-6)


@pytest.mark.parametrize("height", [0.5, 33.3, 180.0, 50_000.0])
def test_height_is_exact(height):
    placement, placed = _place(BOX, height_cm=height)
    assert placement.height_cm == pytest.approx(height, rel=1e-6)
    np.testing.assert_allclose(np.ptp(placed[:, 1]) * 100, height, rtol=1e-6)
    np.testing.assert_allclose(placed[:, 1].min(), 0.0, atol=height * 1e-7)
    np.testing.assert_allclose(np.ptp(placed, axis=0) / np.ptp(BOX.positions_m, axis=0), placement.scale, rtol=1e-5)


def test_well_known_heights():
    assert HEIGHTS_CM[SizePreset.HUMAN] == 180.0
    assert HEIGHTS_CM[SizePreset.DOOR] == 210.0
    assert set(HEIGHTS_CM) == set(SizePreset) - {SizePreset.AS_GIVEN}
    for size, height in HEIGHTS_CM.items():
        assert _place(BOX, "embedded", size=size)[0].height_cm == pytest.approx(height)
    assert _place(BOX, size=SizePreset.DOOR, height_cm=42.0)[0].height_cm == pytest.approx(42.0)


def test_a_photo_has_no_scale_and_that_is_told():
    placement, _ = _place(BOX, "embedded", fallback_height_cm=100.0)
    assert placement.height_cm == pytest.approx(100.0)
    assert [(notice.code, notice.severity) for notice in placement.notices] == [("scale_assumed", Severity.INFO)]


@pytest.mark.parametrize("size", [0.0005, 180.0])
def test_an_implausible_mesh_takes_the_fallback_and_that_is_told(size):
    placement, _ = _place(shapes.box((size, size, size)))
    assert placement.height_cm == pytest.approx(50.0)
    assert [(notice.code, notice.severity) for notice in placement.notices] == [("scale_implausible", Severity.WARNING)]


@pytest.mark.parametrize("size", [0.0101, 99.0])
def test_small_and_large_but_plausible_stays(size):
    assert _place(shapes.box((size, size, size)))[0].scale == 1.0


def test_a_flat_carpet_keeps_its_scale_or_is_sized_by_its_length():
    carpet = shapes.box((2.0, 0.0, 3.0))
    assert _place(carpet)[0].scale == 1.0
    placement, placed = _place(carpet, height_cm=600.0)
    assert [notice.code for notice in placement.notices] == ["flat_asset"]
    assert np.ptp(placed[:, 2]) == pytest.approx(6.0)


def test_without_a_high_poly_the_given_scale_counts():
    assert Place()(SilentRun(), low_poly=_low(BOX)).scale == 1.0


def test_a_single_point_is_refused():
    point = Mesh(positions_m=np.zeros((3, 3), np.float32), faces=np.array([[0, 1, 2]], np.int32))
    with pytest.raises(StageFailed, match="extent"):
        Place()(SilentRun(), low_poly=_low(point))
