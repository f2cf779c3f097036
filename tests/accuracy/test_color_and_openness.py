"""Base colour and ambient occlusion against closed forms under several UV layouts."""

from dataclasses import replace

import numpy as np
import pytest

from bridge_server.run import SilentRun
from bridge_server.stages.bake_albedo import BakeAlbedo, srgb_bytes
from bridge_server.stages.bake_ao import BakeAo
from bridge_server.values.mesh import Mesh
from tests.accuracy.layouts import laid_out, traced
from tests.shapes import box, merged, painted, sphere
from tests.stages.bake_cases import Case, psnr_db, raycaster

WALL_M = 0.5


@pytest.mark.parametrize("layout", ["planar", "mirrored", pytest.param("xatlas", marks=pytest.mark.slow)])
def test_base_colour_is_above_45_db(layout: str) -> None:
    mesh = sphere(0.5, 6)
    plain = painted(mesh)
    high = replace(plain, field=replace(plain.field, base_color=waves(mesh.positions_m).astype(np.float32)))
    case = traced(laid_out(sphere(0.5, 3), layout), high)
    pixels = BakeAlbedo()(SilentRun(), raycaster(), **case.slots).pixels
    place = case.low_at_texels(case.unwrapped.positions_m).astype(np.float64)
    expected = waves(place / np.linalg.norm(place, axis=1, keepdims=True) * 0.5)
    stored = pixels.reshape(-1, 3)[case.texel_hits.index] / 255
    psnr = psnr_db(stored, srgb_bytes(expected.astype(np.float32)[None])[0] / 255)
    print(f"{layout}: {psnr:.1f} dB")
    assert psnr > 45


@pytest.mark.parametrize("denoise_rounds", [0, 1])
@pytest.mark.parametrize("coarseness", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_openness_beside_a_wall_is_within_002_rms(coarseness: int, denoise_rounds: int) -> None:
    case = floor_beside_a_wall()
    fields = {"coarseness": coarseness, "denoise_rounds": denoise_rounds}
    error = openness(case, **fields) - beside_a_wall(case)
    print(f"wall, {fields}: rms {np.sqrt((error**2).mean()):.4f}, mean {error.mean():+.4f}")
    assert np.sqrt((error**2).mean()) < 0.02


@pytest.mark.slow
def test_openness_inside_a_sphere_cut_in_half_is_one_half() -> None:
    ball = sphere(0.5, 6)
    below = ball.positions_m[ball.faces][:, :, 1].max(axis=1) <= 1e-6
    pit = Mesh(positions_m=ball.positions_m, faces=ball.faces[below][:, ::-1])
    used, faces = np.unique(pit.faces, return_inverse=True)
    pit = Mesh(positions_m=pit.positions_m[used], faces=faces.reshape(-1, 3).astype(np.int32))
    case = traced(laid_out(pit, "planar"), pit, resolution_px=256)
    rim_m = case.low_at_texels(case.unwrapped.positions_m)[:, 1].max()
    error = openness(case, coarseness=1) - 0.5
    print(f"pit: rms {np.sqrt((error**2).mean()):.4f}, mean {error.mean():+.4f}, rim at {rim_m:.4f}")
    assert np.sqrt((error**2).mean()) < 0.02


def waves(points_m: np.ndarray) -> np.ndarray:
    """Linear colour from 0.1 to 0.9."""
    return 0.5 + 0.4 * np.sin(points_m * 14 + np.array([0.0, 1.0, 2.0]))


def floor_beside_a_wall() -> Case:
    """The floor alone is baked, beside a wall so long that it seems endless."""
    wall = box((0.1, WALL_M, 40.0), (-0.05, WALL_M / 2, 0.0))
    floor = Mesh(
        positions_m=np.float32([[0.001, 0, -0.5], [0.001, 0, 0.5], [1, 0, 0.5], [1, 0, -0.5]]),
        faces=np.int32([[0, 1, 2], [0, 2, 3]]),
    )
    return traced(laid_out(floor, "planar"), merged(floor, wall), resolution_px=256, cage_offset_m=0.01)


def beside_a_wall(case: Case) -> np.ndarray:
    """One minus the form factor of an endless wall: (1 + x / sqrt(x^2 + h^2)) / 2."""
    x = case.low_at_texels(case.unwrapped.positions_m)[:, 0]
    return 0.5 * (1 + x / np.hypot(x, WALL_M))


def openness(case: Case, **fields: float) -> np.ndarray:
    """At 256 samples, with no limit to the reach."""
    pixels = BakeAo(samples=256, distance_m=100.0, **fields)(SilentRun(), raycaster(), **case.slots).pixels
    return pixels.reshape(-1)[case.texel_hits.index] / 255
