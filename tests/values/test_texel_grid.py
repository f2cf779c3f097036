"""Coverage of texels: exactly once, never missed, against plain loops and areas."""

import numpy as np

from bridge_server.values.texel_grid import (
    cover_centers,
    gathered,
    overlap_count,
    touched_texels,
    weights_at_centers,
)


def fan_mesh(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """A triangulated square of random points: it covers (0.1, 0.9) squared exactly."""
    from scipy.spatial import Delaunay

    random = np.random.default_rng(seed)
    snapped = np.rint(random.uniform(0.1, 0.9, (count, 2)) * 64) / 64  # many points on texel centres and edges
    border = np.array([[0.125, 0.125], [0.875, 0.125], [0.125, 0.875], [0.875, 0.875]])
    points = np.clip(np.concatenate([border, snapped]), 0.125, 0.875)
    points = np.unique(points, axis=0)
    return points.astype(np.float32), Delaunay(points).simplices.astype(np.int32)


def test_a_triangulated_square_is_covered_exactly_once() -> None:
    for seed in range(5):
        uvs, faces = fan_mesh(seed)
        for size in (64, 32, 96):
            cells = gathered(cover_centers(uvs, faces, size))
            centers = (np.arange(size) + 0.5) / size
            # a centre moved right and, far less, down, decides the border
            inside = (centers >= 0.125) & (centers < 0.875)
            expected = inside[:, None] & inside[None, :]
            count = np.bincount(cells.index, minlength=size * size).reshape(size, size)
            np.testing.assert_array_equal(count, expected.astype(int))
            assert overlap_count(uvs, faces, size) == 0


def test_mirrored_triangles_cover_the_same() -> None:
    uvs, faces = fan_mesh(1)
    plain = gathered(cover_centers(uvs, faces, 50))
    turned = gathered(cover_centers(uvs, faces[:, ::-1], 50))
    np.testing.assert_array_equal(np.sort(plain.index), np.sort(turned.index))


def test_touched_texels_equal_clipping_by_hand() -> None:
    random = np.random.default_rng(4)
    uvs = np.rint(random.uniform(-0.2, 1.2, (3 * 40, 2)) * 512).astype(np.float32) / 512
    uvs[3:6] = [[0.3, 0.3], [0.302, 0.301], [0.3, 0.302]]  # smaller than a texel, around no centre
    uvs[6:9] = [[0.0, 0.51], [1.0, 0.51], [1.0, 0.512]]  # a thin needle
    faces = np.arange(120, dtype=np.int32).reshape(-1, 3)
    size = 16
    cells = gathered(touched_texels(uvs, faces, size))
    found = {(int(f), int(i)) for f, i in zip(cells.faces, cells.index, strict=True)}
    assert len(found) == len(cells.index)
    expected = set()
    for face, corners in enumerate(np.rint(uvs[faces].astype(np.float64) * size * 256) / 256):
        for row in range(size):
            for column in range(size):
                square = np.array([[column, row], [column + 1, row], [column + 1, row + 1], [column, row + 1]])
                if share_area(corners, square):
                    expected.add((face, row * size + column))
    assert found == expected
    assert any(face == 1 for face, _ in found)


def share_area(a: np.ndarray, b: np.ndarray) -> bool:
    """Separating axes of two convex polygons."""
    for polygon in (a, b):
        edges = np.roll(polygon, -1, axis=0) - polygon
        for axis in np.stack([-edges[:, 1], edges[:, 0]], axis=1):
            if (a @ axis).max() <= (b @ axis).min() or (b @ axis).max() <= (a @ axis).min():
                return False
    return True


def test_weights_reproduce_the_centres_and_clamp_outside() -> None:
    uvs, faces = fan_mesh(2)
    size = 40
    cells = gathered(cover_centers(uvs, faces, size))
    weights = weights_at_centers(uvs, faces, size, cells)
    centers = (np.stack([cells.index % size, cells.index // size], axis=1) + 0.5) / size
    found = np.einsum("tc,tcd->td", weights, uvs[faces[cells.faces]])
    assert np.abs(found - centers).max() < 1 / size / 200
    assert weights.min() >= 0
    touched = gathered(touched_texels(uvs, faces, size))
    weights = weights_at_centers(uvs, faces, size, touched)
    assert weights.min() >= 0
    assert np.abs(weights.sum(axis=1) - 1).max() < 1e-12
    centers = (np.stack([touched.index % size, touched.index // size], axis=1) + 0.5) / size
    found = np.einsum("tc,tcd->td", weights, uvs[faces[touched.faces]])
    assert np.linalg.norm(found - centers, axis=1).max() < 0.8 / size


def test_overlap_is_found_and_odd_input_does_no_harm() -> None:
    uvs = np.float32([[0, 0], [0.5, 0], [0, 0.5], [0.1, 0.1], [0.6, 0.1], [0.1, 0.6]])
    assert overlap_count(uvs, np.int32([[0, 1, 2], [3, 4, 5]]), 64) > 100
    flat = np.float32([[0.2, 0.2], [0.2, 0.2], [0.9, 0.9], [-5, -5], [-4, -5], [-4, -4]])
    assert len(gathered(cover_centers(flat, np.int32([[0, 1, 2], [3, 4, 5]]), 64))) == 0
    assert len(gathered(touched_texels(flat, np.int32([[0, 1, 2], [3, 4, 5]]), 64))) == 0


def test_large_triangles_fill_the_square() -> None:
    uvs = np.float32([[-1, -1], [3, -1], [-1, 3]])
    cells = gathered(cover_centers(uvs, np.int32([[0, 1, 2]]), 512))
    assert len(cells) == 512 * 512
    assert (np.sort(cells.index) == np.arange(512 * 512)).all()
