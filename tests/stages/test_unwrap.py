"""The unwrap stage: frames, seams, gaps, figures and fallbacks."""

import time
from dataclasses import dataclass

import numpy as np
import pytest

from bridge_server.backends.unwrapper import xatlas
from bridge_server.backends.unwrapper.base import UNWRAPPERS, Atlas, UnwrapSettings
from bridge_server.errors import Cancelled, StageFailed
from bridge_server.run import CallbackRun, Run, SilentRun
from bridge_server.stages.lod_half_edges import simplified
from bridge_server.stages.stage import declaration_of
from bridge_server.stages.tangent_frames import mikktspace_tangents
from bridge_server.stages.unwrap import Unwrap
from bridge_server.stages.unwrap_kept import KeepUvs
from bridge_server.stages.unwrap_measures import least_gap_px
from bridge_server.values.mesh import HighPoly, LowPoly, Mesh, UnwrappedMesh, is_watertight, vertex_normals
from bridge_server.values.surface_texture import MaterialTextures, TextureField
from bridge_server.values.texel_grid import gathered, overlap_count, touched_texels
from tests.shapes import box, merged, sphere, torus
from tests.unwrapped_shapes import unwrapped_box


def low_poly(mesh: Mesh) -> LowPoly:
    return LowPoly(
        mesh=mesh, target_triangle_count=len(mesh.faces), hausdorff_m=0.0, mean_distance_m=0.0, method="test"
    )


def unwrapped(mesh: Mesh, backend: str = "planar", **fields: object) -> UnwrappedMesh:
    return Unwrap(**fields)(SilentRun(), UNWRAPPERS.load(backend), low_poly=low_poly(mesh))


@pytest.mark.parametrize("backend", ["planar", "xatlas", "isometric"])
def test_an_unwrapped_torus_is_whole(backend: str) -> None:
    mesh = torus(rows=48, columns=24)
    result = unwrapped(mesh, backend, resolution_px=512)
    assert result.method == backend
    assert result.notices == ()
    np.testing.assert_array_equal(result.positions_m[result.faces], mesh.positions_m[mesh.faces])
    assert is_watertight(result.welded_mesh())
    np.testing.assert_array_equal(result.welded_mesh().positions_m[result.welded], result.positions_m)
    assert sorted(set(result.welded.tolist())) == list(range(len(mesh.positions_m)))
    np.testing.assert_allclose(result.normals[result.faces], vertex_normals(mesh)[mesh.faces], atol=1e-6)
    assert overlap_count(result.uvs, result.faces, 512) == 0
    assert result.padding_px >= 4
    assert result.atlas_px == 512
    again = mikktspace_tangents(result.positions_m, result.normals, result.uvs, result.faces)
    np.testing.assert_allclose(again, result.tangents[result.faces], atol=1e-5)
    assert np.abs(np.einsum("vi,vi->v", result.tangents[:, :3], result.normals)).max() < 1e-4
    area_px = result.packing_efficiency * 512**2
    assert result.texel_density_px_per_m == pytest.approx((area_px / (4 * np.pi**2 * 0.5 * 0.2)) ** 0.5, rel=0.05)


