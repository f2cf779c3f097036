"""What every unwrapper must deliver: all faces, no overlap, the gap that was asked for, and again the same."""

import numpy as np
import pytest

from bridge_server.backends.unwrapper.base import UNWRAPPERS, Atlas, Unwrapper, UnwrapSettings
from bridge_server.errors import StageFailed
from bridge_server.run import SilentRun
from bridge_server.stages.unwrap_measures import atlas_figures, least_gap_px
from bridge_server.values.mesh import Mesh
from bridge_server.values.texel_grid import overlap_count
from tests.shapes import box, flipped, grid_surface, merged, sphere, torus


def spiral() -> Mesh:
    """A ramp that climbs over itself three times: any projection from above folds."""
    turn = np.linspace(0, 6 * np.pi, 60)[:, None]
    radius = np.linspace(0.3, 1.0, 4)[None, :]
    place = np.stack([radius * np.cos(turn), 0.1 * turn + 0 * radius, radius * np.sin(turn)], axis=-1)
    return grid_surface(60, 4, place, wrap_rows=False, wrap_columns=False)


def tangled() -> Mesh:
    """Non-manifold edges, a doubled face, faces without area, a lone triangle, both windings."""
    mesh = merged(sphere(subdivisions=2), flipped(box((0.3, 0.3, 0.3), (2.0, 0.0, 0.0))))
    extra = np.int32([[0, 1, 60], [3, 3, 9], [5, 5, 5], [*mesh.faces[7]]])
    return Mesh(positions_m=mesh.positions_m, faces=np.concatenate([mesh.faces, extra]))


SHAPES = {
    "box": box((1.0, 0.2, 3.0)),
    "torus": torus(rows=36, columns=18),
    "spiral": spiral(),
    "shells": merged(*(sphere(0.2, 1, (i % 4, i // 4, 0.0)) for i in range(10))),
    "tangled": tangled(),
    "triangle": Mesh(positions_m=np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), faces=np.int32([[0, 1, 2]])),
}


@pytest.fixture(params=UNWRAPPERS.names())
def unwrapper(request: pytest.FixtureRequest) -> Unwrapper:
    found = UNWRAPPERS.availability(request.param)
    if not found.available:
        pytest.skip(f"{request.param}: {found.detail}")
    return UNWRAPPERS.load(request.param)


def unwrap(unwrapper: Unwrapper, mesh: Mesh, size: int = 256, padding: int = 4, density: float = 0.0) -> Atlas:
    settings = UnwrapSettings(resolution_px=size, padding_px=padding, texels_per_m=density, time_limit_s=60.0)
    return unwrapper.unwrap(mesh, settings, SilentRun())


@pytest.mark.parametrize("shape", SHAPES)
def test_atlases_hold_every_face_without_overlap(unwrapper: Unwrapper, shape: str) -> None:
    mesh = SHAPES[shape]
    atlas = unwrap(unwrapper, mesh)
    assert atlas.faces.shape == mesh.faces.shape
    np.testing.assert_array_equal(atlas.vertices[atlas.faces], mesh.faces)
    assert len(atlas.uvs) == len(atlas.vertices) == atlas.faces.max() + 1
    assert np.isfinite(atlas.uvs).all()
    assert atlas.uvs.min() >= 0
    assert atlas.uvs.max() <= 1
    assert atlas.charts.min() == 0
    assert overlap_count(atlas.uvs, atlas.faces, 256) == 0
    assert overlap_count(atlas.uvs, atlas.faces, 1024) <= 1024 * 1024 * 1e-5
    assert least_gap_px(atlas.uvs, atlas.faces, atlas.charts, 256) >= 4
    corner_charts = np.full(len(atlas.vertices), -1)
    corner_charts[atlas.faces] = atlas.charts[:, None]
    assert (corner_charts[atlas.faces] == atlas.charts[:, None]).all()  # no vertex serves two charts


def test_charts_are_even_and_little_stretched(unwrapper: Unwrapper) -> None:
    mesh = SHAPES["torus"]
    atlas = unwrap(unwrapper, mesh, 512, 4)
    figures = atlas_figures(mesh.positions_m[mesh.faces], atlas.uvs[atlas.faces], atlas.charts, 512)
    assert figures.texel_density_spread < 0.1
    assert 1.0 <= figures.stretch < 1.1
    assert figures.packing_efficiency > 0.35


def test_a_wanted_density_is_kept_where_it_fits(unwrapper: Unwrapper) -> None:
    mesh = box()
    for wanted, expected in ((50.0, 50.0), (1e5, None)):
        atlas = unwrap(unwrapper, mesh, 256, 4, wanted)
        figures = atlas_figures(mesh.positions_m[mesh.faces], atlas.uvs[atlas.faces], atlas.charts, 256)
        if expected:
            assert figures.texel_density_px_per_m == pytest.approx(expected, rel=0.02)
        else:
            assert 60 < figures.texel_density_px_per_m < 256 / 6**0.5


def test_charts_are_packed_anew_for_another_size(unwrapper: Unwrapper) -> None:
    mesh = SHAPES["torus"]
    atlas = unwrap(unwrapper, mesh, 512)
    smaller = UnwrapSettings(resolution_px=128, padding_px=2, texels_per_m=0.0, time_limit_s=60.0)
    uvs = unwrapper.repack(mesh, atlas, smaller, SilentRun())
    assert overlap_count(uvs, atlas.faces, 128) == 0
    assert least_gap_px(uvs, atlas.faces, atlas.charts, 128) >= 2
    before, after = (
        atlas_figures(mesh.positions_m[mesh.faces], found[atlas.faces], atlas.charts, 512) for found in (atlas.uvs, uvs)
    )
    assert after.stretch == pytest.approx(before.stretch, abs=1e-3)
    assert after.texel_density_spread == pytest.approx(before.texel_density_spread, abs=1e-3)


def test_the_same_mesh_gives_the_same_atlas(unwrapper: Unwrapper) -> None:
    one, two = (unwrap(unwrapper, SHAPES["torus"]) for _ in range(2))
    np.testing.assert_array_equal(one.uvs, two.uvs)
    np.testing.assert_array_equal(one.faces, two.faces)


def test_charts_that_cannot_fit_are_refused(unwrapper: Unwrapper) -> None:
    with pytest.raises(StageFailed, match="fit"):
        unwrap(unwrapper, SHAPES["shells"], 64, 40)
