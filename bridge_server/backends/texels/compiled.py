"""Texels by Warp kernels that are compiled for the processor: each block of work runs on a core of its own.

A map on a GPU is traced there (see the ray casters); what is left to these kernels costs less than the way to the GPU
and back.
"""

from dataclasses import dataclass
from importlib.metadata import version
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt16

from bridge_server.backends.raycaster.warp import start_warp, warp_availability
from bridge_server.backends.table import Availability
from bridge_server.backends.texels.base import Atlas, Cells, Places, SurfaceMap, Watch
from bridge_server.blocks import BLOCK, over_blocks
from bridge_server.values.texel_grid import Covered, snapped

NOBODY = np.int32(2**31 - 1)
FARTHEST = np.uint64(2**64 - 1)
FACES_A_CHUNK = 1 << 20
CELLS_A_STRIP = 1 << 18
LINES_A_BLOCK = 128


class CompiledTexels:
    """Kernels over arrays of the caller; only what is listed in their signatures is touched."""

    def __init__(self) -> None:
        self._modules = load_kernels()

    @property
    def identity(self) -> str:
        """Warp's version."""
        return f"warp {version('warp-lang')}"

    @classmethod
    def availability(cls) -> Availability:
        """Present or not; does not start Warp."""
        return warp_availability()

    def cells(self, atlas: Atlas, watch: Watch, centers: Covered | None = None) -> Cells:
        """Strip by strip, so that no more than a few of them lie open at a time."""
        edge, fine = atlas.resolution_px, atlas.supersample
        layout = _Layout(
            faces=np.ascontiguousarray(atlas.faces.reshape(-1)),
            points=snapped(atlas.uvs, atlas.across).astype(np.int32).reshape(-1),
            coarse_points=snapped(atlas.uvs, edge).astype(np.int32).reshape(-1),
            centers=centers,
        )
        bounds = _row_bounds(atlas)
        height = max(CELLS_A_STRIP // (atlas.across * fine), 1)
        strips = [(first, min(first + height, edge)) for first in range(0, edge, height)]
        found: list[Cells | None] = [None] * len(strips)

        def work(part: slice) -> None:
            for number in range(part.start, part.stop):
                first, last = strips[number]
                listed = np.flatnonzero((bounds[:, 1] >= first) & (bounds[:, 0] < last)).astype(np.int32)
                found[number] = self._strip(atlas, layout, listed, first, last)

        over_blocks(work, len(strips), 1, watch)
        parts = [part for part in found if part is not None]
        return Cells(
            index=np.concatenate([part.index for part in parts]),
            faces=np.concatenate([part.faces for part in parts]),
            weights=np.concatenate([part.weights for part in parts]),
            coverage=np.concatenate([part.coverage for part in parts]),
        )

    def vertex_normals(
        self, positions_m: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]
    ) -> Float32[np.ndarray, "vertices 3"]:
        """Faces are weighed on all cores, then added up in one, a chunk at a time."""
        sums = np.zeros((len(positions_m), 3))
        for first in range(0, len(faces), FACES_A_CHUNK):
            chunk = np.ascontiguousarray(faces[first : first + FACES_A_CHUNK])
            weighted = np.empty((len(chunk) * 3, 3))

            def weigh(rows: slice, chunk: np.ndarray = chunk, weighted: np.ndarray = weighted) -> None:
                corners = slice(3 * rows.start, 3 * rows.stop)
                count = rows.stop - rows.start
                self._launch("weigh_normals", count, positions_m, chunk[rows].reshape(-1), weighted[corners])

            over_blocks(weigh, len(chunk))
            self._launch("add_up", len(weighted), chunk.reshape(-1), weighted, sums)
        norm = np.sqrt(np.einsum("vi,vi->v", sums, sums))[:, None]
        up = np.broadcast_to(np.array([0.0, 1.0, 0.0]), sums.shape)
        return np.where(norm > 1e-30, sums / np.maximum(norm, 1e-30), up).astype(np.float32)

    def interpolated(
        self, corners: Float32[np.ndarray, "faces 3 3"], places: Places, *, unit: bool = False
    ) -> Float32[np.ndarray, "places 3"]:
        """Vectors at places."""
        result = np.empty((len(places.faces), 3), np.float32)
        self._launch(
            "interpolate", len(result), corners.reshape(-1, 3), int(unit), places.faces, places.weights, result
        )
        return result

    def tangent_normals(
        self,
        detail: Float32[np.ndarray, "high_faces 3 3"],
        high: Places,
        frames: Float32[np.ndarray, "low_faces 3 7"],
        low: Places,
    ) -> Float32[np.ndarray, "places 3"]:
        """Normals of the high poly in the frames of the low poly."""
        result = np.empty((len(high.faces), 3), np.float32)
        normals, tangents, signs = frames[:, :, :3], frames[:, :, 3:6], frames[:, :, 6]
        tables = (detail.reshape(-1, 3), normals.reshape(-1, 3), tangents.reshape(-1, 3), signs.reshape(-1))
        rows = (high.faces, high.weights, low.faces, low.weights)
        self._launch("tangent_normals", len(result), *tables, *rows, result)
        return result

    def row_means(
        self,
        values: Float32[np.ndarray, "cells channels"],
        index: Int32[np.ndarray, "cells"],
        means: Float32[np.ndarray, "rows resolution_px channels"],
        first_row: int,
        supersample: int,
    ) -> None:
        """Mean of the cells in each texel."""
        rows, edge, channels = means.shape
        begins = np.arange(first_row, first_row + rows + 1, dtype=np.int32) * np.int32(edge * supersample * supersample)
        starts = np.searchsorted(index, begins).astype(np.int32)
        counts = np.zeros(rows * edge, np.int32)
        means[...] = 0.0
        flat = means.reshape(-1)
        self._launch("row_means", rows, channels, edge, supersample, starts, index, values.reshape(-1), counts, flat)

    def unit_words(self, vectors: Float32[np.ndarray, "texels 3"]) -> UInt16[np.ndarray, "texels 3"]:
        """Directions as 16 bits a component."""
        words = np.empty(vectors.shape, np.uint16)

        def encode(rows: slice) -> None:
            self._launch("unit_words", rows.stop - rows.start, vectors[rows], words[rows].reshape(-1))

        over_blocks(encode, len(vectors), BLOCK * 8)
        return words

    def smoothed(
        self, values: Float32[np.ndarray, "size size"], surface: SurfaceMap, step: int, spread: float, rows: slice
    ) -> Float32[np.ndarray, "rows size"]:
        """A texel at a time."""
        size = len(values)
        result = np.empty((rows.stop - rows.start, size), np.float32)
        place = (size, rows.start, step, surface.texel_m, spread)
        tables = (surface.charts.reshape(-1), surface.points_m.reshape(-1, 3), surface.normals.reshape(-1, 3))
        self._launch("smooth", result.size, *place, *tables, values.reshape(-1), result.reshape(-1))
        return result

    def enlarged(
        self,
        values: Float32[np.ndarray, "small small"],
        small: SurfaceMap,
        large: SurfaceMap,
        factor: int,
        rows: slice,
    ) -> Float32[np.ndarray, "rows size"]:
        """A texel at a time."""
        size = len(large.charts)
        result = np.empty((rows.stop - rows.start, size), np.float32)
        place = (size, rows.start, len(values), factor, small.taken_at)
        tables = [part for one in (large, small) for part in (one.charts.reshape(-1), one.normals.reshape(-1, 3))]
        self._launch("enlarge", result.size, *place, *tables, values.reshape(-1), result.reshape(-1))
        return result

    def nearest_covered(
        self, covered: Bool[np.ndarray, "size size"]
    ) -> tuple[Int64[np.ndarray, "size size"], Float32[np.ndarray, "size size"]]:
        """Down the columns first, then over the rows."""
        size = len(covered)
        in_column = np.empty((size, size), np.int32)
        source, away = np.empty((size, size), np.int64), np.empty((size, size), np.float32)

        def down(columns: slice) -> None:
            lines = np.ascontiguousarray(covered[:, columns].T).view(np.uint8)
            nearest = np.empty(lines.shape, np.int32)
            self._launch("nearest_in_line", len(lines), size, lines.reshape(-1), nearest.reshape(-1))
            in_column[:, columns] = nearest.T

        def across(rows: slice) -> None:
            room = np.empty((2, (rows.stop - rows.start) * size), np.int32)
            outputs = (room[0], room[1], source[rows].reshape(-1), away[rows].reshape(-1))
            count = rows.stop - rows.start
            self._launch("nearest_over_lines", count, size, rows.start, in_column[rows].reshape(-1), *outputs)

        over_blocks(down, size, LINES_A_BLOCK)
        over_blocks(across, size, LINES_A_BLOCK)
        return source, away

    def _strip(
        self, atlas: Atlas, layout: "_Layout", listed: Int32[np.ndarray, "listed"], first: int, last: int
    ) -> Cells:
        """Cells of some rows of texels."""
        edge, fine, across = atlas.resolution_px, atlas.supersample, atlas.across
        rows, faces = last - first, layout.faces
        owner = np.full(rows * fine * across, NOBODY, np.int32)
        if layout.centers is None:
            place = (first * fine, rows * fine, across)
            self._launch("paint_centers", len(listed), *place, layout.points, faces, listed, owner)
        else:
            begin, end = first * fine * across, last * fine * across
            ends = np.array([begin, end], np.int32)  # of another type, the whole index would be copied for each strip
            part = slice(*np.searchsorted(layout.centers.index, ends))
            owner[layout.centers.index[part] - begin] = layout.centers.faces[part]
        covered = (owner.reshape(rows, fine, edge, fine) != NOBODY).any(axis=(1, 3))
        nearest = np.full(rows * edge, FARTHEST, np.uint64)
        flat = covered.reshape(-1)
        place = (first, rows, edge)
        self._launch("graze", len(listed), *place, layout.coarse_points, faces, listed, flat.view(np.uint8), nearest)
        grazed = np.flatnonzero(nearest != FARTHEST)
        row, column = grazed // edge, grazed % edge
        middle = (row * fine + fine // 2) * across + column * fine + fine // 2
        owner[middle] = -2 - (nearest[grazed] & np.uint64(0xFFFFFFFF)).astype(np.int32)
        flat[grazed] = True
        index = np.flatnonzero(owner != NOBODY)
        owners = owner[index]
        index = (index + first * fine * across).astype(np.int32)
        cell_faces, weights = np.empty(len(index), np.int32), np.empty((len(index), 2), np.float32)
        points = (layout.points, layout.coarse_points)
        self._launch("weigh", len(index), across, fine, *points, faces, index, owners, cell_faces, weights)
        return Cells(index=index, faces=cell_faces, weights=weights, coverage=covered)

    def _launch(self, name: str, dim: int, *arguments: Any) -> None:
        """Run a kernel in this thread; arrays are lent, and must be contiguous where they are written to."""
        if dim == 0:
            return
        wp = self._modules[0].wp
        kernel = next(getattr(module, name) for module in self._modules if hasattr(module, name))
        lent = [_lent(wp, item) if isinstance(item, np.ndarray) else item for item in arguments]
        wp.launch(kernel, dim=dim, inputs=lent, device="cpu")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Charts as kernels read them: corners of faces, and whole substeps of sub-texels and of texels, flat."""

    faces: Int32[np.ndarray, "corners"]
    points: Int32[np.ndarray, "coordinates"]
    coarse_points: Int32[np.ndarray, "coordinates"]
    centers: Covered | None
    """Found by somebody else, where they are not to be found here."""


def _row_bounds(atlas: Atlas) -> Float32[np.ndarray, "faces 2"]:
    """First and last row of texels that each face may touch."""
    rows = atlas.uvs[:, 1][atlas.faces] * atlas.resolution_px
    return np.stack([rows.min(axis=1) - 1.0, rows.max(axis=1) + 1.0], axis=1).astype(np.float32)


def _lent(wp: ModuleType, array: np.ndarray) -> Any:
    """A Warp array over the same memory, or over a contiguous copy. Rows of 2 and 3 floats become vectors."""
    kinds = {"int32": wp.int32, "int64": wp.int64, "uint8": wp.uint8, "uint16": wp.uint16, "uint64": wp.uint64}
    vectors = {(2, "float32"): wp.vec2, (3, "float32"): wp.vec3, (3, "float64"): wp.vec3d}
    name = array.dtype.name
    kind = vectors[array.shape[1], name] if array.ndim == 2 else {**kinds, "float32": wp.float32}[name]
    return wp.array(np.ascontiguousarray(array), dtype=kind, device="cpu", copy=False)


def load_kernels() -> tuple[ModuleType, ...]:
    """The modules of kernels, compiled if they have to be."""
    wp = start_warp()
    from bridge_server.backends.texels import cover_kernels, kernels, surface_kernels

    modules = (cover_kernels, kernels, surface_kernels)
    for module in modules:
        wp.load_module(module, device="cpu")
    return modules
