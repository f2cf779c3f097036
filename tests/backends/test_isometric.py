"""The isometric unwrapper on shapes whose best atlas is known, and its packer against a plain raster."""

import numpy as np
import pytest

from bridge_server.backends.unwrapper.base import UNWRAPPERS, Atlas, UnwrapSettings
from bridge_server.backends.unwrapper.chart_state import surface_of
from bridge_server.backends.unwrapper.clusters import smoothed_normals
from bridge_server.backends.unwrapper.flattening import lying_flat, singular_values
from bridge_server.errors import StageFailed
from bridge_server.run import SilentRun
from bridge_server.stages.unwrap_measures import AtlasFigures, atlas_figures, least_gap_px
from bridge_server.values.mesh import Mesh
from bridge_server.values.texel_grid import overlap_count
from tests.shapes import box, grid_surface, merged, sphere, torus


def tube(top_m: float = 0.3, columns: int = 48, rows: int = 12) -> Mesh:
    """The side of a cylinder, or of a cone, of radius 0.3 m at the bottom, 1 m high, open at both ends."""
    turn = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None, :]
    height = np.linspace(0, 1, rows)[:, None]
    radius = 0.3 + (top_m - 0.3) * height
    place = np.stack([radius * np.cos(turn), height + 0 * turn, -radius * np.sin(turn)], axis=-1)
    return grid_surface(rows, columns, place, wrap_rows=False, wrap_columns=True)


def plane(cells: int = 12) -> Mesh:
    u, v = (np.linspace(0, 1, cells)[axis] for axis in ((slice(None), None), (None, slice(None))))
    return grid_surface(cells, cells, np.stack([u + 0 * v, 0 * u * v, -v + 0 * u], -1), False, False)


