"""Normal maps against closed forms: what a shader rebuilds from them is the surface that was baked."""

import numpy as np
import pytest

from bridge_server.run import SilentRun
from bridge_server.stages.bake_normal import BakeNormal
from bridge_server.values.mesh import Mesh
from tests.shapes import box, sphere, torus
from tests.stages.bake_cases import Case, case, height_field, plane


def shaded(found: Case, **fields: float) -> tuple[np.ndarray, np.ndarray]:
    """World normals as a shader computes them at the centre of each texel, and the places on the low poly."""
    assert found.texel_hits.supersample == 1
    pixels = BakeNormal(**fields)(SilentRun(), **found.slots).pixels
    assert pixels.dtype == np.uint16
    size = found.texel_hits.resolution_px
    stored = pixels.reshape(-1, 3)[found.texel_hits.index].astype(np.float64) / 65535 * 2 - 1
    assert pixels.shape == (size, size, 3)
    normal, tangent = found.low_at_texels(found.unwrapped.normals), found.low_at_texels(found.unwrapped.tangents)
    bitangent = np.sign(tangent[:, 3:]) * np.cross(normal, tangent[:, :3])
    world = stored[:, :1] * tangent[:, :3] + stored[:, 1:2] * bitangent + stored[:, 2:] * normal
    return world / np.linalg.norm(world, axis=1, keepdims=True), found.low_at_texels(found.unwrapped.positions_m)


def degrees(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((one * other).sum(axis=1), -1, 1)))


def test_a_sphere_shades_round() -> None:
    world, place = shaded(case(sphere(0.5, 3), sphere(0.5, 6)))
    error = degrees(world, place / np.linalg.norm(place, axis=1, keepdims=True))
    assert error.mean() < 0.1
    assert np.percentile(error, 99.9) < 0.6


def test_a_torus_shades_round_across_mirrored_and_cut_charts() -> None:
    world, place = shaded(case(torus(rows=32, columns=16), torus(rows=256, columns=128)))
    ring = place * np.float32([1, 0, 1])
    ring *= 0.5 / np.linalg.norm(ring, axis=1, keepdims=True)
    out = (place - ring) / np.linalg.norm(place - ring, axis=1, keepdims=True)
    error = degrees(world, out)
    assert error.mean() < 0.35  # the low poly's place is not quite the high poly's
    assert np.percentile(error, 99.5) < 2.0


def test_a_displaced_plane_has_the_slope_of_its_height() -> None:
    found = case(plane(), height_field(lambda x, y: 0.01 * np.sin(25 * x) + 0.008 * np.cos(31 * y), 300), size=256)
    world, place = shaded(found)
    slope = np.stack([-0.25 * np.cos(25 * place[:, 0]), 0.248 * np.sin(31 * place[:, 1]), np.ones(len(place))], axis=1)
    error = degrees(world, slope / np.linalg.norm(slope, axis=1, keepdims=True))
    assert error.mean() < 0.1
    assert error.max() < 1.5  # the rim, where the mesh ends


def test_green_points_up_in_the_picture() -> None:
    found = case(plane(), height_field(lambda x, y: 0.2 * x - 0.3 * y, 4), cage_offset_m=0.5)
    pixels = BakeNormal()(SilentRun(), **found.slots).pixels.astype(float) / 65535 * 2 - 1
    red, green, blue = pixels[128, 128]
    length = (1 + 0.04 + 0.09) ** 0.5
    uvs, positions = found.unwrapped.uvs, found.unwrapped.positions_m
    right = np.corrcoef(uvs[:, 0], positions[:, 0])[0, 1]
    up = np.corrcoef(-uvs[:, 1], positions[:, 1])[0, 1]
    assert abs(right) == pytest.approx(1.0)
    assert abs(up) == pytest.approx(1.0)
    assert (red, green, blue) == pytest.approx((-0.2 * right / length, 0.3 * up / length, 1 / length), abs=2e-4)


