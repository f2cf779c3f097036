import dataclasses
import io
import itertools

import numpy as np
import pytest
from PIL import Image

from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.errors import Cancelled
from bridge_server.run import CallbackRun, SilentRun
from bridge_server.stages.render import Render
from bridge_server.stages.render_subject import clay_subject, field_subject, mapped_subject
from bridge_server.stages.render_view import prepare_view, render_all_rows, render_view
from bridge_server.values.placement import Pivot, Placement
from bridge_server.values.texture import AlbedoMap, NormalMap, PackedMap, Packing
from tests import shapes
from tests.unwrapped_shapes import albedo_map, normal_map, packed_map, unwrapped_ball, unwrapped_box

AS_IT_IS = Placement(scale=1.0, translation_m=(0.0, 0.0, 0.0), pivot=Pivot.CENTER, height_cm=100.0)
SIDE_COLORS = {
    "+x": (200, 40, 40),
    "-x": (40, 200, 40),
    "+y": (40, 40, 200),
    "+z": (200, 200, 40),
    "-z": (40, 200, 200),
}


@pytest.fixture(scope="module")
def raycaster():
    return RAYCASTERS.load(RAYCASTERS.choose("auto"))


def flat_normals(size: int = 8) -> NormalMap:
    return NormalMap(pixels=np.tile(np.uint16([32768, 32768, 65535]), (size, size, 1)))


def matte_map(size: int = 8, occlusion: int = 255, roughness: int = 255, metallic: int = 0) -> PackedMap:
    pixels = np.tile(np.uint8([occlusion, roughness, metallic]), (size, size, 1))
    return PackedMap(packing=Packing.ORM, pixels=pixels)


def plain_albedo(color=(180, 180, 180), size: int = 8) -> AlbedoMap:
    return AlbedoMap(pixels=np.tile(np.uint8(color), (size, size, 1)))


def side_albedo(size: int = 96) -> AlbedoMap:
    """A colour a chart of ``unwrapped_box``: charts lie in a grid of 3 columns and 2 rows."""
    pixels = np.zeros((size, size, 3), np.uint8)
    order = ["+x", "-x", "+y", None, "+z", "-z"]
    for chart, side in enumerate(order):
        row, column = divmod(chart, 3)
        third, half = size // 3, size // 2
        color = SIDE_COLORS.get(side, (255, 255, 255))
        pixels[row * half : (row + 1) * half, column * third : (column + 1) * third] = color
    return AlbedoMap(pixels=pixels)


def photograph(subject, **view) -> np.ndarray:
    return render_view(SilentRun(), prepare_view(subject, **view))


