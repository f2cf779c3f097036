"""The built-in generator against shapes whose solid is known, and the properties that every result must have."""

import numpy as np
import pytest

from bridge_server.backends.generator.base import GenerationSettings
from bridge_server.backends.generator.embedded import EmbeddedGenerator, cells_along
from bridge_server.backends.raycaster.embree import EmbreeRaycaster
from bridge_server.errors import Cancelled, StageFailed
from bridge_server.run import CallbackRun, SilentRun
from bridge_server.stages.generate import Generate
from bridge_server.values.image import Cutout, Cutouts, View
from bridge_server.values.mesh import HighPoly, Mesh, area_m2, is_watertight, vertex_normals, volume_m3
from bridge_server.values.surface import SurfacePlaces

SIZE = 320
SETTINGS = GenerationSettings(resolution=256, sparse_structure_steps=8, shape_steps=8, texture_steps=8, seed=0)
y_px, x_px = np.mgrid[:SIZE, :SIZE] + 0.5


def soft(distance_px: np.ndarray) -> np.ndarray:
    return np.clip(distance_px + 0.5, 0.0, 1.0)


def disc(radius: float = 120.0, x: float = 160.0, y: float = 160.0) -> np.ndarray:
    return soft(radius - np.hypot(x_px - x, y_px - y))


def rectangle(half_width: float, half_height: float, x: float = 160.0, y: float = 160.0) -> np.ndarray:
    return soft(np.minimum(half_width - np.abs(x_px - x), half_height - np.abs(y_px - y)))


def cutout(opacity: np.ndarray, view: View = View.FRONT, colors: np.ndarray | None = None) -> Cutout:
    painted = np.full((SIZE, SIZE, 3), 128) if colors is None else colors
    pixels = np.dstack([painted, np.round(opacity * 255)]).astype(np.uint8)
    return Cutout(pixels=pixels, view=view, name=f"{view}.png")


def generate(*cutouts: Cutout, settings: GenerationSettings = SETTINGS) -> HighPoly:
    return EmbeddedGenerator().generate(Cutouts(cutouts=cutouts, method="test"), settings, SilentRun())