def test_hard_edges_of_the_high_poly_stay_hard_on_a_smooth_box() -> None:
    mesh = box((1.0, 0.8, 0.6))
    found = case(mesh, mesh)
    world, _ = shaded(found)
    low = found.unwrapped.welded_mesh()
    corners = low.positions_m[low.faces].astype(np.float64)
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    error = degrees(world, flat[found.texel_hits.low_face])
    assert np.median(error) < 0.01
    assert (error < 0.1).mean() > 0.99
    smooth, _ = shaded(found, hard_edge_angle_deg=180.0)
    assert degrees(smooth, flat[found.texel_hits.low_face]).mean() > 10


def test_a_box_with_hard_seams_bakes_flat_to_the_last_texel() -> None:
    mesh = box((1.0, 0.8, 0.6))
    for supersample in (1, 2):
        found = case(mesh, mesh, size=200, supersample=supersample, smooth=False)
        pixels = BakeNormal()(SilentRun(), **found.slots).pixels.astype(int)
        assert np.abs(pixels - np.array([32768, 32768, 65535])).max() <= 2


def test_mirrored_coordinates_bake_right_on_both_halves() -> None:
    from dataclasses import replace

    from bridge_server.stages.tangent_frames import mikktspace_tangents, split_by_tangent
    from bridge_server.stages.trace import Trace
    from tests.stages.bake_cases import rasterizer, raycaster

    base = case(plane(1.0, 3), height_field(lambda x, y: 0.01 * np.sin(25 * x) + 0.01 * np.cos(20 * y), 200))
    low = base.unwrapped
    turned = low.uvs.copy()
    left = low.positions_m[low.faces][:, :, 0].mean(axis=1) < 0
    fresh = np.concatenate([low.faces[left], low.faces[~left] + len(turned)])
    both = np.concatenate([turned * np.float32([1, 0.5]), (turned * np.float32([-1, 0.5]) + np.float32([1, 0.5]))])
    positions, normals = (np.concatenate([part, part]) for part in (low.positions_m, low.normals))
    split = split_by_tangent(fresh, mikktspace_tangents(positions, normals, both, fresh))
    mesh = replace(
        low, positions_m=positions[split.vertices], normals=normals[split.vertices], tangents=split.tangents,
        uvs=both[split.vertices], faces=split.faces, charts=np.repeat(np.int32([0, 1]), [left.sum(), (~left).sum()]),
        welded=np.concatenate([low.welded, low.welded])[split.vertices],
    )  # fmt: skip
    assert set(np.sign(split.tangents[:, 3])) == {-1.0, 1.0}
    hits = Trace(resolution_px=256, supersample=1)(
        SilentRun(), raycaster(), rasterizer(), high_poly=base.high_poly, unwrapped=mesh
    )
    world, place = shaded(Case(high_poly=base.high_poly, unwrapped=mesh, texel_hits=hits))
    slope = np.stack([-0.25 * np.cos(25 * place[:, 0]), 0.2 * np.sin(20 * place[:, 1]), np.ones(len(place))], axis=1)
    assert degrees(world, slope / np.linalg.norm(slope, axis=1, keepdims=True)).mean() < 0.1


def test_supersampling_only_smooths() -> None:
    high = height_field(lambda x, y: 0.01 * np.sin(25 * x), 200)
    one = BakeNormal()(SilentRun(), **case(plane(), high, 128, 1).slots).pixels.astype(float)
    three = BakeNormal()(SilentRun(), **case(plane(), high, 128, 3).slots).pixels.astype(float)
    assert np.abs(one - three).mean() / 65535 < 0.002
    empty = Mesh(positions_m=np.float32([[0, 0, 0], [1, 0, 0], [1, 1e-9, 0]]), faces=np.int32([[0, 1, 2]]))
    assert BakeNormal()(SilentRun(), **case(empty, plane(), 64).slots).pixels.shape == (64, 64, 3)
