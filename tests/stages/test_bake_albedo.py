"""Base colour and finish: linear averages, right places, whichever mesh the field hangs on."""

from dataclasses import replace

import numpy as np

from bridge_server.run import SilentRun
from bridge_server.stages.bake_albedo import BakeAlbedo, srgb_bytes
from bridge_server.stages.bake_metallic_roughness import BakeMetallicRoughness
from bridge_server.stages.field_sampling import same_faces
from bridge_server.values.mesh import HighPoly, Mesh
from bridge_server.values.surface import VertexField
from tests.shapes import painted, sphere
from tests.stages.bake_cases import Case, case, plane, psnr_db, raycaster


def linear(pixels: np.ndarray) -> np.ndarray:
    encoded = pixels.astype(np.float64) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def by_direction(mesh: Mesh) -> HighPoly:
    """Base colour that follows the direction from the origin."""
    unit = mesh.positions_m / np.linalg.norm(mesh.positions_m, axis=1, keepdims=True)
    return replace(painted(mesh), field=replace(painted(mesh).field, base_color=(unit * 0.5 + 0.5).astype(np.float32)))


def stored_and_expected(found: Case, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    place = found.low_at_texels(found.unwrapped.positions_m)
    expected = place / np.linalg.norm(place, axis=1, keepdims=True) * 0.5 + 0.5
    return linear(pixels.reshape(-1, 3)[found.texel_hits.index]), expected


def test_colours_of_a_sphere_come_out_above_40_db() -> None:
    found = case(sphere(0.5, 3), by_direction(sphere(0.5, 6)))
    albedo = BakeAlbedo()(SilentRun(), raycaster(), **found.slots)
    assert albedo.invented is None
    stored, expected = stored_and_expected(found, albedo.pixels)
    assert psnr_db(stored, expected) > 45


def test_a_field_on_another_mesh_is_found_by_its_nearest_place() -> None:
    high = by_direction(sphere(0.5, 5))
    other = replace(high, field=by_direction(sphere(0.502, 6)).field)
    found = case(sphere(0.5, 3), other)
    stored, expected = stored_and_expected(found, BakeAlbedo()(SilentRun(), raycaster(), **found.slots).pixels)
    assert psnr_db(stored, expected) > 45


def test_faces_that_clean_up_left_alone_are_recognised() -> None:
    before = sphere(0.5, 4)
    order = np.random.default_rng(0).permutation(len(before.faces))
    after = Mesh(
        positions_m=before.positions_m[::-1], faces=len(before.positions_m) - 1 - before.faces[order][:, [2, 1, 0]]
    )
    moved = after.positions_m.copy()
    moved[:40] *= np.float32(1.01)
    same = same_faces(Mesh(positions_m=moved, faces=after.faces), before)
    touched = (after.faces < 40).any(axis=1)
    np.testing.assert_array_equal(same.faces >= 0, ~touched)
    kept = np.flatnonzero(~touched)
    np.testing.assert_array_equal(same.faces[kept], order[kept])
    mine = moved[after.faces[kept]]
    matched = np.take_along_axis(mine, same.corners[kept][:, :, None], axis=1)
    np.testing.assert_array_equal(matched, before.positions_m[before.faces[same.faces[kept]]])
    source = by_direction(before)
    found = case(sphere(0.5, 3), replace(source, mesh=Mesh(positions_m=moved, faces=after.faces)))
    stored, expected = stored_and_expected(found, BakeAlbedo()(SilentRun(), raycaster(), **found.slots).pixels)
    assert psnr_db(stored, expected) > 45


def test_light_is_averaged_not_bytes() -> None:
    mesh = plane(1.0, 129)
    checks = np.indices((129, 129)).sum(axis=0).reshape(-1) % 2
    color = np.repeat(checks[:, None], 3, axis=1).astype(np.float32)
    field = VertexField(
        positions_m=mesh.positions_m,
        faces=mesh.faces,
        base_color=color,
        metallic=np.zeros(len(color), np.float32),
        roughness=np.ones(len(color), np.float32),
    )
    found = case(plane(), HighPoly(mesh=mesh, field=field, source="test"), size=32, supersample=4)
    pixels = BakeAlbedo()(SilentRun(), raycaster(), **found.slots).pixels
    grey = pixels[found.texel_hits.coverage].mean()
    assert abs(linear(np.array([grey]))[0] - 0.5) < 0.1
    assert grey > 170  # a mean of bytes would be 127


def test_metallic_and_roughness_keep_their_channels() -> None:
    found = case(sphere(0.5, 2), painted(sphere(0.5, 4), metallic=0.25, roughness=0.75), size=64)
    pixels = BakeMetallicRoughness()(SilentRun(), raycaster(), **found.slots).pixels
    assert pixels.shape == (64, 64, 2)
    np.testing.assert_array_equal(pixels, np.broadcast_to(np.uint8([64, 191]), (64, 64, 2)))


def test_srgb_encoding_meets_the_standard_at_known_points() -> None:
    light = np.float32([[[0.0, 1.0, 0.5], [0.0031308, 0.2140411, -1.0], [2.0, np.nan, 0.18]]])
    np.testing.assert_array_equal(srgb_bytes(light), np.uint8([[[0, 255, 188], [10, 127, 0], [255, 0, 118]]]))


def test_bakes_are_deterministic() -> None:
    found = case(sphere(0.5, 2), by_direction(sphere(0.5, 4)), size=64, supersample=2)
    one, two = (BakeAlbedo()(SilentRun(), raycaster(), **found.slots).pixels for _ in range(2))
    np.testing.assert_array_equal(one, two)
