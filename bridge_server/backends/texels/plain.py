"""Texels in plain NumPy: what the compiled kernels are held against, and what serves where they cannot be had."""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, UInt16

from bridge_server.backends.table import Availability
from bridge_server.backends.texels.base import (
    INSET_PX,
    NORMAL_POWER,
    ON_EDGE,
    PLANE_SHARPNESS,
    Atlas,
    Cells,
    Places,
    SurfaceMap,
    Watch,
)
from bridge_server.values.directions import in_tangent_space
from bridge_server.values.mesh import Mesh, vertex_normals
from bridge_server.values.texel_grid import Covered, cover_centers, gathered, touched_texels, weights_at_centers

FLAT = (0.0, 0.0, 1.0)
FULL = 65535.0


class PlainTexels:
    """Everything at once, in single or double precision."""

    @property
    def identity(self) -> str:
        """NumPy's version says nothing that would matter."""
        return "plain"

    @classmethod
    def availability(cls) -> Availability:
        """Always there."""
        return Availability(available=True, detail="NumPy, several times slower than compiled kernels")

    def cells(self, atlas: Atlas, watch: Watch, centers: Covered | None = None) -> Cells:
        """Sub-texel centres inside charts, then the texels that are only grazed."""
        across, edge, fine = atlas.across, atlas.resolution_px, atlas.supersample
        watch(0.0)
        inside = gathered(cover_centers(atlas.uvs, atlas.faces, across)) if centers is None else centers
        watch(0.3)
        weights = _off_edges(atlas, inside, weights_at_centers(atlas.uvs, atlas.faces, across, inside))
        covered = np.zeros(edge * edge, np.bool_)
        covered[inside.index // across // fine * edge + inside.index % across // fine] = True
        watch(0.6)
        grazed, grazed_weights = _grazed(atlas, covered)
        watch(0.9)
        row, column = np.divmod(grazed.index.astype(np.int64), edge)
        moved = (row * fine + fine // 2) * across + column * fine + fine // 2
        covered[grazed.index] = True
        index = np.concatenate([inside.index, moved.astype(np.int32)])
        order = np.argsort(index, kind="stable")
        order = order[np.concatenate([[True], np.diff(index[order]) > 0])] if len(order) else order
        return Cells(
            index=index[order],
            faces=np.concatenate([inside.faces, grazed.faces])[order],
            weights=np.concatenate([weights, grazed_weights])[order][:, 1:].astype(np.float32),
            coverage=covered.reshape(edge, edge),
        )

    def vertex_normals(
        self, positions_m: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]
    ) -> Float32[np.ndarray, "vertices 3"]:
        """Angle-weighted, unit length."""
        return vertex_normals(Mesh(positions_m=positions_m, faces=faces))

    def interpolated(
        self, corners: Float32[np.ndarray, "faces 3 3"], places: Places, *, unit: bool = False
    ) -> Float32[np.ndarray, "places 3"]:
        """Vectors at places."""
        found = _interpolated(corners, places)
        return _unit_rows(found, (0.0, 1.0, 0.0)) if unit else found

    def tangent_normals(
        self,
        detail: Float32[np.ndarray, "high_faces 3 3"],
        high: Places,
        frames: Float32[np.ndarray, "low_faces 3 7"],
        low: Places,
    ) -> Float32[np.ndarray, "places 3"]:
        """Normals of the high poly in the frames of the low poly."""
        directions = _unit_rows(_interpolated(detail, high), (0.0, 1.0, 0.0))
        frame = _interpolated(frames, low)
        return in_tangent_space(directions, frame[:, :3], frame[:, 3:6], frame[:, 6:])

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
        row, column = np.divmod(index.astype(np.int64), edge * supersample)
        texel = (row // supersample - first_row) * edge + column // supersample
        count = np.maximum(np.bincount(texel, minlength=rows * edge), 1)
        for channel in range(channels):
            sums = np.bincount(texel, values[:, channel], minlength=rows * edge)
            means[:, :, channel] = (sums / count).reshape(rows, edge)

    def unit_words(self, vectors: Float32[np.ndarray, "texels 3"]) -> UInt16[np.ndarray, "texels 3"]:
        """Directions as 16 bits a component."""
        return np.rint((_unit_rows(vectors, FLAT, least=1e-6) * 0.5 + 0.5) * FULL).astype(np.uint16)

    def smoothed(
        self, values: Float32[np.ndarray, "size size"], surface: SurfaceMap, step: int, spread: float, rows: slice
    ) -> Float32[np.ndarray, "rows size"]:
        """All rows at once, of which the wanted ones are kept."""
        kernel = np.array([1.0, 4.0, 6.0, 4.0, 1.0], np.float32) / 16.0
        sums, total = np.zeros_like(values), np.zeros_like(values)
        for row in range(-2, 3):
            for column in range(-2, 3):
                mine, other, weight = _neighbours(values, surface, (row * step, column * step), spread)
                weight *= kernel[row + 2] * kernel[column + 2]
                sums[mine] += weight * values[other]
                total[mine] += weight
        return np.where(total > 0.0, sums / np.maximum(total, 1e-12), values)[rows]

    def enlarged(
        self,
        values: Float32[np.ndarray, "small small"],
        small: SurfaceMap,
        large: SurfaceMap,
        factor: int,
        rows: slice,
    ) -> Float32[np.ndarray, "rows size"]:
        """The four coarse texels in turn."""
        row, column = np.nonzero(large.charts[rows] >= 0)
        place = row + rows.start, column
        y, x = ((at + 0.5) / factor - small.taken_at for at in place)
        top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
        sums, total = np.zeros(len(row)), np.zeros(len(row))
        for down in (0, 1):
            for right in (0, 1):
                near = np.clip(top + down, 0, len(values) - 1), np.clip(left + right, 0, len(values) - 1)
                across = np.where(down, y - top, 1 - y + top) * np.where(right, x - left, 1 - x + left)
                facing = np.maximum(np.einsum("ij,ij->i", large.normals[place], small.normals[near]), 0.0)
                weight = (across + 1e-3) * (facing**NORMAL_POWER + 1e-4)
                weight *= small.charts[near] == large.charts[place]
                sums += weight * values[near]
                total += weight
        result = np.full(large.charts[rows].shape, np.nan, np.float32)
        result[row, column] = np.where(total > 0.0, sums / np.where(total > 0.0, total, 1.0), np.nan)
        return result

    def nearest_covered(
        self, covered: Bool[np.ndarray, "size size"]
    ) -> tuple[Int64[np.ndarray, "size size"], Float32[np.ndarray, "size size"]]:
        """By SciPy's exact transform."""
        from scipy.ndimage import distance_transform_edt

        away, (rows, columns) = distance_transform_edt(~covered, return_indices=True)
        return rows.astype(np.int64) * len(covered) + columns, away.astype(np.float32)


def _grazed(atlas: Atlas, covered: Bool[np.ndarray, "texels"]) -> tuple[Covered, Float64[np.ndarray, "grazed 3"]]:
    """Texels that a chart touches without covering any of their centres, once each, by the nearest face."""
    edge = atlas.resolution_px
    kept = gathered(
        Covered(index=block.index[rows], faces=block.faces[rows])
        for block in touched_texels(atlas.uvs, atlas.faces, edge)
        for rows in (np.flatnonzero(~covered[block.index]),)
    )
    weights = weights_at_centers(atlas.uvs, atlas.faces, edge, kept)
    corners = atlas.uvs[atlas.faces[kept.faces]].astype(np.float64) * edge
    places = np.einsum("tc,tcd->td", weights, corners)
    center = np.stack([kept.index % edge, kept.index // edge], axis=1) + 0.5
    order = np.lexsort((kept.faces, ((places - center) ** 2).sum(axis=1), kept.index))
    first = np.concatenate([[True], np.diff(kept.index[order]) > 0]) if len(order) else np.zeros(0, np.bool_)
    chosen = order[first]
    inner = _inset(weights[chosen], places[chosen], corners[chosen])
    return Covered(index=kept.index[chosen], faces=kept.faces[chosen]), inner


def _off_edges(
    atlas: Atlas, inside: Covered, weights: Float64[np.ndarray, "cells 3"]
) -> Float64[np.ndarray, "cells 3"]:
    """Move centres that lie on an edge of their face inwards; packers like to put straight borders just there."""
    rows = np.flatnonzero(weights.min(axis=1) < ON_EDGE)
    corners = atlas.uvs[atlas.faces[inside.faces[rows]]].astype(np.float64) * atlas.across
    weights[rows] = _inset(weights[rows], np.einsum("tc,tcd->td", weights[rows], corners), corners)
    return weights


def _inset(
    weights: Float64[np.ndarray, "n 3"], places_px: Float64[np.ndarray, "n 2"], corners_px: Float64[np.ndarray, "n 3 2"]
) -> Float64[np.ndarray, "n 3"]:
    """Move places towards the centre of their face by a fixed way, at most half of it."""
    away = np.linalg.norm(corners_px.mean(axis=1) - places_px, axis=1)
    share = np.minimum(INSET_PX / np.maximum(away, 1e-9), 0.5)[:, None]
    return weights * (1.0 - share) + share / 3.0


def _interpolated(corners: Float32[np.ndarray, "faces 3 n"], places: Places) -> Float32[np.ndarray, "places n"]:
    chosen = corners[places.faces]
    first = chosen[:, 0]
    weights = places.weights
    return first + weights[:, :1] * (chosen[:, 1] - first) + weights[:, 1:] * (chosen[:, 2] - first)


def _unit_rows(
    vectors: Float32[np.ndarray, "n 3"], otherwise: tuple[float, ...], least: float = 1e-12
) -> Float32[np.ndarray, "n 3"]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(length, least)
    return np.where(length > least, unit, np.array(otherwise, np.float32)).astype(np.float32)


def _neighbours(
    values: Float32[np.ndarray, "size size"], surface: SurfaceMap, offset: tuple[int, int], spread: float
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Texels, their neighbours of the same chart at one offset, and how much these weigh."""
    here, there = _shifted(len(values), offset)
    rows, columns = np.nonzero((surface.charts[here] == surface.charts[there]) & (surface.charts[here] >= 0))
    mine = (rows + here[0].start, columns + here[1].start)
    other = (rows + there[0].start, columns + there[1].start)
    normal = surface.normals[mine]
    off_plane = np.einsum("ij,ij->i", surface.points_m[other] - surface.points_m[mine], normal)
    facing = np.maximum(np.einsum("ij,ij->i", normal, surface.normals[other]), 0.0)
    change = (values[other] - values[mine]) / spread
    far = off_plane / (PLANE_SHARPNESS * max(surface.texel_m, 1e-12) * max(abs(offset[0]), abs(offset[1]), 1))
    return mine, other, (facing**NORMAL_POWER * np.exp(-(far**2) - change**2)).astype(np.float32)


def _shifted(size: int, offset: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of a map and of the same map moved by the offset, where both exist."""
    here = tuple(slice(max(0, -step), size - max(0, step)) for step in offset)
    there = tuple(slice(max(0, step), size - max(0, -step)) for step in offset)
    return (here[0], here[1]), (there[0], there[1])
