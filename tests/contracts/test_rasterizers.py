"""Every UV rasteriser that can run here covers what a point-in-triangle test covers."""

import sys
from types import ModuleType

import numpy as np
import pytest

from bridge_server.backends.rasterizer import nvdiffrast
from bridge_server.backends.rasterizer.base import RASTERIZERS, UvRasterizer
from bridge_server.errors import BackendUnavailable
from tests.accuracy.layouts import laid_out
from tests.shapes import sphere, torus

SIZE_PX = 64
EDGE_SHARE = 0.01
"""Of the covered texels; rasterisers snap to grids of their own, so centres on an edge may fall either way."""


def inside(uvs: np.ndarray, faces: np.ndarray, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """For each texel the face around its centre and the weights there, in double precision; -1 where there is none."""
    row, column = np.divmod(np.arange(size_px * size_px), size_px)
    point = (np.stack([column, row], axis=1) + 0.5) / size_px
    found, weights = np.full(len(point), -1), np.zeros((len(point), 3))
    for number, (a, b, c) in enumerate(uvs.astype(np.float64)[faces]):
        matrix = np.stack([b - a, c - a], axis=1)
        if abs(np.linalg.det(matrix)) < 1e-14:
            continue
        share = np.linalg.solve(matrix, (point - a).T).T
        part = np.column_stack([1 - share.sum(axis=1), share])
        rows = (part >= -1e-9).all(axis=1) & (found < 0)
        found[rows], weights[rows] = number, part[rows]
    return found, weights


def agree(rasterizer: UvRasterizer, uvs: np.ndarray, faces: np.ndarray) -> None:
    covered = rasterizer.cover(uvs, faces, SIZE_PX)
    expected, weights = inside(uvs, faces, SIZE_PX)
    assert (np.diff(covered.index) > 0).all()
    found = np.full(SIZE_PX * SIZE_PX, -1)
    found[covered.index] = covered.faces
    differ = found != expected
    assert differ.sum() <= EDGE_SHARE * max((expected >= 0).sum(), 1)
    same = ~differ[covered.index]
    np.testing.assert_allclose(covered.weights.sum(axis=1), 1.0, atol=1e-5)
    assert covered.weights.min() >= 0.0
    assert np.abs(covered.weights - weights[covered.index])[same].max(initial=0.0) < 0.02


@pytest.mark.parametrize("backend", RASTERIZERS.names())
@pytest.mark.parametrize("layout", ["planar", "mirrored"])
def test_coverage_equals_point_in_triangle(backend: str, layout: str) -> None:
    if not RASTERIZERS.availability(backend).available:
        pytest.skip(f"{backend}: {RASTERIZERS.availability(backend)}")
    for mesh in (sphere(0.5, 1), torus(rows=8, columns=6)):
        low = laid_out(mesh, layout)
        agree(RASTERIZERS.load(backend), low.uvs, low.faces)


def test_the_default_is_free_and_the_other_says_what_it_takes() -> None:
    assert RASTERIZERS.choose("auto") == "numpy"
    found = RASTERIZERS.availability("nvdiffrast")
    if found.available:
        assert "non-commercial" in found.detail
    else:
        assert "non-commercial" in found.remedy
        with pytest.raises(BackendUnavailable, match=r"not installed|too old|no CUDA"):
            RASTERIZERS.choose("nvdiffrast")


class Tensor:
    """As much of a tensor as crosses the border."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def to(self, _: str) -> "Tensor":
        return self

    def cpu(self) -> "Tensor":
        return self

    def numpy(self) -> np.ndarray:
        return self.array

    def __getitem__(self, index: int) -> "Tensor":
        return Tensor(self.array[index])


def rasterize(_: object, positions: Tensor, triangles: Tensor, size: list[int], grad_db: bool) -> tuple[Tensor, None]:
    """What nvdiffrast documents: row 0 at the bottom of clip space; weights of corners 0 and 1, depth, number + 1."""
    assert not grad_db
    assert positions.array.dtype == np.float32
    assert triangles.array.dtype == np.int32
    place = (positions.array[0, :, :2] / positions.array[0, :, 3:] + 1.0) / 2.0
    found, weights = inside(place, triangles.array, size[0])
    image = np.column_stack([weights[:, 0], weights[:, 1], np.zeros(len(found)), found + 1.0])
    return Tensor(image.reshape(1, size[0], size[1], 4).astype(np.float32)), None


def test_what_crosses_to_nvdiffrast_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its library is replaced by one that answers as its documentation says, so that this runs without a card."""
    torch, package, library = ModuleType("torch"), ModuleType("nvdiffrast"), ModuleType("nvdiffrast.torch")
    torch.from_numpy = Tensor  # type: ignore[attr-defined]
    library.RasterizeCudaContext = lambda device: device  # type: ignore[attr-defined]
    library.rasterize = rasterize  # type: ignore[attr-defined]
    package.torch = library  # type: ignore[attr-defined]
    for name, module in (("torch", torch), ("nvdiffrast", package), ("nvdiffrast.torch", library)):
        monkeypatch.setitem(sys.modules, name, module)
    low = laid_out(sphere(0.5, 1), "planar")
    agree(nvdiffrast.NvdiffrastRasterizer(), low.uvs, low.faces)


def test_numbers_of_triangles_beyond_what_a_float_counts() -> None:
    numbers = np.array([0, 1, 2**24 - 1, 2**24, 2**24 + 1, 50_000_001], np.int64)
    plain = (numbers + 1).astype(np.float32)
    packed = (numbers + 1 + 0x4A800000).astype(np.int32).view(np.float32)
    stored = np.where(numbers + 1 <= 2**24, plain, packed).astype(np.float32)
    np.testing.assert_array_equal(nvdiffrast.triangle_numbers(stored), numbers)