def genus(mesh: Mesh) -> int:
    return 1 - (len(mesh.positions_m) - len(mesh.faces) // 2) // 2


def colors_at(high_poly: HighPoly, vertices: np.ndarray) -> np.ndarray:
    """Linear base colour at vertices, by a locate that names each vertex's own face."""
    faces = high_poly.mesh.faces
    first = np.zeros(len(high_poly.mesh.positions_m), np.int64)
    first[faces[:, 0]] = np.arange(len(faces))
    owned = vertices[faces[first[vertices], 0] == vertices]

    def own_place(positions_m: np.ndarray, faces: np.ndarray, points_m: np.ndarray) -> SurfacePlaces:
        weights = np.tile(np.array([1, 0, 0], np.float32), (len(points_m), 1))
        return SurfacePlaces(faces=first[owned].astype(np.int32), barycentrics=weights)

    points = high_poly.mesh.positions_m[owned]
    return np.hstack([points, high_poly.field.sample(points, own_place).base_color])


def outline_overlap(mesh: Mesh, opacity: np.ndarray, view: View = View.FRONT) -> float:
    """IoU of a matte with the mesh as parallel rays through the pixel centres see it."""
    inside = opacity > 0.5
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    px_per_m = rows[-1] + 1 - rows[0]
    across = (x_px - (columns[0] + columns[-1] + 1) / 2).ravel() / px_per_m
    up = (rows[-1] + 1 - y_px).ravel() / px_per_m
    zero = np.zeros_like(up)
    origins = {View.FRONT: (across, up, zero + 9), View.LEFT: (zero + 9, up, -across)}[view]
    direction = {View.FRONT: (0, 0, -1), View.LEFT: (-1, 0, 0)}[view]
    scene = EmbreeRaycaster().scene(mesh.positions_m, mesh.faces)
    directions = np.tile(np.float32(direction), (len(up), 1))
    seen = scene.first_hits(np.stack(origins, 1).astype(np.float32), directions).faces.reshape(SIZE, SIZE) >= 0
    return float((seen & inside).sum() / (seen | inside).sum())


def check_solid(high_poly: HighPoly, holes: int = 0) -> None:
    mesh = high_poly.mesh
    assert is_watertight(mesh)
    assert volume_m3(mesh) > 0
    assert genus(mesh) == holes
    low, high = mesh.bounds_m
    assert abs(low[1]) < 1e-6
    assert 0.98 < high[1] < 1.02
    assert np.isfinite(mesh.positions_m).all()
    assert np.allclose(high_poly.field.weights.sum(0) <= 1.001, True)


def test_sphere_from_one_disc() -> None:
    made = generate(cutout(disc()))
    check_solid(made)
    assert volume_m3(made.mesh) == pytest.approx(np.pi / 6, rel=0.04)
    assert area_m2(made.mesh) == pytest.approx(np.pi, rel=0.03)
    from_center = np.linalg.norm(made.mesh.positions_m - [0, 0.5, 0], axis=1)
    assert np.abs(from_center - 0.5).max() < 0.015
    assert not made.notices


@pytest.mark.parametrize("views", [tuple(View), (View.FRONT, View.LEFT), (View.BACK, View.RIGHT)])
def test_sphere_from_circles_on_several_sides(views: tuple[View, ...]) -> None:
    made = generate(*(cutout(disc(), view) for view in views))
    check_solid(made)
    assert volume_m3(made.mesh) == pytest.approx(np.pi / 6, rel=0.04)
    assert np.abs(np.linalg.norm(made.mesh.positions_m - [0, 0.5, 0], axis=1) - 0.5).max() < 0.02
    assert not made.notices


def test_long_bar_is_as_thick_as_it_is_wide() -> None:
    made = generate(cutout(rectangle(20, 120)))
    check_solid(made)
    low, high = made.mesh.bounds_m
    assert (high - low)[2] == pytest.approx((high - low)[0], rel=0.1)


def test_ring_keeps_its_hole() -> None:
    made = generate(cutout(np.minimum(disc(120), 1 - disc(60))))
    check_solid(made, holes=1)
    assert np.ptp(made.mesh.positions_m[:, 2]) == pytest.approx(60 / 240, rel=0.2)


def figure() -> np.ndarray:
    """Head, body, two legs, one arm: what an outline may be."""
    parts = [disc(34, 160, 60), rectangle(45, 60, 160, 145), rectangle(16, 60, 132, 250), rectangle(14, 60, 185, 250)]
    parts.append(rectangle(40, 12, 230, 120))
    return np.max(parts, axis=0)


def test_silhouette_stays_that_of_the_photo() -> None:
    made = generate(cutout(figure()))
    check_solid(made)
    assert outline_overlap(made.mesh, figure()) > 0.97
    fine = generate(cutout(figure()), settings=GenerationSettings(**{**settings_dict(), "resolution": 512}))
    assert outline_overlap(fine.mesh, figure()) > 0.985


def settings_dict() -> dict[str, int]:
    return {name: getattr(SETTINGS, name) for name in SETTINGS.__dataclass_fields__}


def test_both_silhouettes_of_a_crossed_solid_are_kept() -> None:
    side = np.max([disc(40, 150, 60), rectangle(30, 115, 160, 195)], axis=0)
    made = generate(cutout(figure()), cutout(side, View.LEFT))
    assert is_watertight(made.mesh)
    assert outline_overlap(made.mesh, figure()) > 0.97
    assert outline_overlap(made.mesh, side, View.LEFT) > 0.97
    assert not made.notices


def test_box_from_rectangles_is_nearer_to_a_box_than_to_a_cylinder() -> None:
    made = generate(*(cutout(rectangle(90, 120), view) for view in View))
    check_solid(made)
    filled = volume_m3(made.mesh) / (180 / 240) ** 2
    assert 0.9 < filled < 1.0


def test_views_that_contradict_are_named() -> None:
    odd = cutout(np.max([rectangle(20, 120), rectangle(110, 20, y=60)], axis=0), View.BACK)
    made = generate(cutout(disc()), odd, cutout(disc(), View.LEFT))
    assert is_watertight(made.mesh)
    told = [notice.message for notice in made.notices if notice.code == "view_disagrees"]
    assert any("back.png" in message and "%" in message for message in told)
    assert not any("left.png" in message for message in told)


@pytest.mark.parametrize("view", list(View))
def test_a_single_view_faces_where_its_tag_says(view: View) -> None:
    """A thin arm to the right of the picture, seen from each side."""
    picture = np.max([disc(80), rectangle(60, 8, 240, 160)], axis=0)
    mesh = generate(cutout(picture, view)).mesh
    low, high = mesh.bounds_m
    axis = 0 if view in (View.FRONT, View.BACK) else 2
    ends = {View.FRONT: 1, View.BACK: -1, View.LEFT: -1, View.RIGHT: 1}[view]
    thick = {0: 2, 2: 0}[axis]
    assert (high - low)[axis] > 1.3 * (high - low)[thick]
    tip = mesh.positions_m[:, axis] * ends > 0.45
    assert tip.any()
    assert not (mesh.positions_m[:, axis] * -ends > 0.48 * np.ptp(mesh.positions_m[:, axis]) + 0.1).any()
    assert np.abs(mesh.positions_m[tip][:, 1] - 0.5).max() < 0.1


def test_front_shows_the_photo_at_its_own_resolution() -> None:
    """A pattern of 8 px squares is far finer than the grid; colours at the front are still those of the photo."""
    squares = ((x_px // 8 + y_px // 8) % 2)[..., None] * np.array([180.0, 60, 120]) + 40
    made = generate(cutout(disc(), colors=squares))
    facing = np.flatnonzero(vertex_normals(made.mesh)[:, 2] > 0.7)
    rows = colors_at(made, facing)
    column, row = 160 + rows[:, 0] * 240, 280 - rows[:, 1] * 240
    away = np.minimum.reduce([column % 8, 8 - column % 8, row % 8, 8 - row % 8]) > 1.5
    expected = squares[row[away].astype(int), column[away].astype(int)] / 255.0
    linear = np.where(expected <= 0.04045, expected / 12.92, ((expected + 0.055) / 1.055) ** 2.4)
    assert away.sum() > 500
    assert np.abs(rows[away, 3:] - linear).max() < 0.03


def test_feature_in_the_middle_is_not_repeated_at_the_back() -> None:
    colors = np.where(disc(30)[..., None] > 0.5, [250, 240, 20], [30, 60, 160])
    made = generate(cutout(disc(), colors=colors))
    normals = vertex_normals(made.mesh)[:, 2]
    front = colors_at(made, np.flatnonzero(normals > 0.99))[:, 3:]
    back = colors_at(made, np.flatnonzero(normals < -0.9))[:, 3:]
    assert front[:, 0].mean() > 0.8
    assert back[:, 0].max() < 0.1
    assert np.abs(back - back.mean(0)).max() < 0.05


def test_each_side_gets_its_own_photo() -> None:
    paint = {View.FRONT: (250, 0, 0), View.BACK: (0, 250, 0), View.LEFT: (0, 0, 250), View.RIGHT: (250, 250, 0)}
    made = generate(*(cutout(disc(), view, np.full((SIZE, SIZE, 3), color)) for view, color in paint.items()))
    normals = vertex_normals(made.mesh)
    directions = {View.FRONT: (0, 0, 1), View.BACK: (0, 0, -1), View.LEFT: (1, 0, 0), View.RIGHT: (-1, 0, 0)}
    for view, direction in directions.items():
        seen = colors_at(made, np.flatnonzero(normals @ np.array(direction) > 0.97))[:, 3:].mean(0)
        np.testing.assert_allclose(seen, np.array(paint[view]) / 250.0, atol=0.07)


def test_hidden_places_do_not_take_the_colour_of_what_hides_them() -> None:
    """A knob stands before the right half of a plate; from the left only its own side may be yellow."""
    front_colors = np.where(disc(30, 160, 160)[..., None] > 0.5, [250, 250, 0], [0, 0, 250])
    side = np.max([rectangle(20, 120, 190), rectangle(60, 12, 130)], axis=0)
    made = generate(
        cutout(rectangle(120, 120), colors=front_colors), cutout(side, View.LEFT, np.full((320, 320, 3), 90))
    )
    back = colors_at(made, np.flatnonzero(vertex_normals(made.mesh)[:, 2] < -0.9))[:, 3:]
    assert np.median(back[:, 0]) < 0.1


def test_same_input_gives_the_same_bytes() -> None:
    first, second = (generate(cutout(figure())) for _ in range(2))
    np.testing.assert_array_equal(first.mesh.positions_m, second.mesh.positions_m)
    np.testing.assert_array_equal(first.mesh.faces, second.mesh.faces)
    np.testing.assert_array_equal(first.field.uvs, second.field.uvs)


def test_hostile_outlines_give_closed_solids() -> None:
    noise = np.random.default_rng(2).random((SIZE, SIZE)) > 0.5
    thin = soft(0.8 - np.abs(x_px - y_px) / np.sqrt(2))
    touching = np.max([rectangle(40, 40, 120, 120), rectangle(40, 40, 200, 200)], axis=0)
    whole = np.ones((SIZE, SIZE))
    speck = np.zeros((SIZE, SIZE))
    speck[5:7, 5:8] = 1.0
    with pytest.raises(StageFailed) as caught:
        generate(cutout(thin))
    assert caught.value.reason == "NO_SOLID"
    assert "view_disagrees" in {notice.code for notice in generate(cutout(touching)).notices}
    for opacity in (noise.astype(float), whole, speck):
        mesh = generate(cutout(opacity)).mesh
        assert is_watertight(mesh)
        assert volume_m3(mesh) > 0
        assert np.isfinite(mesh.positions_m).all()


def test_empty_cutout_is_refused_by_name() -> None:
    with pytest.raises(StageFailed) as caught:
        generate(cutout(disc()), cutout(np.zeros((SIZE, SIZE)), View.BACK))
    assert (caught.value.reason, caught.value.subject) == ("NO_SUBJECT", "back.png")


def test_cancel_reaches_the_generator_soon() -> None:
    told: list[float] = []

    def watch(fraction: float, note: str) -> None:
        told.append(fraction)
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        Generate(resolution=256)(
            CallbackRun(watch), EmbeddedGenerator(), cutouts=Cutouts(cutouts=(cutout(disc()),), method="test")
        )
    assert 0.5 < told[-1] < 0.6
    assert np.diff(told).max() < 0.2  # no long way between two checkpoints


def test_quality_sets_the_grid() -> None:
    assert [cells_along(r) for r in (512, 1024, 1536)] == [120, 176, 232]
    assert EmbeddedGenerator.availability().available
