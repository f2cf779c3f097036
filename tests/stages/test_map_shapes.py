"""Maps of shapes against their closed forms: curvature, thickness, position, object normal, bent normal, parts."""

import numpy as np
import pytest

from bridge_server.run import SilentRun
from bridge_server.stages.map_bent_normal import bent_normals
from bridge_server.stages.map_curvature import curvature_range_per_m, curvatures, mean_curvatures
from bridge_server.stages.map_emissive import emissions
from bridge_server.stages.map_encoding import direction_texels, whole_numbers
from bridge_server.stages.map_object_normal import object_normals
from bridge_server.stages.map_opacity import opacities
from bridge_server.stages.map_part_id import PartKind, face_parts, part_colors, part_ids
from bridge_server.stages.map_position import positions
from bridge_server.stages.map_source import LEGEND, sources
from bridge_server.stages.map_thickness import thicknesses
from bridge_server.values.mesh import HighPoly, Mesh
from bridge_server.values.surface_texture import AlphaMode, MaterialTextures, TextureField
from tests.shapes import box, flipped, merged, painted, sphere, torus
from tests.stages.bake_cases import Case, case, height_field, plane, raycaster


def covered(found: Case) -> np.ndarray:
    return found.texel_hits.coverage


def places(found: Case) -> np.ndarray:
    """Place on the high poly of every hit; with one hit a texel these are the covered texels in order."""
    hits, mesh = found.texel_hits, found.high_poly.mesh
    weights = np.concatenate([1 - hits.high_weights.sum(axis=1, keepdims=True), hits.high_weights], axis=1)
    return np.einsum("tc,tcd->td", weights, mesh.positions_m[mesh.faces[hits.high_face]])


@pytest.mark.parametrize("radius_m", [0.25, 2.0])
def test_curvature_of_a_sphere_is_one_over_its_radius(radius_m: float) -> None:
    ball = sphere(radius_m, 5)
    assert np.allclose(mean_curvatures(ball), 1 / radius_m, rtol=0.01)
    assert np.allclose(mean_curvatures(flipped(ball)), -1 / radius_m, rtol=0.01)


def test_curvature_of_a_torus_changes_around_its_tube() -> None:
    mesh = torus(0.5, 0.2, 192, 96)
    around = np.hypot(mesh.positions_m[:, 0], mesh.positions_m[:, 2])
    truth = (1 / 0.2 + (around - 0.5) / 0.2 / around) / 2
    assert np.abs(mean_curvatures(mesh) - truth).max() < 0.01 * np.abs(truth).max()


def test_curvature_map_of_a_sphere_and_of_a_plane() -> None:
    found = case(sphere(0.5, 3), sphere(0.5, 5), 96)
    values = curvatures(found.high_poly, found.texel_hits, SilentRun())[covered(found)]
    assert np.allclose(values, 2.0, rtol=0.01)
    assert curvature_range_per_m(values) == pytest.approx(2.0, rel=0.01)
    flat = case(plane(), plane(steps=5), 64)
    assert not curvatures(flat.high_poly, flat.texel_hits, SilentRun()).any()
    assert curvature_range_per_m(np.zeros((0, 1), np.float32)) == 0.0


def test_position_and_object_normal_of_a_ball_are_exact() -> None:
    found = case(sphere(0.5, 3), sphere(0.5, 5), 96)
    mesh = found.high_poly.mesh
    place = places(found)
    low, high = mesh.bounds_m
    values = positions(found.high_poly, found.texel_hits, SilentRun())[covered(found)]
    assert np.abs(low + values * (high - low) - place).max() < 1e-5
    normals = object_normals(found.high_poly, found.texel_hits, SilentRun())[covered(found)]
    truth = place / np.linalg.norm(place, axis=1, keepdims=True)
    angle = np.degrees(np.arccos(np.clip((normals * truth).sum(axis=1), -1, 1)))
    assert angle.max() < 0.2


def test_object_normal_keeps_the_edges_of_a_box_and_position_survives_a_flat_axis() -> None:
    found = case(box(), box(), 96, smooth=False)
    normals = object_normals(found.high_poly, found.texel_hits, SilentRun())[covered(found)]
    assert np.allclose(np.abs(normals).max(axis=1), 1.0, atol=1e-5)
    flat = case(plane(), plane(), 64)
    values = positions(flat.high_poly, flat.texel_hits, SilentRun())[covered(flat)]
    assert np.allclose(values[:, 2], 0.5)


