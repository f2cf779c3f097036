import numpy as np
import pytest

from bridge_server.stages.environment_light import STUDIO, ZonalLight, environment, lamp_patterns
from bridge_server.stages.shading import decode_srgb, encode_srgb, lobe_shares, neutral_tone, shade

WHITE_ROOM = (
    ZonalLight(axis=(0.0, 1.0, 0.0), color=(0.0, 0.0, 0.0), inner_rad=0.1, outer_rad=0.2),
    ZonalLight(axis=(0.0, 1.0, 0.0), color=(1.0, 1.0, 1.0), inner_rad=4.0, outer_rad=5.0),
)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def uniform_directions(count: int, seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, 3)))


def radiance(direction: np.ndarray, lights: tuple[ZonalLight, ...]) -> np.ndarray:
    total = np.zeros((len(direction), 3))
    for light in lights:
        angle = np.arccos(np.clip(direction @ unit(np.array(light.axis)), -1, 1))
        total += light.profile(angle)[:, None] * np.array(light.color)
    return total


def test_diffuse_table_equals_the_integral_over_the_hemisphere():
    directions = uniform_directions(400_000, 1).astype(np.float64)
    light = radiance(directions, STUDIO)
    normals = uniform_directions(12, 2)
    key, others = environment().diffused(normals)
    for normal, found in zip(normals, key + others, strict=True):
        cosine = np.maximum(directions @ normal, 0.0)
        expected = (light * cosine[:, None]).mean(axis=0) * 4.0  # 4 pi / pi
        np.testing.assert_allclose(found, expected, rtol=0.03, atol=0.01)


@pytest.mark.parametrize("roughness", [0.4, 0.7, 1.0])
def test_glossy_table_equals_the_integral_over_the_lobe(roughness):
    directions = uniform_directions(600_000, 3).astype(np.float64)
    light = radiance(directions, STUDIO)
    mirrors = uniform_directions(6, 4)
    key, others = environment().reflected(mirrors, np.full(6, roughness, np.float32))
    for mirror, found in zip(mirrors, key + others, strict=True):
        cosine = directions @ mirror
        half = np.sqrt(np.clip((1.0 + cosine) / 2.0, 0.0, 1.0))
        alpha_2 = roughness**4
        weight = np.maximum(cosine, 0.0) * alpha_2 / (half**2 * (alpha_2 - 1.0) + 1.0) ** 2
        expected = (light * weight[:, None]).sum(axis=0) / weight.sum()
        np.testing.assert_allclose(found, expected, rtol=0.06, atol=0.02)


def test_a_mirror_shows_the_lights_as_they_are():
    mirrors = uniform_directions(500, 5)
    key, others = environment().reflected(mirrors, np.zeros(500, np.float32))
    error = np.abs(key + others - radiance(mirrors.astype(np.float64), STUDIO)).max(axis=1)
    assert np.median(error) < 0.01
    assert error.max() < 1.0  # within one step of the table at the edge of a lamp of radiance 12


def test_key_directions_fill_the_lamp_evenly():
    light = STUDIO[0]
    directions = lamp_patterns(256).reshape(-1, 3)
    angle = np.arccos(np.clip(directions @ unit(np.array(light.axis)), -1, 1))
    assert angle.max() <= light.outer_rad + 1e-3
    assert np.mean(angle < light.outer_rad / 2) == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(unit(directions.mean(axis=0)), unit(np.array(light.axis)), atol=5e-3)


def test_every_pattern_of_lamp_rays_surrounds_the_lamps_middle():
    """The rays of one pixel lie on all sides of the lamp, or neighbouring pixels would see different lamps."""
    axis = unit(np.array(STUDIO[0].axis))
    for pattern in lamp_patterns(4).transpose(1, 0, 2):
        off = pattern - (pattern @ axis)[:, None] * axis
        assert np.linalg.norm(off.mean(axis=0)) < 0.4 * np.linalg.norm(off, axis=1).mean()


@pytest.mark.parametrize("metallic", [0.0, 1.0])
@pytest.mark.parametrize("roughness", [0.05, 0.3, 0.6, 1.0])
def test_white_furnace(metallic, roughness):
    """In a white room a white surface is as bright as the room, at every roughness and angle."""
    angles = np.linspace(0.0, 1.45, 40)
    count = len(angles)
    color = shade(
        environment(WHITE_ROOM),
        normals=np.tile(np.float32([0, 0, 1]), (count, 1)),
        to_viewer=np.stack([np.sin(angles), 0 * angles, np.cos(angles)], 1).astype(np.float32),
        base_color=np.ones((count, 3), np.float32),
        metallic=np.full(count, metallic, np.float32),
        roughness=np.full(count, roughness, np.float32),
        openness=np.ones(count, np.float32),
        key_visible=np.ones(count, np.float32),
    )
    np.testing.assert_allclose(color, 1.0, atol=0.01)


def test_lobe_shares_at_known_places():
    shares = lobe_shares()
    total = shares.sum(axis=0)
    assert total.max() <= 1.01
    smooth_headon = shares[:, 0, -1]
    np.testing.assert_allclose(smooth_headon, [1.0, 0.0], atol=0.02)
    cosine = (np.arange(len(total)) + 0.5) / len(total)
    roughest = 1.0 - cosine * np.log((1.0 + cosine) / cosine)  # closed form of the integral at roughness 1
    np.testing.assert_allclose(total[-1, 2:], roughest[2:], atol=0.03)


def test_shadow_takes_the_key_light_alone():
    lights = environment()
    common = {
        "normals": np.tile(np.float32([0, 1, 0]), (2, 1)),
        "to_viewer": np.tile(unit(np.array([0.0, 1.0, 1.0])), (2, 1)),
        "base_color": np.full((2, 3), 0.5, np.float32),
        "metallic": np.zeros(2, np.float32),
        "roughness": np.full(2, 0.9, np.float32),
    }
    shadowed = shade(lights, **common, openness=np.ones(2, np.float32), key_visible=np.array([0.0, 1.0], np.float32))
    assert 0.02 < shadowed[0].mean() < 0.7 * shadowed[1].mean()
    closed = shade(lights, **common, openness=np.array([0.0, 1.0], np.float32), key_visible=np.zeros(2, np.float32))
    assert closed[0].max() < 0.02 < closed[1].min()


def test_neutral_tone_keeps_base_colours_and_never_exceeds_white():
    greys = np.linspace(0.1, 0.75, 20, dtype=np.float32)[:, None].repeat(3, axis=1)
    np.testing.assert_allclose(neutral_tone(greys), greys - 0.04, atol=1e-6)
    bright = np.float32([[100.0, 1.0, 0.2], [5.0, 5.0, 5.0], [0.0, 0.0, 0.0]])
    toned = neutral_tone(bright)
    assert toned.max() <= 1.0
    assert toned.min() >= -1e-6
    ramp = neutral_tone(np.linspace(0, 20, 500, dtype=np.float32)[:, None].repeat(3, axis=1))[:, 0]
    assert np.all(np.diff(ramp) >= -1e-7)


def test_srgb_there_and_back():
    pixels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(encode_srgb(decode_srgb(pixels)), pixels)
    assert decode_srgb(np.uint8([188]))[0] == pytest.approx(0.5, abs=0.005)
