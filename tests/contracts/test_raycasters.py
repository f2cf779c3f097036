"""What every ray caster must answer, against analytic shapes and against plain NumPy over all triangles."""

import numpy as np
import pytest

from bridge_server.backends.raycaster import by_casting
from bridge_server.backends.raycaster.base import RAYCASTERS, Lookouts, Raycaster
from bridge_server.errors import InputError
from bridge_server.stages.occlusion import SETS, hemisphere_sets
from tests.shapes import box, merged, sphere

NAMES = RAYCASTERS.names()


@pytest.fixture(params=NAMES)
def raycaster(request: pytest.FixtureRequest) -> Raycaster:
    found = RAYCASTERS.availability(request.param)
    if not found.available:
        pytest.skip(f"{request.param}: {found.detail}")
    return RAYCASTERS.load(request.param)


def random_rays(count: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    origins = random.normal(size=(count, 3)).astype(np.float32)
    directions = random.normal(size=(count, 3)).astype(np.float32)
    return origins, directions


def soup(count: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Triangles in any position: crossing, overlapping, of any size."""
    random = np.random.default_rng(seed)
    centers = random.normal(size=(count, 1, 3))
    corners = centers + random.normal(size=(count, 3, 3)) * random.uniform(0.02, 0.5, size=(count, 1, 1))
    return corners.reshape(-1, 3).astype(np.float32), np.arange(count * 3, dtype=np.int32).reshape(-1, 3)


def brute_first_hits(corners: np.ndarray, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Distance of the first hit of each ray, by Cramer's rule in double precision over all triangles."""
    a, b, c = (corners[:, k].astype(np.float64) for k in range(3))
    distances = np.full(len(origins), np.inf)
    for index, (origin, direction) in enumerate(zip(origins.astype(np.float64), directions, strict=True)):
        unit = direction / np.linalg.norm(direction.astype(np.float64))
        across = np.cross(unit, c - a)
        determinant = np.einsum("ij,ij->i", b - a, across)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = np.einsum("ij,ij->i", origin - a, across) / determinant
            turned = np.cross(origin - a, b - a)
            v = turned @ unit / determinant
            t = np.einsum("ij,ij->i", c - a, turned) / determinant
        inside = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
        distances[index] = t[inside].min(initial=np.inf)
    return distances


def brute_nearest(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance to the closest triangle: inside the prism of its normal, or to one of its edges."""
    result = np.empty(len(points))
    triangles = corners.astype(np.float64)
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    for index, point in enumerate(points.astype(np.float64)):
        best = np.full(len(triangles), np.inf)
        inside = np.ones(len(triangles), bool)
        for k in range(3):
            start, along = triangles[:, k], triangles[:, (k + 1) % 3] - triangles[:, k]
            share = np.einsum("ij,ij->i", point - start, along) / np.einsum("ij,ij->i", along, along)
            foot = start + np.clip(share, 0, 1)[:, None] * along
            best = np.minimum(best, np.linalg.norm(point - foot, axis=1))
            inside &= np.einsum("ij,ij->i", np.cross(along, point - start), normal) >= 0
        plane = np.abs(np.einsum("ij,ij->i", point - triangles[:, 0], normal))
        result[index] = np.where(inside, plane, best).min()
    return result


def places(positions: np.ndarray, faces: np.ndarray, hits: object) -> np.ndarray:
    return np.einsum("pc,pcd->pd", hits.barycentrics, positions[faces[hits.faces]])  # type: ignore[attr-defined]


def test_rays_from_the_centre_hit_a_sphere_at_its_radius(raycaster: Raycaster) -> None:
    mesh = sphere(radius_m=0.5, subdivisions=5)
    scene = raycaster.scene(mesh.positions_m, mesh.faces)
    _, directions = random_rays(100_000)
    origins = np.zeros_like(directions)
    hits = scene.first_hits(origins, directions)
    assert (hits.faces >= 0).all()
    assert np.abs(hits.distances_m - 0.5).max() < 0.5 * 0.002
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    assert np.abs(places(mesh.positions_m, mesh.faces, hits) - unit * hits.distances_m[:, None]).max() < 1e-6
    assert np.abs(hits.barycentrics.sum(axis=1) - 1).max() < 1e-6
    assert hits.barycentrics.min() >= 0


def test_first_hits_and_occlusion_equal_plain_numpy_on_a_soup(raycaster: Raycaster) -> None:
    positions, faces = soup(300)
    origins, directions = random_rays(600)
    scene = raycaster.scene(positions, faces)
    expected = brute_first_hits(positions[faces], origins, directions)
    hits = scene.first_hits(origins, directions)
    assert 0.2 < np.isfinite(expected).mean() < 0.95
    assert (np.isfinite(hits.distances_m) == np.isfinite(expected)).all()
    assert ((hits.faces >= 0) == np.isfinite(expected)).all()
    hit = hits.faces >= 0
    np.testing.assert_allclose(hits.distances_m[hit], expected[hit], rtol=1e-4, atol=1e-5)
    for limit in (0.5, 1.0, float("inf")):
        near = expected < limit
        assert (scene.occluded(origins, directions, limit) == near).all()
        assert ((scene.first_hits(origins, directions, limit).faces >= 0) == near).all()


def test_nearest_equals_plain_numpy_on_a_soup(raycaster: Raycaster) -> None:
    positions, faces = soup(300, seed=8)
    points, _ = random_rays(500, seed=9)
    found = raycaster.scene(positions, faces).nearest(points)
    expected = brute_nearest(positions[faces], points)
    np.testing.assert_allclose(found.distances_m, expected, rtol=1e-4, atol=1e-6)
    foot = places(positions, faces, found)
    np.testing.assert_allclose(np.linalg.norm(foot - points, axis=1), expected, rtol=1e-4, atol=1e-5)


def test_nearest_on_a_box_lies_where_clamping_puts_it(raycaster: Raycaster) -> None:
    mesh = box((1.0, 2.0, 3.0))
    points = np.random.default_rng(0).uniform(-4, 4, size=(5000, 3)).astype(np.float32)
    outside = points[(np.abs(points) > [0.5, 1.0, 1.5]).any(axis=1)]
    found = raycaster.scene(mesh.positions_m, mesh.faces).nearest(outside)
    clamped = np.clip(outside, [-0.5, -1.0, -1.5], [0.5, 1.0, 1.5])
    np.testing.assert_allclose(found.distances_m, np.linalg.norm(outside - clamped, axis=1), rtol=1e-5)
    # beside an edge the foot may wander by the root of the rounding of the distance
    np.testing.assert_allclose(places(mesh.positions_m, mesh.faces, found), clamped, atol=2e-3)


def test_rays_do_not_leak_out_of_a_closed_mesh(raycaster: Raycaster) -> None:
    """Edges hold; single precision lets through under one in a hundred of the rays aimed exactly at a vertex."""
    mesh = sphere(radius_m=0.5, subdivisions=5)
    scene = raycaster.scene(mesh.positions_m, mesh.faces)
    corners = mesh.positions_m[mesh.faces]
    middles = np.concatenate([(corners[:, k] + corners[:, k - 1]) / 2 for k in range(3)])
    anywhere = np.random.default_rng(1).normal(size=(200_000, 3)).astype(np.float32) * 2
    for targets, share in ((anywhere, 0.0), (middles, 1e-4), (mesh.positions_m, 0.012)):
        for center in ((0, 0, 0), (0.1, -0.2, 0.05), (0.0, 0.3, 0.0)):
            origins = np.tile(np.float32(center), (len(targets), 1))
            leaks = scene.first_hits(origins, targets - origins).faces < 0
            assert leaks.mean() <= share
            assert (~scene.occluded(origins, targets - origins)).mean() <= share


def test_both_sides_of_a_triangle_are_hit(raycaster: Raycaster) -> None:
    mesh = sphere(radius_m=0.5, subdivisions=2)
    scene = raycaster.scene(mesh.positions_m, mesh.faces)
    origin = np.float32([[0.01, 0.02, 2.0], [0.01, 0.02, 0.0]])
    direction = np.float32([[0, 0, -3.0], [0, 0, -0.2]])
    distances = scene.first_hits(origin, direction).distances_m
    assert distances[0] == pytest.approx(1.5, abs=0.03)
    assert distances[1] == pytest.approx(0.5, abs=0.03)


def test_rays_that_cannot_be_cast_hit_nothing(raycaster: Raycaster) -> None:
    mesh = box()
    scene = raycaster.scene(mesh.positions_m, mesh.faces)
    origins = np.float32([[0, 0, 0], [np.nan, 0, 0], [0, 0, 0], [0, 0, 0]])
    directions = np.float32([[0, 0, 0], [0, 0, 1], [np.inf, 0, 0], [0, 0.1, 0]])
    assert (scene.first_hits(origins, directions).faces >= 0).tolist() == [False, False, False, True]
    assert scene.occluded(origins, directions).tolist() == [False, False, False, True]
    none = np.zeros((0, 3), np.float32)
    assert len(scene.first_hits(none, none).faces) == 0
    assert len(scene.occluded(none, none)) == 0
    assert len(scene.nearest(none).faces) == 0


def test_triangles_without_area_do_no_harm(raycaster: Raycaster) -> None:
    mesh = box()
    faces = np.concatenate([np.int32([[0, 0, 0], [1, 1, 2], [0, 1, 1]]), mesh.faces])
    scene = raycaster.scene(mesh.positions_m, faces)
    found = scene.nearest(np.float32([[0, 0, 2.0], [3.0, 0.1, 0.1]]))
    np.testing.assert_allclose(found.distances_m, [1.5, 2.5], atol=1e-6)
    assert (found.faces >= 3).all()
    line = raycaster.scene(mesh.positions_m, np.int32([[0, 1, 1]]))
    found = line.nearest(np.float32([[-0.5, -0.5, -2.0]]))
    assert found.faces[0] == 0
    assert found.distances_m[0] == pytest.approx(1.5)


def test_input_that_makes_no_scene_is_refused(raycaster: Raycaster) -> None:
    mesh = box()
    with pytest.raises(InputError, match="without triangles"):
        raycaster.scene(mesh.positions_m, np.zeros((0, 3), np.int32))
    with pytest.raises(InputError, match="not exist"):
        raycaster.scene(mesh.positions_m, np.int32([[0, 1, 8]]))
    with pytest.raises(InputError, match="not finite"):
        raycaster.scene(np.full((3, 3), np.nan, np.float32), np.int32([[0, 1, 2]]))


def test_answers_are_the_same_from_several_threads_and_again(raycaster: Raycaster) -> None:
    from concurrent.futures import ThreadPoolExecutor

    mesh = merged(sphere(subdivisions=3), sphere(subdivisions=3, center=(0.7, 0, 0)))
    scene = raycaster.scene(mesh.positions_m, mesh.faces)
    origins, directions = random_rays(70_000)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: scene.first_hits(origins, directions), range(3)))
    for other in found[1:]:
        assert (other.faces == found[0].faces).all()
        assert (other.barycentrics == found[0].barycentrics).all()
    assert (scene.occluded(origins, directions) == (found[0].faces >= 0)).all()


def face_normals(positions: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corners = positions[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("cage_m", [0.05, 0.4])
def test_facing_hits_equal_rays_to_both_sides_in_numpy(raycaster: Raycaster, cage_m: float) -> None:
    positions, faces = soup(300, seed=12)
    points, outward = random_rays(3000, seed=13)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    scene, normals = raycaster.scene(positions, faces), face_normals(positions, faces)
    found = scene.facing_hits(points, outward, cage_m)
    expected = by_casting.facing_hits(scene, normals, points, outward, cage_m)
    assert 0.02 < (expected.faces >= 0).mean() < 0.9
    # the reference restarts a little behind each surface that it passes, so it may miss one that lies just there
    same = found.faces == expected.faces
    assert same.mean() > 0.997
    assert ((found.faces >= 0) | (expected.faces < 0)).all()
    hit = same & (found.faces >= 0)
    assert (found.covered == expected.covered)[same].mean() > 0.997
    assert not found.covered[found.faces < 0].any()
    np.testing.assert_allclose(found.distances_m[hit], expected.distances_m[hit], atol=2e-5)
    np.testing.assert_allclose(found.barycentrics[hit], expected.barycentrics[hit], atol=2e-3)
    some = np.flatnonzero(found.faces >= 0)
    assert (np.einsum("ij,ij->i", normals[found.faces[some]], outward[some]) > 0).all()
    assert found.distances_m[some].max() <= cage_m * 1.0001
    away = np.linalg.norm(places(positions, faces, found)[some] - points[some], axis=1)
    np.testing.assert_allclose(away, found.distances_m[some], atol=1e-4)


def test_facing_hits_of_a_thin_wall_are_on_the_side_that_is_asked_for(raycaster: Raycaster) -> None:
    mesh = box((1.0, 0.001, 1.0))
    scene = raycaster.scene(mesh.positions_m, mesh.faces)
    across = np.random.default_rng(2).uniform(-0.45, 0.45, size=(1000, 2)).astype(np.float32)
    for height in (-0.002, 0.0, 0.0005, 0.002):
        for side in (1.0, -1.0):
            points = np.stack([across[:, 0], np.full(1000, height, np.float32), across[:, 1]], axis=1)
            up = np.tile(np.float32([0, side, 0]), (1000, 1))
            found = scene.facing_hits(points, up, 0.01)
            assert (found.faces >= 0).all()
            np.testing.assert_allclose(places(mesh.positions_m, mesh.faces, found)[:, 1], side * 0.0005, atol=1e-6)


@pytest.mark.parametrize("approximate", [False, True])
def test_openness_equals_the_count_in_numpy(raycaster: Raycaster, approximate: bool) -> None:
    positions, faces = soup(200, seed=21)
    scene, random = raycaster.scene(positions, faces, approximate=approximate), np.random.default_rng(22)
    points, normals = random_rays(400, seed=23)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    leaning = normals + 0.5 * random.normal(size=normals.shape).astype(np.float32)
    lookouts = Lookouts(
        points_m=points,
        normals=normals,
        face_normals=(leaning / np.linalg.norm(leaning, axis=1, keepdims=True)).astype(np.float32),
        turns=random.uniform(0, 6.28, 400),
        chosen=random.integers(0, SETS, 400).astype(np.int32),
    )
    for reach_m in (0.3, float("inf")):
        found = scene.openness(hemisphere_sets(32), lookouts, 1e-4, reach_m)
        expected = by_casting.openness(scene, hemisphere_sets(32), lookouts, 1e-4, reach_m)
        assert (expected < 1).mean() > 0.05
        assert (np.abs(found - expected) < 1e-6).mean() > 0.97
        assert np.abs(found - expected).max() < 0.1