def test_thickness_of_a_slab_is_its_thickness() -> None:
    slab = box((4.0, 0.1, 4.0))
    found = case(slab, slab, 128, smooth=False)
    values = thicknesses(raycaster(), found.high_poly, found.texel_hits, SilentRun(), samples=16)[covered(found)][:, 0]
    place = places(found)
    inner = (np.abs(place[:, [0, 2]]) < 1.5).all(axis=1) & (np.abs(place[:, 1]) > 0.0499)
    assert inner.sum() > 100
    assert np.abs(values[inner] - 0.1).max() < 1e-3


def test_thickness_along_the_normal_of_a_box_is_its_size() -> None:
    block = box((0.5, 1.0, 2.0))
    found = case(block, painted_subdivided(block), 96, smooth=False)
    cone = thicknesses(raycaster(), found.high_poly, found.texel_hits, SilentRun(), samples=1, cone_deg=0.0)
    values, place = cone[covered(found)][:, 0], places(found)
    side = np.argmax(np.abs(place) / np.array([0.25, 0.5, 1.0]), axis=1)
    inner = np.sort(np.abs(place) / np.array([0.25, 0.5, 1.0]), axis=1)[:, 1] < 0.75
    assert np.abs(values - np.array([0.5, 1.0, 2.0])[side])[inner].max() < 2e-3


def painted_subdivided(mesh: object) -> object:
    """Eight cells along each edge, so that smoothed normals are straight away from the edges."""
    import trimesh

    split = trimesh.Trimesh(mesh.positions_m, mesh.faces, process=False)  # type: ignore[attr-defined]
    for _ in range(3):
        split = split.subdivide()
    return painted(Mesh(positions_m=split.vertices.astype(np.float32), faces=split.faces.astype(np.int32)))


def test_thickness_of_a_ball_follows_its_closed_form() -> None:
    found = case(sphere(0.5, 3), sphere(0.5, 5), 48)
    for cone_deg, truth in ((0.0, 1.0), (45.0, 0.75), (90.0, 0.5)):
        values = thicknesses(raycaster(), found.high_poly, found.texel_hits, SilentRun(), samples=64, cone_deg=cone_deg)
        assert values[covered(found)].mean() == pytest.approx(truth, abs=0.01)


def test_thickness_of_an_open_sheet_is_the_diagonal() -> None:
    found = case(plane(), plane(), 64)
    values = thicknesses(raycaster(), found.high_poly, found.texel_hits, SilentRun(), samples=4)[covered(found)]
    assert np.allclose(values, np.sqrt(2.0), rtol=1e-5)


def test_bent_normal_in_the_open_is_the_normal_and_leans_away_from_a_wall() -> None:
    open_plane = case(plane(), plane(), 64)
    straight = bent_normals(
        raycaster(), open_plane.high_poly, open_plane.unwrapped, open_plane.texel_hits, SilentRun(), samples=256
    )[covered(open_plane)]
    straight /= np.linalg.norm(straight, axis=1, keepdims=True)
    assert np.degrees(np.arccos(np.clip(straight[:, 2], -1, 1))).max() < 3.0
    wall = box((0.02, 8.0, 4.0), (-0.011, 0.0, 2.0))
    found = case(plane(2.0), merged(plane(2.0), wall), 96, cage_offset_m=0.005)
    bent = bent_normals(raycaster(), found.high_poly, found.unwrapped, found.texel_hits, SilentRun(), samples=512)
    place = places(found)
    near = (place[:, 0] > 0.005) & (place[:, 0] < 0.05) & (np.abs(place[:, 1]) < 0.3)
    chosen = bent[covered(found)][near]
    angle = np.degrees(np.arctan2(np.linalg.norm(chosen[:, :2], axis=1), chosen[:, 2]))
    assert near.sum() > 20
    assert np.abs(angle - np.degrees(np.arctan(2 / np.pi))).mean() < 3.0


def test_parts_are_flat_colours_of_components() -> None:
    both = merged(sphere(0.3, 3, (-0.5, 0.0, 0.0)), sphere(0.3, 3, (0.5, 0.0, 0.0)))
    found = case(both, both, 96, supersample=2)
    parts = face_parts(found.high_poly, PartKind.COMPONENT)
    ids = part_ids(parts, found.texel_hits)
    assert set(np.unique(parts)) == {0, 1}
    assert ((ids >= 0) == covered(found)).all()
    assert set(np.unique(ids[ids >= 0])) == {0, 1}
    assert not face_parts(found.high_poly, PartKind.MATERIAL).any()
    colors = part_colors(5000)
    assert len(np.unique(colors, axis=0)) == 5000
    assert colors.any(axis=1).all()


