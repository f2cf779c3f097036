import itertools
from dataclasses import replace

import numpy as np
import pytest

from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.errors import Cancelled, PresetError, StageFailed
from bridge_server.pipeline.preset_library import default_library
from bridge_server.run import CallbackRun, SilentRun
from bridge_server.stages.lods import Lods
from bridge_server.values.mesh import edge_face_counts, is_watertight, volume_m3
from tests.unwrapped_shapes import CUBE_SIDES, GUTTER, unwrapped_ball, unwrapped_box


@pytest.fixture(scope="module")
def raycaster():
    return RAYCASTERS.load(RAYCASTERS.choose("auto"))


@pytest.fixture(scope="module")
def mesh_filter():
    return MESH_FILTERS.load(MESH_FILTERS.choose("auto"))


@pytest.fixture(scope="module")
def ball():
    return unwrapped_ball(0.5, 30)


@pytest.fixture(scope="module")
def small_ball():
    return unwrapped_ball(0.5, 20)


@pytest.fixture(scope="module")
def chain(mesh_filter, raycaster, ball):
    return Lods(count=4)(SilentRun(), mesh_filter, raycaster, unwrapped=ball)


def uv_areas(mesh):
    a, b, c = mesh.uvs.astype(np.float64)[mesh.faces].transpose(1, 0, 2)
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def rows(mesh):
    return {row.tobytes() for row in np.concatenate([mesh.positions_m, mesh.normals, mesh.uvs], axis=1)}


def test_each_level_halves_the_triangles_and_level_0_is_the_mesh_itself(chain, ball):
    assert chain.lods[0].mesh is ball
    assert [len(lod.mesh.faces) for lod in chain.lods] == pytest.approx([10800, 5400, 2700, 1350], rel=0.01)
    assert not chain.notices


def test_budgets_are_kept_level_by_level(mesh_filter, raycaster, small_ball):
    levels = Lods(count=4, budgets="3000, 500")(SilentRun(), mesh_filter, raycaster, unwrapped=small_ball).lods
    assert [len(lod.mesh.faces) for lod in levels[1:]] == pytest.approx([3000, 500, 250], rel=0.01)
    assert all(len(lod.mesh.faces) <= most for lod, most in zip(levels[1:], (3000, 500, 250), strict=True))


def test_a_budget_no_lower_than_the_level_before_is_left_out_and_told(mesh_filter, raycaster, small_ball):
    chain = Lods(count=4, budgets="900000,500")(SilentRun(), mesh_filter, raycaster, unwrapped=small_ball)
    assert [len(lod.mesh.faces) for lod in chain.lods[1:]] == pytest.approx([500, 250], rel=0.02)
    assert [notice.code for notice in chain.notices] == ["lod_budget_left_out"]
    assert f"{len(small_ball.faces):,}" in chain.notices[0].message


@pytest.mark.parametrize("budgets", ["many", "500,1000", "0", "12,,4"])
def test_a_preset_with_such_budgets_is_refused_before_any_work(budgets):
    with pytest.raises(PresetError, match=r"lods\.budgets.*4000,1500,400"):
        default_library().load("prop_UE5_standard").with_overrides([f"lods.budgets={budgets}"])


@pytest.mark.parametrize("budgets", ["many", "500,1000", "0", "12,,4"])
def test_budgets_that_make_no_sense_are_refused(mesh_filter, raycaster, ball, budgets):
    with pytest.raises(StageFailed, match="budgets"):
        Lods(count=4, budgets=budgets)(SilentRun(), mesh_filter, raycaster, unwrapped=ball)


def test_a_finer_screen_shows_coarse_levels_later(mesh_filter, raycaster, small_ball):
    coarse, fine = (
        Lods(count=2, screen_lines=lines)(SilentRun(), mesh_filter, raycaster, unwrapped=small_ball).lods[1]
        for lines in (1080, 8640)
    )
    diagonal = small_ball.welded_mesh().diagonal_m
    assert fine.screen_size < coarse.screen_size
    assert fine.error_m / diagonal * fine.screen_size * 8640 <= 1.001


def test_levels_have_no_cracks(chain):
    for lod in chain.lods:
        assert lod.seam_gap_m == 0.0
        assert is_watertight(lod.mesh.welded_mesh())
        assert volume_m3(lod.mesh.welded_mesh()) == pytest.approx(np.pi / 6, rel=0.03)


def test_vertices_by_a_filter_that_knows_no_texture_are_those_of_level_0(raycaster, ball):
    plain = Lods(count=4)(SilentRun(), MESH_FILTERS.load("simplification"), raycaster, unwrapped=ball)
    given = rows(ball)
    for lod in plain.lods[1:]:
        assert rows(lod.mesh) <= given


