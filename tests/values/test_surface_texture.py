import numpy as np
import pytest

from bridge_server.values.surface import SurfacePlaces
from bridge_server.values.surface_texture import (
    SRGB_TO_LINEAR,
    AlphaMode,
    MaterialTextures,
    TextureField,
    TextureImage,
    Wrap,
    bilinear,
)

QUAD = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def locate_on_quad(positions_m, faces, points_m):
    """Analytic: the unit square in z = 0, split along its diagonal."""
    x, y = np.clip(points_m[:, 0], 0, 1), np.clip(points_m[:, 1], 0, 1)
    lower = y <= x
    first = np.stack([1 - x, x - y, y], 1)
    second = np.stack([1 - y, x, y - x], 1)
    return SurfacePlaces(
        faces=np.where(lower, 0, 1).astype(np.int32),
        barycentrics=np.where(lower[:, None], first, second).astype(np.float32),
    )


def field(material, **more):
    corner_uvs = np.stack([QUAD[:, 0], 1 - QUAD[:, 1]], 1)[FACES].astype(np.float32)
    return TextureField(
        positions_m=QUAD,
        faces=FACES,
        corner_uvs=corner_uvs,
        face_materials=np.zeros(2, np.int32),
        materials=(material,),
        **more,
    )


def at(*points):
    return np.array([(x, y, 0.3) for x, y in points], np.float32)


