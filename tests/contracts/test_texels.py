"""Compiled texel kernels give what plain NumPy gives."""

import numpy as np
import pytest

from bridge_server.backends.texels.base import TEXELS, Atlas, Cells, Places, SurfaceMap, TexelKernels

PLAIN = TEXELS.load("plain")


@pytest.fixture(params=TEXELS.names())
def texels(request: pytest.FixtureRequest) -> TexelKernels:
    found = TEXELS.availability(request.param)
    if not found.available:
        pytest.skip(f"{request.param}: {found.detail}")
    return TEXELS.load(request.param)


def triangles(count: int, seed: int, largest: float) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping triangles of both windings, some thinner than a texel, some without area, some on texel centres."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 1, size=(count, 1, 2)) + random.uniform(-1, 1, size=(count, 3, 2)) * random.uniform(
        0.001, largest, size=(count, 1, 1)
    )
    corners[: count // 4] = np.rint(corners[: count // 4] * 64) / 64 + 1 / 128
    corners[count // 4 : count // 3, 2] = corners[count // 4 : count // 3, 1]
    return np.clip(corners, -0.1, 1.1).reshape(-1, 2).astype(np.float32), np.arange(count * 3, dtype=np.int32)


def cells(texels: TexelKernels, atlas: Atlas) -> Cells:
    return texels.cells(atlas, lambda share: None)


@pytest.mark.parametrize("supersample", [1, 2, 3])
@pytest.mark.parametrize("largest", [0.02, 0.4])
def test_cells(texels: TexelKernels, supersample: int, largest: float) -> None:
    uvs, corners = triangles(60, 5, largest)
    atlas = Atlas(uvs=uvs, faces=corners.reshape(-1, 3), resolution_px=64, supersample=supersample)
    found, expected = cells(texels, atlas), cells(PLAIN, atlas)
    assert (np.diff(found.index) > 0).all()
    np.testing.assert_array_equal(found.coverage, expected.coverage)
    np.testing.assert_array_equal(found.index, expected.index)
    # two faces that share the nearest place are equally right
    same = found.faces == expected.faces
    assert same.mean() > 0.99
    np.testing.assert_allclose(found.weights[same], expected.weights[same], atol=2e-3)
    # whole substeps or not makes a difference to how far a place is moved into a small face
    assert np.median(np.abs(found.weights - expected.weights)) < 1e-4


def test_cells_of_no_faces(texels: TexelKernels) -> None:
    atlas = Atlas(uvs=np.zeros((3, 2), np.float32), faces=np.int32([[0, 1, 2]]), resolution_px=16, supersample=2)
    found = cells(texels, atlas)
    assert len(found.index) == len(found.faces) == len(found.weights) == 0
    assert found.coverage.shape == (16, 16)
    assert not found.coverage.any()


def some_places(random: np.random.Generator, faces: int, count: int) -> Places:
    return Places(
        faces=random.integers(0, faces, count).astype(np.int32),
        weights=random.dirichlet((1, 1, 1), count)[:, 1:].astype(np.float32),
    )


def test_interpolation_and_tangent_space(texels: TexelKernels) -> None:
    random = np.random.default_rng(3)
    detail = random.normal(size=(40, 3, 3)).astype(np.float32)
    detail[0] = 0.0
    frames = random.normal(size=(20, 3, 7)).astype(np.float32)
    frames[1, :, :3] = 0.0
    high, low = some_places(random, 40, 1000), some_places(random, 20, 1000)
    for unit in (False, True):
        found = texels.interpolated(detail, high, unit=unit)
        np.testing.assert_allclose(found, PLAIN.interpolated(detail, high, unit=unit), atol=2e-6)
    found = texels.tangent_normals(detail, high, frames, low)
    expected = PLAIN.tangent_normals(detail, high, frames, low)
    assert (np.abs(found - expected).max(axis=1) < 1e-4).mean() > 0.99
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)


def test_vertex_normals(texels: TexelKernels) -> None:
    random = np.random.default_rng(2)
    positions = random.normal(size=(200, 3)).astype(np.float32)
    faces = random.integers(0, 199, size=(700, 3)).astype(np.int32)
    faces[3] = 5
    found = texels.vertex_normals(positions, faces)
    np.testing.assert_allclose(found, PLAIN.vertex_normals(positions, faces), atol=1e-5)
    assert found[199].tolist() == [0, 1, 0]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_row_means(texels: TexelKernels, channels: int) -> None:
    random = np.random.default_rng(4)
    edge, fine, first, rows = 20, 3, 4, 7
    inside = np.arange(first * fine * edge * fine, (first + rows) * fine * edge * fine)
    index = np.sort(random.choice(inside, 300, replace=False)).astype(np.int32)
    values = random.normal(size=(300, channels)).astype(np.float32)
    found, expected = (np.full((rows, edge, channels), 9.0, np.float32) for _ in range(2))
    texels.row_means(values, index, found, first, fine)
    PLAIN.row_means(values, index, expected, first, fine)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (expected == 0).any()


def test_unit_words(texels: TexelKernels) -> None:
    vectors = np.random.default_rng(6).normal(size=(5000, 3)).astype(np.float32)
    vectors[0] = 0.0
    found = texels.unit_words(vectors)
    assert found[0].tolist() == [32768, 32768, 65535]
    assert np.abs(found.astype(int) - PLAIN.unit_words(vectors)).max() <= 1


@pytest.mark.parametrize("share", [1e-9, 0.001, 0.05, 0.6])
def test_nearest_covered(texels: TexelKernels, share: float) -> None:
    covered = np.random.default_rng(7).uniform(size=(97, 97)) < share
    covered[33, 71] = True
    source, away = texels.nearest_covered(covered)
    assert covered.reshape(-1)[source].all()
    rows, columns = np.indices(covered.shape)
    np.testing.assert_allclose(np.hypot(source // 97 - rows, source % 97 - columns), away, atol=1e-4)
    np.testing.assert_allclose(away, PLAIN.nearest_covered(covered)[1], atol=1e-4)


def surface(size: int, seed: int) -> SurfaceMap:
    """A bent sheet in two charts with a hole."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices((size, size)) / size
    charts = np.where(columns < 0.6, 0, 1).astype(np.int32)
    charts[size // 4 : size // 2, size // 8 : size // 3] = -1
    points = np.stack([columns, 0.2 * np.sin(7 * rows), rows], axis=2) + random.normal(size=(size, size, 3)) * 0.003
    normals = np.stack([0.3 * columns, np.ones_like(rows), -1.4 * np.cos(7 * rows)], axis=2)
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    return SurfaceMap(
        charts=charts,
        points_m=points.astype(np.float32),
        normals=normals.astype(np.float32),
        texel_m=1.0 / size,
    )


@pytest.mark.parametrize("step", [1, 2])
def test_smoothing(texels: TexelKernels, step: int) -> None:
    values = np.random.default_rng(8).uniform(0.4, 0.6, size=(48, 48)).astype(np.float32)
    found = texels.smoothed(values, surface(48, 9), step, 0.25, slice(8, 40))
    np.testing.assert_allclose(found, PLAIN.smoothed(values, surface(48, 9), step, 0.25, slice(8, 40)), atol=2e-5)
    assert found.std() < 0.7 * values.std()


def test_smoothing_keeps_what_differs_by_more_than_the_spread(texels: TexelKernels) -> None:
    values = np.where(np.indices((48, 48))[0] < 24, 0.3, 0.7).astype(np.float32)
    flat = np.zeros((48, 48), np.int32)
    points = np.stack([*np.indices((48, 48)) / 48, np.zeros((48, 48))], axis=2).astype(np.float32)
    up = np.broadcast_to(np.array([0.0, 0.0, 1.0], np.float32), (48, 48, 3)).copy()
    sheet = SurfaceMap(charts=flat, points_m=points, normals=up, texel_m=1 / 48)
    np.testing.assert_allclose(texels.smoothed(values, sheet, 1, 0.1, slice(0, 48)), values, atol=1e-5)
    assert np.abs(texels.smoothed(values, sheet, 1, 0.5, slice(0, 48)) - values).max() > 0.05


@pytest.mark.parametrize("factor", [2, 3])
def test_enlarging(texels: TexelKernels, factor: int) -> None:
    values = np.random.default_rng(8).uniform(size=(16, 16)).astype(np.float32)
    small, large, rows = surface(16, 9), surface(16 * factor, 9), slice(3, 30)
    found = texels.enlarged(values, small, large, factor, rows)
    np.testing.assert_allclose(found, PLAIN.enlarged(values, small, large, factor, rows), atol=1e-5)
    assert np.isnan(found).any()
    assert np.isfinite(found).mean() > 0.8
