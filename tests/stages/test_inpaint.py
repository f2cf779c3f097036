"""Hidden base colour: filled where nothing can see it, marked, and nowhere else."""

from dataclasses import replace

import numpy as np

from bridge_server.backends.inpainter.base import INPAINTERS, Inpainter
from bridge_server.run import SilentRun
from bridge_server.stages.inpaint import Inpaint, InpaintMode
from bridge_server.values.texture import AlbedoMap, AoMap
from tests.shapes import sphere
from tests.stages.bake_cases import Case, case


def classical() -> Inpainter:
    return INPAINTERS.load("classical")


def maps(found: Case) -> tuple[AlbedoMap, AoMap, np.ndarray]:
    """A smooth ramp of colour with a black spot, and an occlusion map that is dark in the spot."""
    size = found.texel_hits.resolution_px
    row, column = np.indices((size, size))
    ramp = np.stack([row, column, 0 * row + 99], axis=2).astype(np.uint8)
    chart = np.flatnonzero(found.texel_hits.coverage.any(axis=1))
    spot = (np.hypot(row - chart[len(chart) // 4], column - size // 4) < 9) & found.texel_hits.coverage
    assert spot.sum() > 100
    ao = np.where(spot, 0, 200).astype(np.uint8)
    return AlbedoMap(pixels=np.where(spot[:, :, None], 0, ramp).astype(np.uint8)), AoMap(pixels=ao), spot


def test_off_changes_nothing() -> None:
    found = case(sphere(0.5, 2), sphere(0.5, 3), size=128)
    albedo, ao, _ = maps(found)
    slots = {"unwrapped": found.unwrapped, "texel_hits": found.texel_hits}
    assert Inpaint()(SilentRun(), classical(), albedo=albedo, ao=ao, **slots) is albedo


def test_hidden_texels_are_continued_and_marked() -> None:
    found = case(sphere(0.5, 2), sphere(0.5, 3), size=128)
    albedo, ao, spot = maps(found)
    slots = {"unwrapped": found.unwrapped, "texel_hits": found.texel_hits}
    stage = Inpaint(mode=InpaintMode.HIDDEN)
    result = stage(SilentRun(), classical(), albedo=albedo, ao=ao, **slots)
    assert result.invented is not None
    np.testing.assert_array_equal(result.invented & found.texel_hits.coverage, spot)
    np.testing.assert_array_equal(result.pixels[~result.invented], albedo.pixels[~result.invented])
    row, column = np.indices(spot.shape)
    wanted = np.stack([row, column, 0 * row + 99], axis=2)
    assert np.abs(result.pixels[spot].astype(int) - wanted[spot]).mean() < 3
    assert [notice.code for notice in result.notices] == ["base_colour_invented"]
    bright = replace(ao, pixels=np.full_like(ao.pixels, 255))
    untouched = stage(SilentRun(), classical(), albedo=albedo, ao=bright, **slots)
    assert untouched.invented is not None
    assert not untouched.invented.any()
    np.testing.assert_array_equal(untouched.pixels, albedo.pixels)


def test_a_hole_in_a_linear_ramp_is_filled_linearly() -> None:
    row, column = np.indices((61, 83))
    ramp = np.stack([2 * row, 3 * column, row + column], axis=2).astype(np.uint8)
    missing = (np.abs(row - 30) < 12) & (np.abs(column - 40) < 15)
    holed = np.where(missing[:, :, None], 255, ramp).astype(np.uint8)
    filled = classical().fill(holed, missing, SilentRun())
    assert np.abs(filled.astype(int) - ramp)[missing].max() <= 8
    np.testing.assert_array_equal(filled[~missing], ramp[~missing])
    nothing = classical().fill(holed, np.ones_like(missing), SilentRun())
    assert (nothing == 128).all()
    assert classical().fill(holed, np.zeros_like(missing), SilentRun()) is holed