def test_emissive_and_opacity_of_a_field_that_has_none() -> None:
    found = case(plane(), height_field(lambda x, y: 0.0 * x, 4), 64)
    assert not emissions(raycaster(), found.high_poly, found.texel_hits, SilentRun()).any()
    assert np.allclose(opacities(raycaster(), found.high_poly, found.texel_hits, SilentRun())[covered(found)], 1.0)


def test_emissive_opacity_and_parts_follow_the_materials() -> None:
    mesh = plane(steps=3)
    right = mesh.positions_m[mesh.faces][:, :, 0].mean(axis=1) > 0
    glass = MaterialTextures(
        emissive_factor=(2.0, 0.5, 0.0), base_color_factor=(1.0, 1.0, 1.0, 0.25), alpha_mode=AlphaMode.BLEND
    )
    field = TextureField(
        positions_m=mesh.positions_m,
        faces=mesh.faces,
        corner_uvs=np.zeros((len(mesh.faces), 3, 2), np.float32),
        face_materials=right.astype(np.int32),
        materials=(MaterialTextures(), glass),
    )
    found = case(mesh, HighPoly(mesh=mesh, field=field, source="test"), 64)
    light = emissions(raycaster(), found.high_poly, found.texel_hits, SilentRun())[covered(found)]
    hides = opacities(raycaster(), found.high_poly, found.texel_hits, SilentRun())[covered(found)][:, 0]
    ids = part_ids(face_parts(found.high_poly, PartKind.MATERIAL), found.texel_hits)[covered(found)]
    side = places(found)[:, 0]
    clear = np.abs(side) > 1e-4
    assert np.allclose(light[clear], np.where(side[clear, None] > 0, [2.0, 0.5, 0.0], 0.0), atol=1e-5)
    assert np.allclose(hides[clear], np.where(side[clear] > 0, 0.25, 1.0), atol=1e-5)
    assert (ids[clear] == (side[clear] > 0)).all()


@pytest.mark.parametrize("supersample", [1, 2])
def test_sources_tell_rays_from_closest_points_and_the_far_side(supersample: int) -> None:
    """A sheet above the left half of a plane that is seen from both sides; beyond it only the closest point is left."""
    half = plane(steps=5)
    left = Mesh(positions_m=half.positions_m * np.float32([0.5, 1, 1]) - np.float32([0.25, 0, 0]), faces=half.faces)
    found = case(merged(plane(), flipped(plane())), left, 64, supersample=supersample, cage_offset_m=0.01)
    values = sources(found.high_poly, found.unwrapped, found.texel_hits, SilentRun())
    assert ((values == LEGEND["none"]) == ~covered(found)).all()
    if supersample == 1:
        low = found.low_at_texels(found.unwrapped.positions_m)
        up = found.low_at_texels(found.unwrapped.normals)[:, 2] > 0
        seen = values[covered(found)]
        clear = np.abs(low[:, 0]) > 0.02
        wanted = np.where(up, np.where(low[:, 0] < 0, LEGEND["ray"], LEGEND["closest"]), LEGEND["other_side"])
        assert (seen == wanted)[clear].all()
    assert set(np.unique(values)) == set(LEGEND.values())


def test_encoding_rounds_clips_and_dithers() -> None:
    values = np.float32([[[-1.0], [0.5], [2.0], [np.nan]]])
    assert whole_numbers(values, 8).ravel().tolist() == [0, 128, 255, 0]
    assert whole_numbers(values, 16).ravel().tolist() == [0, 32768, 65535, 0]
    level = np.full((64, 64, 1), 100.3 / 255, np.float32)
    dithered = whole_numbers(level, 8, dither=True)
    assert set(np.unique(dithered)) == {100, 101}
    assert dithered.mean() == pytest.approx(100.3, abs=0.01)
    whole = np.full((8, 8, 1), 0.0, np.float32)
    assert not whole_numbers(whole, 8, dither=True).any()
    assert (whole_numbers(whole + 1, 8, dither=True) == 255).all()
    words = np.full((2, 2, 3), 65535, np.uint16)
    assert direction_texels(words, 8, directx=True)[0, 0].tolist() == [255, 0, 255]