def unwrapped(mesh: Mesh, size: int = 512, **fields: object) -> tuple[Atlas, AtlasFigures]:
    settings = {"resolution_px": size, "padding_px": size // 128, "texels_per_m": 0.0, "time_limit_s": 60.0, **fields}
    atlas = UNWRAPPERS.load("isometric").unwrap(mesh, UnwrapSettings(**settings), SilentRun())
    figures = atlas_figures(mesh.positions_m[mesh.faces], atlas.uvs[atlas.faces], atlas.charts, size)
    assert overlap_count(atlas.uvs, atlas.faces, size) == 0
    assert least_gap_px(atlas.uvs, atlas.faces, atlas.charts, size) >= size // 128
    return atlas, figures


@pytest.mark.parametrize(
    ("mesh", "charts", "stretch", "efficiency"),
    [
        (plane(), 1, 1.0001, 0.95),
        (box(), 6, 1.0001, 0.55),
        (tube(), 3, 1.001, 0.5),
        (tube(0.05), 3, 1.002, 0.4),
        (sphere(subdivisions=3), 6, 1.02, 0.5),
        (torus(rows=40, columns=20), 10, 1.02, 0.4),
    ],
    ids=["plane", "cube", "cylinder", "cone", "sphere", "torus"],
)
def test_known_shapes_need_few_charts_and_hardly_stretch(
    mesh: Mesh, charts: int, stretch: float, efficiency: float
) -> None:
    atlas, figures = unwrapped(mesh)
    assert atlas.charts.max() + 1 <= charts
    assert figures.stretch < stretch
    assert figures.packing_efficiency > efficiency
    assert figures.texel_density_spread < 0.02


def test_noise_does_not_fray_charts_into_slivers() -> None:
    smooth = torus(rows=60, columns=30)
    noise = np.random.default_rng(3).normal(0.0, 0.004, smooth.positions_m.shape)
    rough = Mesh(positions_m=smooth.positions_m + noise.astype(np.float32), faces=smooth.faces)
    atlas, figures = unwrapped(rough)
    assert atlas.charts.max() + 1 <= 24
    assert figures.stretch < 1.04
    surface = surface_of(rough, 60.0)
    after = smoothed_normals(surface.normals, surface.areas_m2, surface.beside)
    truth = surface_of(smooth, 60.0).normals
    before_deg, after_deg = (
        np.degrees(np.arccos(np.clip((found * truth).sum(axis=1), -1, 1))).mean() for found in (surface.normals, after)
    )
    assert after_deg < 0.6 * before_deg


def test_crumbs_open_borders_and_bad_faces_all_get_their_place() -> None:
    crumbs = merged(*(sphere(0.01, 0, (0.05 * i, 1.0, 0.0)) for i in range(12)))
    mesh = merged(tube(columns=16, rows=4), crumbs, box((0.2, 0.2, 0.2), (2.0, 0.0, 0.0)))
    bad = np.int32([[0, 1, 40], [3, 3, 9], [5, 5, 5], [*mesh.faces[7]], [*mesh.faces[7][::-1]]])
    broken = Mesh(positions_m=mesh.positions_m, faces=np.concatenate([mesh.faces, bad]))
    atlas, _ = unwrapped(broken)
    np.testing.assert_array_equal(atlas.vertices[atlas.faces], broken.faces)
    assert np.isfinite(atlas.uvs).all()


def test_a_wanted_chart_count_is_met_by_letting_go_of_stretch() -> None:
    free, free_figures = unwrapped(torus(rows=24, columns=12))
    few, few_figures = unwrapped(box(), most_charts=4)
    assert few.charts.max() + 1 <= 4
    assert few_figures.stretch < 1.5
    tight, tight_figures = unwrapped(torus(rows=24, columns=12), most_stretch=1.002)
    assert tight.charts.max() >= free.charts.max()
    assert tight_figures.stretch <= free_figures.stretch + 1e-3


def test_a_long_chart_is_cut_so_that_it_does_not_thin_out_all_others() -> None:
    pole = tube(columns=12, rows=60)
    long = Mesh(positions_m=pole.positions_m * np.float32([0.2, 8.0, 0.2]), faces=pole.faces)
    atlas, figures = unwrapped(long)
    assert figures.packing_efficiency > 0.4
    assert atlas.charts.max() + 1 >= 4


def test_odd_sizes_keep_their_gap_too() -> None:
    for size in (100, 300, 1000):
        mesh = sphere(subdivisions=1)
        settings = UnwrapSettings(resolution_px=size, padding_px=3, texels_per_m=0.0, time_limit_s=60.0)
        atlas = UNWRAPPERS.load("isometric").unwrap(mesh, settings, SilentRun())
        assert least_gap_px(atlas.uvs, atlas.faces, atlas.charts, size) >= 3
        assert atlas.uvs.min() >= 0.0
        assert atlas.uvs.max() <= 1.0


def test_time_that_is_up_ends_the_work_and_no_area_is_refused() -> None:
    with pytest.raises(StageFailed) as caught:
        unwrapped(sphere(subdivisions=3), time_limit_s=0.0)
    assert caught.value.reason == "TIME_LIMIT"
    flat = Mesh(positions_m=np.zeros((3, 3), np.float32), faces=np.int32([[0, 1, 2]]))
    with pytest.raises(StageFailed, match="area"):
        unwrapped(flat)


def test_singular_values_are_those_of_the_map() -> None:
    corners = np.float64([[[0, 0, 0], [2, 0, 1], [0.5, 1, 0]]])
    shapes = lying_flat(corners)
    matrix = np.float64([[1.5, 0.4], [-0.2, 0.7]])
    placed = np.stack([shapes.real, shapes.imag], axis=-1) @ matrix.T
    large, small = singular_values(shapes, placed[..., 0] + 1j * placed[..., 1])
    np.testing.assert_allclose([large[0], small[0]], np.linalg.svd(matrix)[1])
    flipped = singular_values(shapes, np.conj(shapes))
    np.testing.assert_allclose([flipped[0][0], flipped[1][0]], [1.0, -1.0])