def meant_on_the_ball(uvs, sides):
    """The place that a texture coordinate means: charts are the sides of a cube, blown up to the ball."""
    local = (uvs * (3.0, 2.0) - np.stack([sides % 3, sides // 3], 1) - GUTTER) / (1 - 2 * GUTTER)
    normal, right, up = np.array(CUBE_SIDES, np.float64)[sides].transpose(1, 0, 2)
    cube = normal + right * (2 * local[:, :1] - 1) + up * (1 - 2 * local[:, 1:])
    return 0.5 * cube / np.linalg.norm(cube, axis=1, keepdims=True)


def test_vertices_that_moved_shade_as_the_place_that_their_texture_means(chain, ball):
    given = rows(ball)
    for lod in chain.lods[1:]:
        mesh, side = lod.mesh, np.zeros(len(lod.mesh.uvs), int)
        side[mesh.faces.reshape(-1)] = np.repeat(mesh.charts, 3)
        meant = meant_on_the_ball(mesh.uvs.astype(np.float64), side)
        cosines = np.einsum("ij,ij->i", mesh.normals, meant / 0.5)
        assert np.degrees(np.arccos(np.clip(cosines, -1, 1))).max() < 1.0
        assert len(rows(mesh) - given) > len(mesh.uvs) / 2, "hardly a vertex moved: the best places are not taken"


def test_coordinates_for_baked_light_follow_those_of_the_maps(mesh_filter, raycaster, ball):
    """Here they are the others mirrored and halved, so they have to stay so."""
    light = (0.5 * (1.0 - ball.uvs)).astype(np.float32)
    given = replace(ball, lightmap_uvs=light, lightmap_px=64)
    for lod in Lods(count=3)(SilentRun(), mesh_filter, raycaster, unwrapped=given).lods[1:]:
        inside = np.abs(0.5 * (1.0 - lod.mesh.uvs) - lod.mesh.lightmap_uvs)
        assert inside.max() < 2e-4  # a vertex may lie a little outside of its chart, and means the nearest place of it
        assert np.median(inside) < 1e-6


def test_charts_keep_their_place_and_never_fold(chain, ball):
    for lod in chain.lods:
        mesh = lod.mesh
        assert (uv_areas(mesh) * np.sign(uv_areas(ball)[0]) > 0).all()
        cell = np.stack([mesh.charts % 3, mesh.charts // 3], 1) / (3.0, 2.0)
        local = (mesh.uvs[mesh.faces] - cell[:, None]) * (3.0, 2.0)
        assert local.min() >= GUTTER - 1e-3
        assert local.max() <= 1 - GUTTER + 1e-3
        assert set(np.unique(mesh.charts)) == set(range(6))


def test_the_texture_does_not_slide(chain):
    """The place that a texture coordinate means on the ball is known: compare it with where a level shows it."""
    weights = np.random.default_rng(0).dirichlet((1, 1, 1), 8)
    worst = []
    for lod in chain.lods:
        mesh = lod.mesh
        uv = np.einsum("kc,fcd->fkd", weights, mesh.uvs[mesh.faces]).reshape(-1, 2)
        shown = np.einsum("kc,fcd->fkd", weights, mesh.positions_m[mesh.faces]).reshape(-1, 3)
        side = np.repeat(mesh.charts, len(weights))
        meant = meant_on_the_ball(uv, side)
        worst.append(np.quantile(np.linalg.norm(shown - meant, axis=1), 0.99))
    assert worst[0] < 1e-3
    assert worst[1] < 8e-3
    assert worst[3] < 0.035  # under 4 % of the diameter at an eighth of the triangles


def test_errors_and_screen_sizes_are_consistent(chain):
    errors = [lod.error_m for lod in chain.lods]
    sizes = [lod.screen_size for lod in chain.lods]
    assert errors[0] == 0.0
    assert sizes[0] == 1.0
    assert all(later > earlier for earlier, later in itertools.pairwise(errors))
    assert all(later < earlier for earlier, later in itertools.pairwise(sizes))
    diagonal = chain.lods[0].mesh.welded_mesh().diagonal_m
    for lod in chain.lods[1:]:
        assert lod.error_m / diagonal * lod.screen_size * 1080 <= 1.001
        corners = lod.mesh.positions_m.astype(np.float64)[lod.mesh.faces]
        radii = np.linalg.norm(np.concatenate([corners.mean(axis=1), corners.reshape(-1, 3)]), axis=1)
        assert lod.error_m == pytest.approx(np.abs(radii - 0.5).max(), rel=0.4)


def test_tangents_are_unit_and_perpendicular(chain):
    for lod in chain.lods:
        tangents, normals = lod.mesh.tangents, lod.mesh.normals
        np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=1), 1.0, atol=1e-4)
        assert np.abs(np.einsum("ij,ij->i", tangents[:, :3], normals)).max() < 1e-3
        assert set(np.unique(tangents[:, 3])) <= {-1.0, 1.0}


def test_welded_has_no_gaps_and_charts_fit(chain):
    for lod in chain.lods:
        mesh = lod.mesh
        assert len(mesh.charts) == len(mesh.faces)
        assert len(np.unique(mesh.welded)) == mesh.welded.max() + 1
        assert len(np.unique(mesh.faces)) == len(mesh.positions_m)


def test_flat_sides_simplify_without_any_error(mesh_filter, raycaster):
    box = unwrapped_box((1, 2, 3), cells=8)
    chain = Lods(count=4, reduction=0.3)(SilentRun(), mesh_filter, raycaster, unwrapped=box)
    last = chain.lods[-1]
    assert len(chain.lods) == 4
    assert len(last.mesh.faces) <= 25
    assert volume_m3(last.mesh.welded_mesh()) == pytest.approx(6.0, rel=1e-5)
    assert last.error_m < 1e-4  # what single precision leaves of 0
    assert 0 < last.screen_size < 0.3


def test_mirrored_charts_keep_their_handedness(mesh_filter, raycaster):
    box = unwrapped_box(cells=6, mirrored_chart=2)
    mesh = Lods(count=2)(SilentRun(), mesh_filter, raycaster, unwrapped=box).lods[1].mesh
    of_vertex = np.zeros(len(mesh.positions_m), int)
    of_vertex[mesh.faces.reshape(-1)] = np.repeat(mesh.charts, 3)
    np.testing.assert_array_equal(mesh.tangents[:, 3], np.where(of_vertex == 2, -1.0, 1.0))


def test_the_chain_ends_where_nothing_is_left_to_simplify(mesh_filter, raycaster):
    chain = Lods(count=8)(SilentRun(), mesh_filter, raycaster, unwrapped=unwrapped_box())
    assert len(chain.lods) == 1
    assert {notice.code for notice in chain.notices} == {"lods_ended"}


def test_one_level_is_the_mesh_alone(mesh_filter, raycaster, ball):
    assert len(Lods(count=1)(SilentRun(), mesh_filter, raycaster, unwrapped=ball).lods) == 1


def test_an_open_mesh_keeps_its_border(mesh_filter, raycaster, ball):
    inside = ball.positions_m[ball.faces].mean(axis=1)[:, 1] < 0.3
    opened = replace(ball, faces=ball.faces[inside], charts=ball.charts[inside])
    used, inverse = np.unique(opened.faces, return_inverse=True)
    opened = replace(
        opened,
        faces=inverse.reshape(-1, 3).astype(np.int32),
        positions_m=ball.positions_m[used],
        normals=ball.normals[used],
        tangents=ball.tangents[used],
        uvs=ball.uvs[used],
        welded=np.unique(ball.welded[used], return_inverse=True)[1].astype(np.int32),
    )
    lod = Lods(count=2)(SilentRun(), mesh_filter, raycaster, unwrapped=opened).lods[1]
    assert edge_face_counts(lod.mesh.welded_mesh().faces).max() == 2
    assert lod.error_m < 0.03


def test_results_repeat_to_the_byte(mesh_filter, raycaster, chain, ball):
    again = Lods(count=4)(SilentRun(), mesh_filter, raycaster, unwrapped=ball)
    for one, other in zip(chain.lods, again.lods, strict=True):
        assert one.mesh.faces.tobytes() == other.mesh.faces.tobytes()
        assert one.mesh.tangents.tobytes() == other.mesh.tangents.tobytes()
        assert one.error_m == other.error_m


def test_cancellation_is_heard(mesh_filter, raycaster, ball):
    def stop(fraction, note):
        raise Cancelled

    with pytest.raises(Cancelled):
        Lods()(CallbackRun(stop), mesh_filter, raycaster, unwrapped=ball)


@pytest.mark.slow
def test_sixty_thousand_triangles_are_halved_level_by_level(mesh_filter, raycaster):
    ball = unwrapped_ball(0.5, 71)
    chain = Lods(count=4)(SilentRun(), mesh_filter, raycaster, unwrapped=ball)
    assert len(chain.lods[3].mesh.faces) == pytest.approx(len(ball.faces) / 8, rel=0.01)