def linear(byte):
    value = byte / 255
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def test_texel_centres_give_the_stored_colour_and_the_middle_is_mixed_in_linear_light():
    pixels = np.array([[[255, 0, 0], [0, 0, 255]], [[0, 255, 0], [128, 128, 128]]], np.uint8)
    material = MaterialTextures(base_color_image=TextureImage(pixels=pixels))
    sample = field(material).sample(at((0.25, 0.75), (0.75, 0.75), (0.25, 0.25), (0.5, 0.75)), locate_on_quad)
    np.testing.assert_allclose(sample.base_color[0], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(sample.base_color[1], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(sample.base_color[2], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(sample.base_color[3], [0.5, 0, 0.5], atol=1e-6)


@pytest.mark.parametrize(
    ("wrap", "u", "expected"),
    [
        (Wrap.REPEAT, 1.125, 0), (Wrap.REPEAT, -0.125, 3), (Wrap.CLAMP, 1.6, 3), (Wrap.CLAMP, -3.0, 0),
        (Wrap.MIRROR, 1.125, 3), (Wrap.MIRROR, -0.125, 0), (Wrap.MIRROR, 2.125, 0),
    ],
)  # fmt: skip
def test_wrap_modes_per_axis(wrap, u, expected):
    row = (np.arange(4, dtype=np.uint8) * 60)[None, :, None].repeat(3, 2)
    across = bilinear(TextureImage(pixels=row, wrap_u=wrap), np.array([[u, 0.5]]), SRGB_TO_LINEAR)
    column = row.transpose(1, 0, 2)
    down = bilinear(TextureImage(pixels=column, wrap_v=wrap), np.array([[0.5, u]]), SRGB_TO_LINEAR)
    np.testing.assert_allclose(across[0, 0], linear(expected * 60), atol=1e-6)
    np.testing.assert_allclose(down[0, 0], linear(expected * 60), atol=1e-6)


def test_repeat_filters_across_the_edge():
    row = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    found = bilinear(TextureImage(pixels=row), np.array([[0.0, 0.5], [1.0, 0.5]]), SRGB_TO_LINEAR)
    np.testing.assert_allclose(found, 0.5, atol=1e-6)


def test_factors_metal_and_emission_multiply_their_images():
    metal = np.full((1, 1, 3), (9, 51, 204), np.uint8)
    glow = np.full((1, 1, 3), 255, np.uint8)
    material = MaterialTextures(
        base_color_factor=(0.5, 0.25, 1.0, 1.0),
        metallic_factor=0.5,
        roughness_factor=0.5,
        metallic_roughness_image=TextureImage(pixels=metal),
        emissive_factor=(0.0, 2.0, 0.0),
        emissive_image=TextureImage(pixels=glow),
    )
    sample = field(material).sample(at((0.3, 0.6)), locate_on_quad)
    np.testing.assert_allclose(sample.base_color[0], [0.5, 0.25, 1.0])
    np.testing.assert_allclose([sample.metallic[0], sample.roughness[0]], [0.4, 0.1], atol=1e-6)
    np.testing.assert_allclose(sample.emissive[0], [0, 2, 0])


@pytest.mark.parametrize(
    ("mode", "alpha", "expected"),
    [(AlphaMode.OPAQUE, 10, 1.0), (AlphaMode.MASK, 127, 0.0), (AlphaMode.MASK, 128, 1.0), (AlphaMode.BLEND, 51, 0.2)],
)
def test_alpha_modes(mode, alpha, expected):
    pixels = np.full((1, 1, 4), (255, 255, 255, alpha), np.uint8)
    material = MaterialTextures(base_color_image=TextureImage(pixels=pixels), alpha_mode=mode)
    sample = field(material).sample(at((0.5, 0.5)), locate_on_quad)
    assert sample.opacity[0] == pytest.approx(expected, abs=1e-6)


def test_corner_colours_multiply_and_interpolate():
    colors = np.ones((2, 3, 4), np.float32)
    colors[..., 1] = QUAD[FACES][..., 0]
    sample = field(MaterialTextures(), corner_colors=colors).sample(at((0.3, 0.9), (0.8, 0.1)), locate_on_quad)
    np.testing.assert_allclose(sample.base_color, [[1, 0.3, 1], [1, 0.8, 1]], atol=1e-6)


def test_a_texture_transform_and_the_second_set_apply():
    ramp = (np.arange(8, dtype=np.uint8) * 30)[None, :, None].repeat(3, 2)
    image = TextureImage(pixels=ramp, uv_set=1, uv_transform=(0.5, 0.0, 0.25, 0.0, 1.0, 0.0))
    second = np.zeros((2, 3, 2), np.float32)
    second[..., 0] = QUAD[FACES][..., 1]
    sample = field(MaterialTextures(base_color_image=image), second_uvs=second).sample(at((0.9, 0.375)), locate_on_quad)
    np.testing.assert_allclose(sample.base_color[0, 0], linear(90), atol=1e-6)  # u = 0.375 / 2 + 0.25: texel 3


def test_coordinates_that_are_not_finite_do_not_crash():
    row = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    assert np.isfinite(bilinear(TextureImage(pixels=row), np.array([[np.nan, np.inf]]), SRGB_TO_LINEAR)).all()


def test_a_field_survives_the_store():
    from bridge_server.pipeline.codec import decode, encode
    from bridge_server.values.surface_folded import FoldedField

    image = TextureImage(pixels=np.full((2, 2, 3), 7, np.uint8), wrap_u=Wrap.MIRROR)
    whole = field(MaterialTextures(base_color_image=image, alpha_mode=AlphaMode.MASK))
    folded = FoldedField(inner=whole, center_m=(0.0, 0.0, 0.0), right=(0.0, 1.0, 0.0), ahead=(1.0, 0.0, 0.0), sectors=2)
    found = decode(memoryview(b"".join(encode(folded))))
    points = at((0.3, 0.6), (-0.3, 0.6))
    np.testing.assert_array_equal(
        found.sample(points, locate_on_quad).base_color, folded.sample(points, locate_on_quad).base_color
    )
    assert found.inner.materials[0].base_color_image.wrap_u is Wrap.MIRROR


def slow_bilinear(image, u, v):
    """One coordinate, texel by texel, by the definition of each wrap mode."""
    height, width, _ = image.pixels.shape
    x, y = u * width - 0.5, v * height - 0.5
    found = np.zeros(3)
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for column in (int(np.floor(x)), int(np.floor(x)) + 1):
            weight = (1 - abs(x - column)) * (1 - abs(y - row))
            place = []
            for index, size, wrap in ((row, height, image.wrap_v), (column, width, image.wrap_u)):
                if wrap is Wrap.CLAMP:
                    place.append(min(max(index, 0), size - 1))
                elif wrap is Wrap.REPEAT:
                    place.append(index % size)
                else:
                    place.append(index % size if index // size % 2 == 0 else size - 1 - index % size)
            found += weight * SRGB_TO_LINEAR[image.pixels[tuple(place)]]
    return found


@pytest.mark.parametrize("wrap_u", list(Wrap))
@pytest.mark.parametrize("wrap_v", list(Wrap))
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (3, 11), (64, 2)])
def test_every_pair_of_wrap_modes_and_any_shape(shape, wrap_u, wrap_v):
    random = np.random.default_rng(shape[0])
    image = TextureImage(pixels=random.integers(0, 256, (*shape, 3)).astype(np.uint8), wrap_u=wrap_u, wrap_v=wrap_v)
    uvs = random.uniform(-4, 5, (60, 2))
    expected = [slow_bilinear(image, u, v) for u, v in uvs]
    np.testing.assert_allclose(bilinear(image, uvs, SRGB_TO_LINEAR), expected, atol=2e-5)


def test_a_huge_picture_is_read_to_the_texel():
    """32,768 texels across: a coordinate in single precision still names each of them."""
    width = 1 << 15
    pixels = np.zeros((2, width, 3), np.uint8)
    pixels[:, :, 0], pixels[:, :, 1] = np.arange(width) // 256, np.arange(width) % 256
    column = np.random.default_rng(0).integers(0, width, 500)
    uvs = np.column_stack([((column + 0.5) / width).astype(np.float32), np.full(500, 0.5)]).astype(np.float64)
    found = np.rint(bilinear(TextureImage(pixels=pixels), uvs, (np.arange(256) / 255).astype(np.float32)) * 255)
    np.testing.assert_array_equal(found[:, 0] * 256 + found[:, 1], column)
