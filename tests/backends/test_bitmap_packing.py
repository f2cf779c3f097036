"""The compiled packer against plain loops over boolean grids."""

import numpy as np
import pytest

from bridge_server.backends.unwrapper.base import NO_ROOM, UnwrapSettings
from bridge_server.backends.unwrapper.bitmap_packing import Packer, best_angles, grid_of, packed
from bridge_server.errors import StageFailed
from bridge_server.run import SilentRun
from bridge_server.values.texel_grid import gathered, touched_texels

CELLS, GAP = 48, 2


def stars(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ragged, partly concave charts: fans of triangles round a centre, with their outline edges."""
    rng = np.random.default_rng(seed)
    corners, charts, rim = [], [], []
    for chart in range(count):
        angle = np.linspace(0, 2 * np.pi, 8)[:-1]
        tips = rng.uniform(0.3, 1.0, 7) * rng.uniform(0.5, 3.0) * np.exp(1j * angle)
        corners += [[0j, tips[k], tips[(k + 1) % 7]] for k in range(7)]
        charts += [chart] * 7
        rim += [False, True, False] * 7
    return np.array(corners), np.array(charts), np.array(rim)


def pictures_of(drawn) -> tuple[np.ndarray, list[np.ndarray]]:
    """First picture of each chart, and all pictures as boolean grids."""
    first, wide, high, rows, firsts, runs, _ = (array.numpy() for array in drawn.arrays)
    pictures = []
    for number in range(len(wide)):
        picture = np.zeros((high[number], wide[number]), np.bool_)
        for row in range(high[number]):
            for begin, length, _ in runs[firsts[rows[number] + row] : firsts[rows[number] + row + 1]]:
                picture[row, begin : begin + length] = True
        pictures.append(picture)
    return first, pictures


def placed_plainly(first: np.ndarray, pictures: list[np.ndarray], order: np.ndarray, tall: int) -> np.ndarray:
    """What the kernel does, cell by cell."""
    square = np.zeros((CELLS, CELLS), np.bool_)
    result = np.full((len(first) - 1, 3), -1)
    for chart in order:
        options = []
        for number in range(first[chart], first[chart + 1]):
            high, wide = pictures[number].shape
            for y in range(CELLS - high + 1):
                spots = [square[y : y + high, x : x + wide] & pictures[number] for x in range(CELLS - wide + 1)]
                x = next((place for place, taken in enumerate(spots) if not taken.any()), None)
                if x is not None:
                    options.append((2 * y + tall * high, number, x, y))
                    break
        if not options:
            break
        _, number, x, y = min(options, key=lambda option: option[:2])
        result[chart] = number, x, y
        high, wide = pictures[number].shape
        square[y : y + high, x : x + wide] |= pictures[number]
    return result


@pytest.mark.parametrize(("scale", "tall"), [(3.0, 2), (4.0, 0), (5.0, 1)])
def test_every_chart_goes_where_plain_loops_put_it(scale: float, tall: int) -> None:
    packer = Packer(*stars(9, 5), grid_of(CELLS, GAP))
    drawn = packer._drawn(packer._pictured(scale))
    if drawn is None:
        pytest.fail("the case is meant to be drawn")
    order = packer._order(drawn.cells, 0)
    plain = placed_plainly(*pictures_of(drawn), order, tall)
    found = packer._placed(drawn, order, tall)
    if (plain < 0).any():
        assert found is None
    else:
        np.testing.assert_array_equal(found, plain)


def test_pictures_hold_every_cell_that_is_touched_widened_by_the_gap() -> None:
    corners, charts, rim = stars(5, 8)
    packer = Packer(corners, charts, rim, grid_of(CELLS, GAP))
    pictured = packer._pictured(6.0)
    first, pictures = pictures_of(packer._drawn(pictured))
    assert len(pictures) == first[-1]
    for number, picture in enumerate(pictures):
        triangles = pictured.corners[pictured.picture == number]
        uvs = (triangles.reshape(-1, 2) / CELLS).astype(np.float32)
        cells = gathered(touched_texels(uvs, np.arange(len(uvs), dtype=np.int32).reshape(-1, 3), CELLS))
        wanted = np.zeros((CELLS, CELLS), np.bool_)
        wanted.reshape(-1)[cells.index] = True
        for axis in (0, 1):
            for _ in range(GAP):
                wanted |= np.roll(wanted, 1, axis=axis)
        grid = np.zeros_like(wanted)
        grid[: picture.shape[0], : picture.shape[1]] = picture
        assert grid[wanted].all()
        assert (grid & ~wanted).sum() <= 0.05 * wanted.sum()  # cells that are touched only but for rounding


def test_rectangles_are_turned_upright() -> None:
    square = np.array([[0, 2, 2 + 1j], [0, 2 + 1j, 1j]])
    turned = square * np.exp(0.3j)
    angle = best_angles(turned, np.zeros(2, np.int64), np.array([True, True, False, False, True, True]), 1)
    upright = turned * angle[0]
    sides = sorted([np.ptp(upright.real), np.ptp(upright.imag)])
    np.testing.assert_allclose(sides, [1.0, 2.0], atol=1e-9)


def test_a_density_is_met_exactly_and_too_many_charts_are_refused() -> None:
    corners, charts, rim = stars(4, 2)
    settings = UnwrapSettings(resolution_px=256, padding_px=2, texels_per_m=20.0, time_limit_s=9.0)
    places = packed(corners, charts, rim, settings, SilentRun())
    found = np.linalg.norm(places[:, 1] - places[:, 0], axis=1) / np.abs(corners[:, 1] - corners[:, 0])
    np.testing.assert_allclose(found, 20.0)
    crowd = UnwrapSettings(resolution_px=64, padding_px=40, texels_per_m=0.0, time_limit_s=9.0)
    with pytest.raises(StageFailed) as caught:
        packed(corners, charts, rim, crowd, SilentRun())
    assert caught.value.reason == NO_ROOM