@pytest.mark.parametrize("backend", ["xatlas", "isometric"])
def test_no_texel_of_any_mip_down_to_128_touches_two_charts(backend: str) -> None:
    result = unwrapped(torus(rows=48, columns=24), backend, resolution_px=512)
    cells = gathered(touched_texels(result.uvs, result.faces, 512))
    for step in (1, 2, 4):
        block = cells.index // 512 // step * 512 + cells.index % 512 // step
        pairs = np.unique(block.astype(np.int64) * 10_000 + result.charts[cells.faces])
        assert len(np.unique(pairs // 10_000)) == len(pairs)


def test_hard_edges_are_flat_on_a_box_and_smooth_on_request() -> None:
    hard = unwrapped(box())
    assert (np.abs(hard.normals).max(axis=1) > 0.9999).all()
    assert len(hard.positions_m) == 24
    smooth = unwrapped(box(), hard_edge_angle_deg=180.0)
    np.testing.assert_allclose(np.abs(smooth.normals), 3**-0.5, atol=1e-6)


def test_a_density_that_does_not_fit_is_lowered_and_told() -> None:
    result = unwrapped(box(), resolution_px=256, texels_per_m=4000.0)
    assert [notice.code for notice in result.notices] == ["texel_density_lowered"]
    assert result.texel_density_px_per_m < 256 / 6**0.5


@dataclass(frozen=True)
class Broken:
    """An unwrapper that fails, or that lays all faces on top of each other."""

    overlapping: bool = False
    identity: str = "broken 1"

    def unwrap(self, mesh: Mesh, settings: UnwrapSettings, run: Run) -> Atlas:
        if not self.overlapping:
            raise StageFailed("took longer than 1 s.", subject="unwrap_here", reason="TIME_LIMIT")
        uvs = np.tile(np.float32([[0, 0], [1, 0], [0, 1]]), (len(mesh.faces), 1))
        faces = np.arange(len(uvs), dtype=np.int32).reshape(-1, 3)
        return Atlas(vertices=mesh.faces.reshape(-1), faces=faces, uvs=uvs, charts=faces[:, 0] // 3, method="broken")


@pytest.mark.parametrize(("overlapping", "cause"), [(False, "took longer"), (True, "under more than one face")])
def test_the_box_projection_takes_over_and_says_so(overlapping: bool, cause: str) -> None:
    result = Unwrap(resolution_px=256)(SilentRun(), Broken(overlapping), low_poly=low_poly(sphere(subdivisions=2)))
    assert result.method == "planar"
    assert [notice.code for notice in result.notices] == ["unwrap_fallback"]
    assert cause in result.notices[0].message
    assert overlap_count(result.uvs, result.faces, 256) == 0


def hang(mesh: Mesh) -> None:
    """What a native library does that has lost its way."""
    time.sleep(60.0)


def test_a_child_that_hangs_is_ended_and_the_box_projection_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xatlas, "CUT", "tests.stages.test_unwrap:hang")
    started = time.monotonic()
    result = unwrapped(sphere(subdivisions=1), "xatlas", resolution_px=128, time_limit_s=1.0)
    assert time.monotonic() - started < 30.0
    assert result.method == "planar"
    assert "took longer than 1 s" in result.notices[0].message


def test_a_chart_count_that_cannot_be_met_is_told() -> None:
    four = merged(*(sphere(0.2, 1, (float(i), 0.0, 0.0)) for i in range(4)))
    result = unwrapped(four, "isometric", resolution_px=256, most_charts=2)
    assert [notice.code for notice in result.notices] == ["chart_count_exceeded"]
    assert len(np.unique(result.charts)) >= 4


@pytest.mark.parametrize("backend", ["planar", "isometric"])
def test_a_second_set_for_light_maps_goes_down_the_levels(backend: str) -> None:
    result = unwrapped(torus(rows=24, columns=12), backend, resolution_px=512, lightmap_px=128)
    assert result.lightmap_uvs is not None
    assert result.lightmap_px == 128
    assert overlap_count(result.lightmap_uvs, result.faces, 128) == 0
    assert least_gap_px(result.lightmap_uvs, result.faces, result.charts, 128) >= 2
    level = simplified(result, 200, SilentRun())
    assert level.lightmap_uvs is not None
    assert {*map(tuple, level.lightmap_uvs.tolist())} <= {*map(tuple, result.lightmap_uvs.tolist())}
    assert unwrapped(box()).lightmap_uvs is None


def test_a_light_map_that_is_too_small_is_told() -> None:
    many = merged(*(sphere(0.2, 0, (float(i), 0.0, 0.0)) for i in range(30)))
    result = unwrapped(many, "isometric", resolution_px=512, lightmap_px=16)
    assert result.lightmap_uvs is None
    assert [notice.code for notice in result.notices] == ["no_lightmap_uvs"]


def test_charts_that_do_not_fit_come_closer_and_it_is_told() -> None:
    loose = merged(*(sphere(0.2, 0, (float(i), 0.0, 0.0)) for i in range(12)))
    result = unwrapped(loose, "isometric", resolution_px=64, padding_px=12)
    assert [notice.code for notice in result.notices] == ["padding_lowered"]
    assert 1 <= result.padding_px < 12
    assert overlap_count(result.uvs, result.faces, 64) == 0


def textured(mesh: Mesh, uvs: np.ndarray) -> HighPoly:
    """The mesh as a file with texture coordinates would bring it."""
    field = TextureField(
        positions_m=mesh.positions_m,
        faces=mesh.faces,
        corner_uvs=uvs.astype(np.float32),
        face_materials=np.zeros(len(mesh.faces), np.int32),
        materials=(MaterialTextures(),),
    )
    return HighPoly(mesh=mesh, field=field, source="mesh")


def kept(mesh: Mesh, uvs: np.ndarray, keep: KeepUvs, low: Mesh | None = None) -> UnwrappedMesh:
    stage = Unwrap(resolution_px=512, keep_uvs=keep)
    return stage(SilentRun(), UNWRAPPERS.load("planar"), low_poly=low_poly(low or mesh), high_poly=textured(mesh, uvs))


def good_uvs() -> tuple[Mesh, np.ndarray]:
    source = unwrapped_box(cells=2)
    return source.welded_mesh(), source.uvs[source.faces]


def test_good_coordinates_of_the_input_are_kept_and_told() -> None:
    mesh, uvs = good_uvs()
    shuffled = Mesh(positions_m=mesh.positions_m, faces=mesh.faces[::-1, [1, 2, 0]])
    result = kept(mesh, uvs, KeepUvs.AUTO, shuffled)
    assert result.method == "own"
    assert [notice.code for notice in result.notices] == ["uvs_kept"]
    np.testing.assert_array_equal(result.uvs[result.faces], uvs[::-1, [1, 2, 0]])
    assert len(np.unique(result.charts)) == 6
    assert kept(mesh, uvs, KeepUvs.NEVER).method == "planar"


@pytest.mark.parametrize(
    ("spoil", "told", "always"),
    [
        (lambda uvs: uvs * 0.45, "cover only", "own"),
        (lambda uvs: uvs * np.float32([1.0, 0.25]), "cover only", "own"),
        (lambda uvs: uvs * 2.0, "outside the unit square", "planar"),
        (lambda uvs: np.where(uvs > 0.9, np.nan, uvs), "finite", "planar"),
        (lambda uvs: np.tile(uvs[:8], (6, 1, 1)), "under more than one", "planar"),
        (lambda uvs: np.concatenate([uvs[:24], uvs[24:] * 0.0]), "no place", "planar"),
    ],
)
def test_bad_coordinates_are_replaced_and_the_reason_is_told(spoil, told: str, always: str) -> None:
    mesh, uvs = good_uvs()
    bad = spoil(uvs)
    result = kept(mesh, bad, KeepUvs.AUTO)
    assert result.method == "planar"
    assert [notice.code for notice in result.notices] == ["uvs_replaced"]
    assert told in result.notices[0].message
    assert kept(mesh, bad, KeepUvs.ALWAYS).method == always


def test_a_decimated_mesh_cannot_keep_its_coordinates_and_only_always_says_so() -> None:
    mesh, uvs = good_uvs()
    assert kept(mesh, uvs, KeepUvs.AUTO, box()).notices == ()
    told = kept(mesh, uvs, KeepUvs.ALWAYS, box()).notices
    assert [notice.code for notice in told] == ["uvs_replaced"]
    assert "no longer those of the input" in told[0].message
    assert "to always" not in told[0].remedy


def test_cancellation_is_no_reason_to_fall_back() -> None:
    def cancel(fraction: float, note: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        Unwrap()(CallbackRun(cancel), UNWRAPPERS.load("xatlas"), low_poly=low_poly(box()))


def test_an_empty_mesh_is_refused_and_the_declaration_is_right() -> None:
    empty = Mesh(positions_m=np.zeros((3, 3), np.float32), faces=np.zeros((0, 3), np.int32))
    with pytest.raises(StageFailed, match="no triangles"):
        unwrapped(empty)
    declared = declaration_of(Unwrap)
    assert (declared.backends, declared.reads, declared.writes) == (("unwrapper",), ("low_poly",), "unwrapped")
    assert declared.optional_reads == ("high_poly",)