def centre(picture: np.ndarray, share: float = 0.1) -> np.ndarray:
    size = len(picture)
    half = max(1, int(size * share / 2))
    return picture[size // 2 - half : size // 2 + half, size // 2 - half : size // 2 + half].reshape(-1, 3).mean(axis=0)


@pytest.mark.parametrize(
    ("azimuth", "elevation", "side"),
    [(0, 5, "+z"), (90, 5, "+x"), (180, 5, "-z"), (270, 5, "-x"), (0, 89, "+y")],
)
def test_each_side_of_a_painted_box_shows_its_own_colour(raycaster, azimuth, elevation, side):
    subject = mapped_subject(
        raycaster, unwrapped_box(), AS_IT_IS, normal=flat_normals(), albedo=side_albedo(), packed=matte_map()
    )
    picture = photograph(subject, azimuth_deg=azimuth, elevation_deg=elevation, size_px=64)
    seen, painted = centre(picture), np.array(SIDE_COLORS[side])
    assert seen[painted == 200].min() > 1.6 * seen[painted == 40].max(), (side, seen)


def test_a_picture_is_not_mirrored(raycaster):
    """A ball with a red +X half, seen from the front, is red on the viewer's right."""
    ball = unwrapped_ball(cells=6)
    albedo = np.full((96, 96, 3), 230, np.uint8)
    albedo[:48, :32] = (220, 20, 20)  # the +X chart
    subject = mapped_subject(
        raycaster, ball, AS_IT_IS, normal=flat_normals(), albedo=AlbedoMap(pixels=albedo), packed=matte_map()
    )
    picture = photograph(subject, azimuth_deg=0, elevation_deg=5, size_px=96).astype(int)
    redness = picture[48, :, 0] - picture[48, :, 2]
    assert redness[78:84].min() > 60
    assert np.abs(redness[12:40]).max() < 40


def test_normal_map_bends_the_light(raycaster):
    """On the front of a box, leaning every normal towards the key light brightens it, away darkens it."""
    light = {}
    for lean in (-0.7, 0.0, 0.7):
        vector = np.array([lean, -lean, np.sqrt(1 - 2 * lean * lean) if lean else 1.0])
        pixels = np.tile(np.rint((vector + 1) / 2 * 65535).astype(np.uint16), (8, 8, 1))
        subject = mapped_subject(
            raycaster,
            unwrapped_box(),
            AS_IT_IS,
            normal=NormalMap(pixels=pixels),
            albedo=plain_albedo(),
            packed=matte_map(),
        )
        light[lean] = centre(photograph(subject, azimuth_deg=0, elevation_deg=5, size_px=48)).mean()
    assert light[-0.7] > light[0.0] + 15  # towards -U and +V: left and up, where the key light is
    assert light[0.7] < light[0.0] - 15


def test_a_mirrored_chart_is_lit_like_a_straight_one(raycaster):
    """Same world normals, once through a mirrored chart with its normal map mirrored as well."""
    pictures = []
    for mirrored in (None, 4):
        vector = np.array([-0.5 if mirrored is None else 0.5, 0.3, 0.0])
        vector[2] = np.sqrt(1 - (vector**2).sum())
        pixels = np.tile(np.rint((vector + 1) / 2 * 65535).astype(np.uint16), (8, 8, 1))
        subject = mapped_subject(
            raycaster,
            unwrapped_box(mirrored_chart=mirrored),
            AS_IT_IS,
            normal=NormalMap(pixels=pixels),
            albedo=plain_albedo(),
            packed=matte_map(),
        )
        pictures.append(centre(photograph(subject, azimuth_deg=0, elevation_deg=5, size_px=48)))
    np.testing.assert_allclose(pictures[0], pictures[1], atol=2.0)


def test_occlusion_map_and_all_packings_reach_the_picture(raycaster):
    def brightness(packed: PackedMap) -> float:
        subject = mapped_subject(
            raycaster, unwrapped_ball(cells=6), AS_IT_IS, normal=flat_normals(), albedo=plain_albedo(), packed=packed
        )
        return float(centre(photograph(subject, azimuth_deg=180, elevation_deg=0, size_px=48), 0.5).mean())

    open_light = brightness(matte_map())
    assert brightness(matte_map(occlusion=60)) < open_light - 10
    mask = PackedMap(packing=Packing.MASK_MAP, pixels=np.tile(np.uint8([0, 255, 0, 0]), (8, 8, 1)))
    assert brightness(mask) == pytest.approx(open_light, abs=0.5)


def test_the_floor_is_darker_in_the_shadow(raycaster):
    subject = mapped_subject(
        raycaster, unwrapped_box((1, 2, 1)), AS_IT_IS, normal=flat_normals(), albedo=plain_albedo(), packed=matte_map()
    )
    view = prepare_view(subject, azimuth_deg=0, elevation_deg=18, size_px=96)
    # the key light stands to the left and in front, so its shadow falls to the right and behind
    shadow = view.floor.key.at(np.float32([1.0, -1.0]), np.float32([-0.8, 0.8]))
    assert shadow[0] < 0.3
    assert shadow[1] == pytest.approx(1.0, abs=0.02)
    contact = view.floor.openness.at(np.float32([0.52, 2.5]), np.float32([0.0, 0.0]))
    assert contact[0] < 0.75 < contact[1]
    assert view.floor.key.at(np.float32([50.0]), np.float32([50.0]))[0] == pytest.approx(1.0, abs=1e-3)


def test_no_shadow_acne_on_a_coarse_smooth_ball(raycaster):
    """Where the key light meets the ball, nothing of the ball shadows it, however flat its triangles are."""
    ball = unwrapped_ball(cells=4)
    subject = mapped_subject(
        raycaster, ball, AS_IT_IS, normal=flat_normals(), albedo=plain_albedo(), packed=matte_map()
    )
    picture = photograph(subject, azimuth_deg=0, elevation_deg=5, size_px=128)
    lit = picture[36:56, 44:64].astype(float).mean(axis=2)
    assert np.abs(np.diff(lit, axis=1)).max() < 6
    assert np.abs(np.diff(lit, axis=0)).max() < 6


def test_an_open_mesh_seen_from_inside_is_still_lit(raycaster):
    whole = unwrapped_box()
    open_box = dataclasses.replace(whole, faces=whole.faces[whole.charts != 4], charts=whole.charts[whole.charts != 4])
    subject = mapped_subject(
        raycaster, open_box, AS_IT_IS, normal=flat_normals(), albedo=plain_albedo(), packed=matte_map()
    )
    picture = photograph(subject, azimuth_deg=0, elevation_deg=5, size_px=48)
    assert centre(picture).min() > 25


def test_clay_shows_edges_and_high_poly_shows_its_field(raycaster):
    subject = mapped_subject(
        raycaster, unwrapped_box(), AS_IT_IS, normal=flat_normals(), albedo=plain_albedo(), packed=matte_map()
    )
    clay = photograph(clay_subject(subject), azimuth_deg=0, elevation_deg=5, size_px=96)
    row = clay[48, 20:76].astype(int).mean(axis=1)
    assert row.max() - row.min() > 50  # the diagonal of the front
    high = field_subject(raycaster, shapes.painted(shapes.sphere(0.5, 3), color=(0.7, 0.05, 0.05)), AS_IT_IS)
    red, green, _ = centre(photograph(high, azimuth_deg=0, elevation_deg=5, size_px=48))
    assert red > 2 * green


def test_placement_changes_nothing_but_the_scale(raycaster):
    """The camera frames the placed asset: a hundred times larger and elsewhere, the picture stays the same."""
    far = Placement(scale=100.0, translation_m=(30.0, 50.0, -20.0), pivot=Pivot.CUSTOM, height_cm=10_000.0)
    pictures = [
        photograph(
            mapped_subject(
                raycaster, unwrapped_ball(), where, normal=normal_map(), albedo=albedo_map(), packed=packed_map()
            ),
            azimuth_deg=35,
            elevation_deg=18,
            size_px=64,
        ).astype(int)
        for where in (AS_IT_IS, far)
    ]
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.5


@pytest.fixture(scope="module")
def small_job():
    return {
        "unwrapped": unwrapped_ball(),
        "normal": normal_map(),
        "albedo": albedo_map(),
        "packed": packed_map(),
        "placement": AS_IT_IS,
    }


def test_the_stage_makes_every_picture_and_the_same_bytes_again(raycaster, small_job):
    stage = Render(preview_px=128, turntable_px=64, turntable_frames=5)
    high_poly = shapes.painted(shapes.sphere(0.5, 3))
    first = stage(SilentRun(), raycaster, high_poly=high_poly, **small_job)
    assert first == stage(SilentRun(), raycaster, high_poly=high_poly, **small_job)
    assert Image.open(io.BytesIO(first.preview_png)).size == (128, 128)
    assert Image.open(io.BytesIO(first.thumbnail_png)).size == (256, 256)
    comparison = Image.open(io.BytesIO(first.comparison_png))
    assert comparison.width == 3 * comparison.height
    turntable = Image.open(io.BytesIO(first.turntable_webp))
    assert (turntable.format, turntable.n_frames, turntable.info["loop"]) == ("WEBP", 5, 0)
    frames = []
    for number in range(5):
        turntable.seek(number)
        frames.append(np.asarray(turntable.convert("RGB"), dtype=int))
    assert all(np.abs(a - b).mean() > 0.5 for a, b in itertools.pairwise(frames))


def test_bands_and_threads_do_not_show(raycaster, small_job):
    parts = {key: small_job[key] for key in ("normal", "albedo", "packed")}
    subject = mapped_subject(raycaster, small_job["unwrapped"], AS_IT_IS, **parts)
    wide = photograph(subject, azimuth_deg=35, elevation_deg=18, size_px=256)
    view = prepare_view(subject, azimuth_deg=35, elevation_deg=18, size_px=256)
    np.testing.assert_array_equal(wide, render_all_rows(view))


def test_cancelling_stops_in_the_middle_of_the_turntable(raycaster, small_job):
    told: list[float] = []

    def cancel(fraction: float, note: str) -> None:
        told.append(fraction)
        if "turntable" in note and fraction > 0.6:
            raise Cancelled

    with pytest.raises(Cancelled):
        Render(preview_px=64, turntable_px=96, turntable_frames=120)(CallbackRun(cancel), raycaster, **small_job)
    assert 0.6 < max(told) < 0.8


@pytest.mark.slow
def test_the_default_pictures_are_small_enough(raycaster, small_job):
    pictures = Render()(SilentRun(), raycaster, **small_job)
    assert len(pictures.turntable_webp) < 1_000_000
    assert len(pictures.preview_png) < 3_000_000
