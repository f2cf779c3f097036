"""The gutter: bilinear filtering and mips down to 128 px see one chart each."""

import numpy as np
import pytest

from bridge_server.stages.gutter import gutter_of

SIZE = 512


def two_charts(gap: int, left: int) -> np.ndarray:
    """Left chart up to column ``left`` (exclusive), a gap, then the right chart; some rows at top and bottom empty."""
    charts = np.full((SIZE, SIZE), -1, np.int32)
    charts[37:470, :left] = 0
    charts[37:470, left + gap :] = 1
    return charts


def filled(charts: np.ndarray, gap: int) -> np.ndarray:
    values = np.where(charts == 1, 1.0, 0.0).astype(np.float32)[:, :, None]
    values[charts < 0] = 0.5
    return gutter_of(charts, gap).fill(values)[:, :, 0]


@pytest.mark.parametrize("left", range(200, 208))
def test_no_mip_down_to_128_px_mixes_two_charts(left: int) -> None:
    charts = two_charts(4, left)
    result = filled(charts, 4)
    for step in (1, 2, 4):
        blocks = SIZE // step
        mip = result.reshape(blocks, step, blocks, step).mean(axis=(1, 3))
        for chart, value in ((0, 0.0), (1, 1.0)):
            touched = (charts == chart).reshape(blocks, step, blocks, step).any(axis=(1, 3))
            assert np.abs(mip[touched] - value).max() == 0.0


def test_texels_beside_a_chart_have_its_value() -> None:
    charts = two_charts(4, 203)
    result = filled(charts, 4)
    for chart, value in ((0, 0.0), (1, 1.0)):
        inside = charts == chart
        beside = np.zeros_like(inside)
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                beside |= np.roll(inside, (down, right), axis=(0, 1))
        beside[:, [0, -1]] = False
        assert np.abs(result[beside & ~inside & (charts < 0)] - value).max() == 0.0
    np.testing.assert_array_equal(result[charts == 0], 0.0)
    np.testing.assert_array_equal(result[charts == 1], 1.0)
    assert set(np.unique(result)) == {0.0, 1.0}


def test_random_charts_with_the_promised_gap_do_not_bleed() -> None:
    random = np.random.default_rng(2)
    charts = np.full((SIZE, SIZE), -1, np.int32)
    for row in range(0, SIZE, 32):
        for column in range(0, SIZE, 32):
            top, left = row + random.integers(2, 8), column + random.integers(2, 8)
            bottom, right = row + random.integers(20, 30), column + random.integers(20, 30)
            charts[top:bottom, left:right] = row * 16 + column // 32
    values = random.uniform(size=SIZE * 32).astype(np.float32)[np.maximum(charts, 0)]
    result = gutter_of(charts, 4).fill(values[:, :, None])[:, :, 0]
    for step in (2, 4):
        blocks = SIZE // step
        shape = (blocks, step, blocks, step)
        owner = charts.reshape(shape).max(axis=(1, 3))
        mip = result.reshape(shape).mean(axis=(1, 3))
        wanted = np.where(charts >= 0, values, 0).reshape(shape).max(axis=(1, 3))
        assert np.abs(mip - wanted)[owner >= 0].max() < 1e-6


def test_empty_odd_and_single_maps() -> None:
    nothing = np.full((64, 64), -1, np.int32)
    values = np.ones((64, 64, 2), np.float32)
    np.testing.assert_array_equal(gutter_of(nothing, 4).fill(values), values)
    odd = np.full((700, 700), -1, np.int32)
    odd[13, 699] = 3
    painted = np.zeros((700, 700, 1), np.float32)
    painted[13, 699] = 7.0
    assert (gutter_of(odd, 12).fill(painted) == 7.0).all()
