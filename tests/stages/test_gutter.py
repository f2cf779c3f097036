"""The gutter: bilinear filtering and mips down to 128 px see one chart each."""

import numpy as np
import pytest
from PIL import Image

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
    assert result.min() >= 0.0
    assert result.max() <= 1.0


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


def mip_chain(values: np.ndarray, filter_name: str, smallest_px: int) -> list[np.ndarray]:
    """Half the size each time, by the mean of four texels or by Lanczos with three lobes."""
    chain = [values]
    while len(chain[-1]) > smallest_px:
        size = len(chain[-1]) // 2
        if filter_name == "box":
            chain.append(chain[-1].reshape(size, 2, size, 2).mean(axis=(1, 3)))
        else:
            picture = Image.fromarray(chain[-1].astype(np.float32), "F")
            chain.append(np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS)))
    return chain


def islands(size: int, gap: int, step: int) -> np.ndarray:
    """Disks of several sizes, at least ``gap`` apart, with much empty space; chart -1 is background."""
    rows, columns = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    charts = np.full((size, size), -1, np.int32)
    random = np.random.default_rng(4)
    for number, (row, column) in enumerate(np.argwhere(np.ones((size // step, size // step)))):
        if number % 3 == 0:
            continue
        radius = random.uniform(4, (step - gap) / 2 - 1)
        middle = (np.array([row, column]) + 0.5) * step
        charts[(rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < radius**2] = number
    return charts


@pytest.mark.parametrize("filter_name", ["box", "lanczos"])
def test_no_mip_shows_unfilled_background(filter_name: str) -> None:
    """All charts have one value, so that whatever else a mip shows comes from outside the charts."""
    charts = islands(512, 8, 64)
    values = np.where(charts >= 0, 0.25, 99.0).astype(np.float32)[:, :, None]
    for mip in mip_chain(gutter_of(charts, 8).fill(values)[:, :, 0], filter_name, 1 if filter_name == "box" else 64):
        assert np.abs(mip - 0.25).max() < 1e-4


@pytest.mark.parametrize(("filter_name", "tolerance"), [("box", 0.0), ("lanczos", 0.02)])
def test_charts_keep_their_values_in_every_mip_down_to_128_px(filter_name: str, tolerance: float) -> None:
    """Charts far enough apart for the filter: box by one texel of the mip, Lanczos by six."""
    gap = 4 if filter_name == "box" else 24
    charts = islands(512, gap, 64)
    values = np.random.default_rng(5).uniform(size=int(charts.max()) + 2).astype(np.float32)[charts]
    values[charts < 0] = 99.0
    for mip in mip_chain(gutter_of(charts, gap).fill(values[:, :, None])[:, :, 0], filter_name, 128):
        step = 512 // len(mip)
        blocks = (len(mip), step, len(mip), step)
        owner = charts.reshape(blocks).max(axis=(1, 3))
        wanted = np.where(charts >= 0, values, 0.0).reshape(blocks).max(axis=(1, 3))
        assert np.abs(mip - wanted)[owner >= 0].max() <= tolerance + 1e-6


def test_the_background_is_the_mean_of_what_lies_around() -> None:
    charts = np.full((512, 512), -1, np.int32)
    charts[100:140, 100:140], charts[100:140, 400:440] = 0, 1
    values = np.where(charts == 1, 1.0, 0.0).astype(np.float32)[:, :, None]
    result = gutter_of(charts, 4).fill(values)[:, :, 0]
    assert np.abs(result[450:, 240:272] - 0.5).max() < 0.05
    assert (result[300, :200] < 0.5).all()
    assert (result[300, 312:] > 0.5).all()
    assert np.abs(np.diff(result[300])).max() < 0.02
    np.testing.assert_array_equal(result[95:145, 95:145], 0.0)
    np.testing.assert_array_equal(result[95:145, 395:445], 1.0)
