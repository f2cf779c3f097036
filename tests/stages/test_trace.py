"""Tracing: the right place on the right side, for every texel that a chart touches."""

import numpy as np
import pytest

from bridge_server.errors import Cancelled
from bridge_server.run import CallbackRun
from bridge_server.stages.corner_normals import unit_face_normals
from bridge_server.stages.trace import Trace
from bridge_server.values.mesh import Mesh
from bridge_server.values.texel_grid import gathered, touched_texels
from tests.shapes import box, merged, painted, sphere, torus
from tests.stages.bake_cases import Case, case, height_field, plane, rasterizer, raycaster


def places(found: Case) -> tuple[np.ndarray, np.ndarray]:
    """Where each hit lies on the low and on the high poly."""
    hits, high = found.texel_hits, found.high_poly.mesh
    weights = np.concatenate([1 - hits.high_weights.sum(axis=1, keepdims=True), hits.high_weights], axis=1)
    high_place = np.einsum("tc,tcd->td", weights, high.positions_m[high.faces[hits.high_face]])
    return found.low_at_texels(found.unwrapped.positions_m), high_place


def test_every_touched_texel_has_its_hits() -> None:
    for supersample in (1, 2, 3):
        found = case(torus(rows=24, columns=12), torus(), size=128, supersample=supersample)
        hits = found.texel_hits
        assert (np.diff(hits.index) > 0).all()
        row, column = np.divmod(hits.index, 128 * supersample)
        texels = np.unique(row // supersample * 128 + column // supersample)
        touched = np.unique(gathered(touched_texels(found.unwrapped.uvs, found.unwrapped.faces, 128)).index)
        np.testing.assert_array_equal(texels, touched)
        np.testing.assert_array_equal(np.flatnonzero(hits.coverage), touched)
        assert hits.low_weights.min() >= 0
        assert hits.low_weights.sum(axis=1).max() <= 1 + 1e-6


def test_rays_land_straight_above_on_a_sphere() -> None:
    found = case(sphere(0.5, 3), sphere(0.5, 6))
    low, high = places(found)
    assert found.texel_hits.by_ray.all()
    assert np.abs(np.linalg.norm(high, axis=1) - 0.5).max() < 2e-4
    cosine = (low * high).sum(axis=1) / np.linalg.norm(low, axis=1) / np.linalg.norm(high, axis=1)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean() < 0.2


def test_a_thin_shell_keeps_its_sides() -> None:
    top = height_field(lambda x, y: 0.002 + 0.0005 * np.sin(9 * x), 40)
    bottom = height_field(lambda x, y: -0.002 + 0.0005 * np.sin(9 * y), 40)
    shell = merged(top, Mesh(positions_m=bottom.positions_m, faces=bottom.faces[:, ::-1]))
    low_shell = merged(plane(), Mesh(positions_m=plane().positions_m, faces=plane().faces[:, ::-1]))
    found = case(low_shell, shell, cage_offset_m=0.02)
    assert found.texel_hits.by_ray.mean() > 0.995
    low_up = unit_face_normals(found.unwrapped.welded_mesh())[found.texel_hits.low_face][:, 2]
    high_up = unit_face_normals(shell)[found.texel_hits.high_face][:, 2]
    assert (np.sign(low_up) == np.sign(high_up)).all()
    assert {-1.0, 1.0} == set(np.sign(low_up))


def test_the_nearer_of_two_layers_is_taken() -> None:
    floor, roof = plane(1.0, 8), box((2.0, 2.0, 0.02), (0.0, 0.0, 0.05))
    found = case(plane(), merged(floor, roof), cage_offset_m=0.1)
    assert np.abs(places(found)[1][:, 2]).max() < 1e-6
    assert found.texel_hits.by_ray.all()


@pytest.mark.parametrize("sunk_m", [0.0, 0.01])
def test_what_is_stuck_into_another_solid_hides_what_lies_inside(sunk_m: float) -> None:
    """A bolt on a plate, and a sheet that floats above it: the outermost surface is what is seen."""
    bolt = box((0.2, 0.2, 0.04), (-0.2, 0.0, 0.02 - sunk_m))
    floater = Mesh(positions_m=plane(0.2).positions_m + np.float32([0.2, 0.0, 0.01]), faces=plane().faces)
    found = case(plane(), merged(plane(1.0, 8), bolt, floater), size=128, cage_offset_m=0.1)
    low, high = places(found)
    over_bolt = np.abs(low[:, :2] - [-0.2, 0.0]).max(axis=1) < 0.1
    over_floater = np.abs(low[:, :2] - [0.2, 0.0]).max(axis=1) < 0.1
    expected = np.select([over_bolt, over_floater], [0.04 - sunk_m, 0.01], 0.0)
    assert np.abs(high[:, 2] - expected).max() < 1e-6
    assert found.texel_hits.by_ray.all()


def test_a_surface_that_coincides_is_hit() -> None:
    mesh = box((1.0, 0.7, 0.4))
    found = case(mesh, mesh)
    low, high = places(found)
    assert found.texel_hits.by_ray.mean() > 0.99
    assert np.abs(low - high).max() < 1e-5


def test_the_automatic_cage_reaches_the_detail() -> None:
    found = case(plane(), height_field(lambda x, y: 0.03 * np.sin(20 * x) * np.sin(17 * y), 120))
    low, high = places(found)
    assert found.texel_hits.by_ray.mean() > 0.99
    assert found.texel_hits.notices == ()
    assert np.abs(low - high)[:, :2].max() < 1e-4


def test_out_of_the_cage_the_closest_point_serves_and_the_user_is_told() -> None:
    found = case(sphere(0.5, 3), sphere(0.6, 5), cage_offset_m=0.01)
    assert not found.texel_hits.by_ray.any()
    assert [notice.code for notice in found.texel_hits.notices] == ["few_rays_hit"]
    assert "0%" in found.texel_hits.notices[0].message
    assert np.abs(np.linalg.norm(places(found)[1], axis=1) - 0.6).max() < 1e-3


def test_thin_charts_get_texels_and_nothing_at_all_is_allowed() -> None:
    needle = Mesh(positions_m=np.float32([[0, 0, 0], [1, 0, 0], [1, 0.0005, 0]]), faces=np.int32([[0, 1, 2]]))
    hits = case(needle, needle, size=64).texel_hits
    assert 50 < len(hits.index) < 70
    assert hits.coverage.sum() == len(hits.index)


def test_tracing_is_deterministic_and_can_be_cancelled() -> None:
    one, two = (case(torus(rows=24, columns=12), torus(), size=128, supersample=2).texel_hits for _ in range(2))
    for field in ("index", "low_face", "high_face", "high_weights", "by_ray"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))
    found = case(box(), box(), size=64)
    seen = []

    def cancel(fraction: float, note: str) -> None:
        seen.append(fraction)
        if fraction > 0.15:
            raise Cancelled

    with pytest.raises(Cancelled):
        Trace(resolution_px=64)(
            CallbackRun(cancel), raycaster(), rasterizer(), high_poly=painted(box()), unwrapped=found.unwrapped
        )
    assert len(seen) >= 3
