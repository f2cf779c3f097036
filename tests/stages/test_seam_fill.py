"""Both sides of a UV seam show the same, unless the low poly has a hard edge there."""

from dataclasses import replace

import numpy as np
import pytest

from bridge_server.run import SilentRun
from bridge_server.stages.bake_albedo import BakeAlbedo
from bridge_server.stages.bake_normal import BakeNormal
from bridge_server.stages.gutter import Gutter, chart_map, gutter_for, gutter_of
from bridge_server.stages.map_object_normal import object_normals
from bridge_server.stages.seam_fill import between, seams_of
from bridge_server.stages.texel_average import interpolated, texel_means
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh import Mesh, UnwrappedMesh
from tests.accuracy.layouts import laid_out, traced
from tests.accuracy.test_color_and_openness import waves
from tests.shapes import box, painted, sphere
from tests.stages.bake_cases import Case, raycaster

SIZE_PX = 256
SHARES = (np.arange(7) + 0.5) / 7


def both_sides(low: UnwrappedMesh, hard: bool = False) -> tuple[np.ndarray, ...]:
    """Vertices (ends of each seam) as one chart and as the other has them, in the same order."""
    faces = low.welded[low.faces]
    opposite = opposite_half_edges(faces)
    half = np.flatnonzero(opposite > np.arange(len(opposite)))
    ends = [low.faces.reshape(-1)[h // 3 * 3 + (h % 3 + k) % 3] for h in (half, opposite[half]) for k in (0, 1)]
    here, there = np.stack(ends[:2], axis=1), np.stack(ends[:1:-1], axis=1)
    parted = np.abs(low.uvs[here] - low.uvs[there]).max(axis=(1, 2)) > 1e-6
    smooth = (low.normals[here] * low.normals[there]).sum(axis=2).min(axis=1) > 0.999
    chosen = parted & (~smooth if hard else smooth)
    return here[chosen], there[chosen]


def along(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Vertex values at places along each edge."""
    start, stop = values[ends[:, 0], None], values[ends[:, 1], None]
    return (start + (stop - start) * SHARES[:, None]).reshape(-1, values.shape[1])


def shown(pixels: np.ndarray, low: UnwrappedMesh, ends: np.ndarray) -> np.ndarray:
    """What a filter finds in the map along the edges."""
    return between(pixels.astype(np.float32), (along(low.uvs, ends) * len(pixels)).astype(np.float32))


@pytest.fixture(scope="module")
def bumpy() -> Case:
    mesh = sphere(0.5, 5)
    direction = mesh.positions_m / 0.5
    bumps = 0.5 + 0.004 * np.sin(direction * 21).prod(axis=1, keepdims=True)
    high = painted(Mesh(positions_m=(direction * bumps).astype(np.float32), faces=mesh.faces))
    field = replace(high.field, base_color=waves(mesh.positions_m).astype(np.float32))
    return traced(laid_out(sphere(0.5, 3), "planar"), replace(high, field=field), resolution_px=SIZE_PX)


def without_seams(found: Case) -> Gutter:
    return gutter_of(chart_map(found.texel_hits, found.unwrapped), found.unwrapped.padding_px)


def test_colours_agree_along_seams(bumpy: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = both_sides(bumpy.unwrapped)
    assert len(here) > 50

    def off() -> float:
        pixels = BakeAlbedo()(SilentRun(), raycaster(), **bumpy.slots).pixels
        return float(np.abs(shown(pixels, bumpy.unwrapped, here) - shown(pixels, bumpy.unwrapped, there)).mean())

    closed = off()
    monkeypatch.setattr("bridge_server.stages.bake_albedo.gutter_for", lambda *_: without_seams(bumpy))
    opened = off()
    print(f"seam error: {opened:.2f} of 255 without, {closed:.2f} with")
    assert closed < 0.4
    assert closed < opened / 3


def test_shaded_normals_agree_along_seams(bumpy: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    low = bumpy.unwrapped
    here, there = both_sides(low)

    def shaded(pixels: np.ndarray, ends: np.ndarray) -> np.ndarray:
        x, y, z = (shown(pixels, low, ends) / 65535 * 2 - 1).T
        normal, tangent = along(low.normals, ends), along(low.tangents, ends)
        sign = np.where(tangent[:, 3:] < 0, -1, 1)
        found = x[:, None] * tangent[:, :3] + y[:, None] * np.cross(normal, tangent[:, :3]) * sign + z[:, None] * normal
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def off_deg() -> float:
        pixels = BakeNormal()(SilentRun(), **bumpy.slots).pixels
        cosine = (shaded(pixels, here) * shaded(pixels, there)).sum(axis=1)
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())

    closed = off_deg()
    monkeypatch.setattr("bridge_server.stages.bake_normal.gutter_for", lambda *_: without_seams(bumpy))
    opened = off_deg()
    print(f"seam error: {opened:.2f} degrees without, {closed:.2f} with")
    assert closed < opened / 3


def test_hard_edges_are_left_alone() -> None:
    low = laid_out(box(), "planar", hard_edge_angle_deg=60.0)
    here, _ = both_sides(low, hard=True)
    assert len(here) >= 7
    assert len(seams_of(low, SIZE_PX).texels) == 0


def test_an_edge_of_the_high_poly_on_a_seam_stays_an_edge() -> None:
    """The low poly is smooth over the edges of a box, the high poly is not."""
    found = traced(laid_out(box(), "planar"), box(), resolution_px=64)
    plan = gutter_for(found.texel_hits, found.unwrapped)
    assert len(seams_of(found.unwrapped, 64).texels) > 0
    means = object_normals(found.high_poly, found.texel_hits, SilentRun())
    filled = plan.fill_directions(means, tangent_space=False)
    assert np.allclose(np.abs(filled).max(axis=2)[found.texel_hits.coverage], 1.0, atol=1e-5)


@pytest.mark.parametrize("layout", ["planar", "mirrored"])
def test_only_texels_outside_charts_change_and_positions_continue_across(layout: str) -> None:
    """``mirrored`` lays charts out half as wide as high, so that what is at right angles there is not in the map."""
    found = traced(laid_out(sphere(0.5, 3), layout), sphere(0.5, 4), resolution_px=SIZE_PX)
    low, hits = found.unwrapped, found.texel_hits
    corners = low.positions_m[low.faces]
    means = texel_means(
        hits, 3, lambda rows: interpolated(corners, hits.low_face[rows], hits.low_weights[rows]), SilentRun(), ""
    )
    plain, closed = without_seams(found).fill(means), gutter_for(hits, low).fill(means)
    changed = np.flatnonzero(np.abs(plain - closed).max(axis=2).reshape(-1) > 1e-7)
    assert set(changed) <= set(seams_of(low, SIZE_PX).texels)
    here, there = both_sides(low)
    texel_m = 1 / low.texel_density_px_per_m * low.atlas_px / SIZE_PX
    sides = [shown(closed, low, ends) for ends in (here, there)]
    gap = np.linalg.norm(sides[0] - sides[1], axis=1).mean() / texel_m
    off = np.mean([np.linalg.norm(side - along(low.positions_m, here), axis=1).mean() for side in sides]) / texel_m
    print(f"{layout}: sides {gap:.3f} texels apart, {off:.3f} texels off")
    assert gap < 0.1
    assert off < 0.1


def test_a_map_without_seams_and_an_empty_one() -> None:
    low = laid_out(
        Mesh(positions_m=np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), faces=np.int32([[0, 1, 2]])), "planar"
    )
    seams = seams_of(low, 32)
    assert len(seams.texels) == 0
    values = np.ones((32, 32, 3), np.float32)
    np.testing.assert_array_equal(seams.cross(values), values)
    np.testing.assert_array_equal(seams.cross_directions(values, tangent_space=True), values)
