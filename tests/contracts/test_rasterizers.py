"""Every UV rasteriser that can run here covers what a point-in-triangle test covers, and bakes the same maps."""

import io
import sys
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from bridge_server.backends.rasterizer import base, nvdiffrast, texels
from bridge_server.backends.rasterizer.base import RASTERIZERS, CenterRasterizer, UvRasterizer
from bridge_server.backends.rasterizer.numpy import NumpyRasterizer
from bridge_server.backends.texels.base import TEXELS, Atlas, Cells
from bridge_server.errors import BackendUnavailable, Cancelled
from bridge_server.run import CallbackRun, SilentRun
from bridge_server.stages.bake_images import MapName
from bridge_server.stages.bake_set import BakeWish, Means, bake_set
from bridge_server.stages.trace import Trace
from bridge_server.values.texture import TexelHits
from tests.accuracy.layouts import laid_out
from tests.shapes import sphere, torus
from tests.stages.bake_cases import painted, raycaster

SIZE_PX = 64
EDGE_SHARE = 0.01
"""Of the covered texels; rasterisers snap to grids of their own, so centres on an edge may fall either way."""


def inside(uvs: np.ndarray, faces: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """For each texel the face around its centre and the weights there, in double precision; -1 where there is none."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    point = np.stack([(column + 0.5) / columns, (row + 0.5) / rows], axis=1)
    found, weights = np.full(len(point), -1), np.zeros((len(point), 3))
    for number, (a, b, c) in enumerate(uvs.astype(np.float64)[faces]):
        matrix = np.stack([b - a, c - a], axis=1)
        if abs(np.linalg.det(matrix)) < 1e-14:
            continue
        share = np.linalg.solve(matrix, (point - a).T).T
        part = np.column_stack([1 - share.sum(axis=1), share])
        hit = (part >= -1e-9).all(axis=1) & (found < 0)
        found[hit], weights[hit] = number, part[hit]
    return found, weights


def agree(rasterizer: CenterRasterizer, uvs: np.ndarray, faces: np.ndarray) -> None:
    covered = rasterizer.cover(uvs, faces, SIZE_PX, lambda share: None)
    expected, _ = inside(uvs, faces, SIZE_PX, SIZE_PX)
    assert (np.diff(covered.index) > 0).all()
    found = np.full(SIZE_PX * SIZE_PX, -1)
    found[covered.index] = covered.faces
    assert (found != expected).sum() <= EDGE_SHARE * max((expected >= 0).sum(), 1)


@pytest.fixture(params=RASTERIZERS.names())
def rasterizer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> UvRasterizer:
    """Each of the table; nvdiffrast over a library that answers as its documentation says, where there is none."""
    if request.param == "nvdiffrast" and not RASTERIZERS.availability("nvdiffrast").available:
        replace_library(monkeypatch)
    return RASTERIZERS.load(request.param)


@pytest.mark.parametrize("layout", ["planar", "mirrored"])
@pytest.mark.parametrize("supersample", [1, 2])
@pytest.mark.parametrize("kernels", TEXELS.names())
def test_cells_are_those_of_the_rule(
    rasterizer: UvRasterizer, layout: str, supersample: int, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not TEXELS.availability(kernels).available:
        pytest.skip(f"{kernels}: {TEXELS.availability(kernels)}")
    for module in (base, texels):
        monkeypatch.setattr(module, "texel_kernels", lambda: TEXELS.load(kernels))
    for mesh in (sphere(0.5, 1), torus(rows=8, columns=6)):
        low = laid_out(mesh, layout)
        atlas = Atlas(uvs=low.uvs, faces=low.faces, resolution_px=SIZE_PX, supersample=supersample)
        found = rasterizer.cells(atlas, lambda share: None)
        same_cells(found, TEXELS.load("plain").cells(atlas, lambda share: None))


def same_cells(found: Cells, expected: Cells) -> None:
    """The same texels of the same faces, but for a band along edges, and places that lie on their face."""
    assert (np.diff(found.index) > 0).all()
    assert (found.coverage != expected.coverage).sum() <= EDGE_SHARE * expected.coverage.sum()
    common, here, there = np.intersect1d(found.index, expected.index, return_indices=True)
    assert len(common) >= (1.0 - EDGE_SHARE) * max(len(found.index), len(expected.index))
    same = found.faces[here] == expected.faces[there]
    assert same.mean() >= 1.0 - EDGE_SHARE
    away = np.abs(found.weights[here] - expected.weights[there])[same].max(axis=1)
    assert np.quantile(away, 1.0 - EDGE_SHARE) < 2e-3
    assert found.weights.min() >= 0.0
    assert found.weights.sum(axis=1).max() <= 1.0 + 1e-6


@pytest.mark.parametrize("layout", ["planar", "mirrored"])
def test_coverage_equals_point_in_triangle(rasterizer: UvRasterizer, layout: str) -> None:
    if not isinstance(rasterizer, NumpyRasterizer | nvdiffrast.NvdiffrastRasterizer):
        pytest.skip("it answers for cells only")
    for mesh in (sphere(0.5, 1), torus(rows=8, columns=6)):
        low = laid_out(mesh, layout)
        agree(rasterizer, low.uvs, low.faces)


def traced(rasterizer: UvRasterizer) -> TexelHits:
    high, low = painted(torus(rows=48, columns=24)), laid_out(torus(rows=16, columns=8), "planar")
    trace = Trace(resolution_px=SIZE_PX, supersample=2)
    return trace(SilentRun(), raycaster(), rasterizer, high_poly=high, unwrapped=low)


def test_a_trace_finds_the_same_places(rasterizer: UvRasterizer) -> None:
    found, expected = traced(rasterizer), traced(RASTERIZERS.load("texels"))
    _, here, there = np.intersect1d(found.index, expected.index, return_indices=True)
    assert len(here) >= (1.0 - EDGE_SHARE) * len(expected.index)
    assert (found.high_face[here] == expected.high_face[there]).mean() >= 1.0 - EDGE_SHARE


def test_a_set_of_maps_is_the_same(rasterizer: UvRasterizer) -> None:
    high, low = painted(torus(rows=48, columns=24)), laid_out(torus(rows=16, columns=8), "planar")
    wish = BakeWish(maps=(MapName.NORMAL,), resolution_px=SIZE_PX, supersample=1)
    sets = [
        bake_set(wish, high, low, Means(raycaster(), each), lambda _: SilentRun())
        for each in (rasterizer, RASTERIZERS.load("texels"))
    ]
    assert sets[0].coverage == pytest.approx(sets[1].coverage, rel=EDGE_SHARE)
    pixels = [np.asarray(Image.open(io.BytesIO(each.maps[0].png))).astype(np.int16) for each in sets]
    assert (np.abs(pixels[0] - pixels[1]).max(axis=2) > 1).mean() <= EDGE_SHARE


def test_covering_can_be_stopped(rasterizer: UvRasterizer) -> None:
    def stop(_: float, note: str) -> None:
        if "covering" in note:
            raise Cancelled

    high, low = painted(sphere(0.5, 1)), laid_out(sphere(0.5, 1), "planar")
    with pytest.raises(Cancelled):
        Trace(resolution_px=SIZE_PX)(CallbackRun(stop), raycaster(), rasterizer, high_poly=high, unwrapped=low)


def test_the_default_is_free_and_the_other_says_what_it_takes() -> None:
    assert RASTERIZERS.choose("auto") == "texels"
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
    found, weights = inside(place, triangles.array, *size)
    image = np.column_stack([weights[:, 0], weights[:, 1], np.zeros(len(found)), found + 1.0])
    return Tensor(image.reshape(1, size[0], size[1], 4).astype(np.float32)), None


def replace_library(monkeypatch: pytest.MonkeyPatch) -> None:
    torch, package, library = ModuleType("torch"), ModuleType("nvdiffrast"), ModuleType("nvdiffrast.torch")
    torch.from_numpy = Tensor  # type: ignore[attr-defined]
    library.RasterizeCudaContext = lambda device: device  # type: ignore[attr-defined]
    library.rasterize = rasterize  # type: ignore[attr-defined]
    package.torch = library  # type: ignore[attr-defined]
    for name, module in (("torch", torch), ("nvdiffrast", package), ("nvdiffrast.torch", library)):
        monkeypatch.setitem(sys.modules, name, module)
    # strips of 16 rows at 64 texels and of 8 at 128
    monkeypatch.setattr(nvdiffrast, "TEXELS_A_STRIP", 21 * SIZE_PX)


@pytest.mark.parametrize(("size_px", "height"), [(64, 64), (1000, 1024), (4096, 4096), (5000, 2048), (16384, 1024)])
def test_strips_scale_without_rounding_and_hold_no_more_than_is_allowed(size_px: int, height: int) -> None:
    assert nvdiffrast.strip_height(size_px) == height
    assert height * size_px <= nvdiffrast.TEXELS_A_STRIP


def test_a_last_strip_that_reaches_past_the_map_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """40 rows in strips of 16: of the third only half belongs to the map."""
    replace_library(monkeypatch)
    monkeypatch.setattr(nvdiffrast, "TEXELS_A_STRIP", 16 * 40)
    whole = np.float32([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    covered = nvdiffrast.NvdiffrastRasterizer().cover(whole, np.int32([[0, 1, 2]]), 40, lambda share: None)
    np.testing.assert_array_equal(covered.index, np.arange(40 * 40))
    assert not covered.faces.any()


def test_numbers_of_triangles_beyond_what_a_float_counts() -> None:
    numbers = np.array([0, 1, 2**24 - 1, 2**24, 2**24 + 1, 50_000_001], np.int64)
    plain = (numbers + 1).astype(np.float32)
    packed = (numbers + 1 + 0x4A800000).astype(np.int32).view(np.float32)
    stored = np.where(numbers + 1 <= 2**24, plain, packed).astype(np.float32)
    np.testing.assert_array_equal(nvdiffrast.triangle_numbers(stored), numbers)
