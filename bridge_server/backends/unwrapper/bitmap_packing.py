"""Packing of charts by their true outlines, in any of several orientations, on a grid of cells.

Charts are drawn as bitmaps, conservatively, and widened by the gap; each is put, the largest first, where it comes
to lie highest up in the square, holes included. Density is found by bisection. The kernels run on the processor.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Complex128, Float32, Float64, Int32, Int64

from bridge_server.backends.unwrapper.base import NO_ROOM, Atlas, UnwrapSettings
from bridge_server.errors import StageFailed
from bridge_server.home import cache_home
from bridge_server.run import Run
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh import Mesh, face_cross_products

MOST_CELLS = 512
"""Cells along an edge of the square, at most; a cell is a whole number of texels."""
ORIENTATIONS = 8
SMALL_CELLS, SMALL_ORIENTATIONS = 10, 2
"""Charts no larger than this are tried in fewer orientations."""
LEVELS = 10
"""Up to runs of 2^9 cells and twice that."""
DENSITY_STEPS = 5
STEP = 1.06
"""Factor between densities until one fits and the next one does not."""
FIRST_SHARE = 0.62
"""Share of the square that is tried first."""
ORDERS, MANY_CHARTS, FEW_ORDERS = 6, 150, 3
"""Orders tried at each density; fewer where there are many charts."""
TALL = (2, 1, 0)
"""How heavy a chart's own height weighs beside the height at which it lies, over 2; orders take turns."""
ORDER_NOISE = 0.4
"""Standard deviation of what is added to the logarithm of a chart's area when orders are varied."""
ANGLES, EDGES = 16, 24
"""Directions that are tried for the bounding rectangle: spread evenly, and along so many outline edges."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """The square, in cells."""

    cells: int
    cell_px: int
    gap_cells: int


@dataclass(frozen=True, slots=True)
class _Pictures:
    """Charts in all orientations, in cells; each picture starts at (0, 0)."""

    corners: Float64[np.ndarray, "pictured 3 2"]
    picture: Int64[np.ndarray, "pictured"]
    turn: Int64[np.ndarray, "pictures"]
    low: Float64[np.ndarray, "pictures 2"]
    extent: Float64[np.ndarray, "pictures 2"]
    first: Int64[np.ndarray, "more"]
    """First picture of each chart, and the number of all."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Pictures as runs of cells, ready to be placed."""

    arrays: tuple[Any, ...]
    cells: Int64[np.ndarray, "charts"]


def load_kernels() -> ModuleType:
    """Import Warp quietly, with its cache in the cache folder, and load the kernels, compiled if they have to be."""
    import warp as wp

    wp.config.log_level = wp.LOG_WARNING
    wp.config.kernel_cache_dir = str(cache_home() / "warp")
    wp.init()
    from bridge_server.backends.unwrapper import bitmap_kernels

    wp.load_module(bitmap_kernels, device="cpu")
    return bitmap_kernels


def grid_of(resolution_px: int, padding_px: int) -> _Grid:
    """The finest grid of whole texels that has no more than ``MOST_CELLS``."""
    cell_px = max(-(-resolution_px // MOST_CELLS), 1)
    return _Grid(cells=resolution_px // cell_px, cell_px=cell_px, gap_cells=-(-padding_px // cell_px))


def packed(
    corners: Complex128[np.ndarray, "faces 3"],
    charts: Int64[np.ndarray, "faces"],
    rim: Bool[np.ndarray, "half_edges"],
    settings: UnwrapSettings,
    run: Run,
) -> Float64[np.ndarray, "faces 3 2"]:
    """Places of all corners in texels, at the density that is asked for, else the greatest that fits.

    ``rim`` tells the edges that are outline. Raises ``StageFailed`` where no density fits.
    """
    packer = Packer(corners, charts, rim, grid_of(settings.resolution_px, settings.padding_px))
    if packer.count * (packer.grid.gap_cells + 1) ** 2 > packer.grid.cells**2:
        raise _too_many(packer.count)
    orders = ORDERS if packer.count <= MANY_CHARTS else FEW_ORDERS
    if settings.texels_per_m:
        places = packer.attempt(settings.texels_per_m, orders)
        if places is not None:
            return places
    full = settings.resolution_px / packer.area_m2**0.5
    limit = min(full, settings.texels_per_m or full)
    return _densest(packer, min(full * FIRST_SHARE**0.5, limit), limit, orders, run)


def repacked(mesh: Mesh, atlas: Atlas, settings: UnwrapSettings, run: Run) -> Float32[np.ndarray, "corners 2"]:
    """Texture coordinates of charts that are packed anew, as large beside each other as they are in the atlas."""
    corners = atlas.uvs.astype(np.float64)[atlas.faces] @ np.array([1.0, 1j])
    flat = np.abs(np.imag(np.conj(corners[:, 1] - corners[:, 0]) * (corners[:, 2] - corners[:, 0]))).sum()
    corners *= np.sqrt(np.linalg.norm(face_cross_products(mesh), axis=1).sum() / max(float(flat), 1e-300))
    charts = np.unique(atlas.charts, return_inverse=True)[1].reshape(-1)
    rim = opposite_half_edges(atlas.faces) < 0
    places = packed(corners, charts, rim, settings, run)
    uvs = np.zeros(atlas.uvs.shape, np.float32)
    uvs[atlas.faces.reshape(-1)] = places.reshape(-1, 2) / settings.resolution_px
    return uvs


def _densest(packer: "Packer", start: float, limit: float, orders: int, run: Run) -> Float64[np.ndarray, "faces 3 2"]:
    """Step up or down until one density fits and the next does not, then halve what lies between."""
    low, high, best = 0.0, limit, packer.attempt(start, orders)
    density = start
    while best is None:
        run.checkpoint(0.2, "packing charts")
        if density < limit * 1e-3:
            raise _too_many(packer.count)
        high, density = density, density / STEP if density > start / 2.0 else density / 2.0
        best = packer.attempt(density, orders)
    low = density
    while high == limit and low < limit:
        run.checkpoint(0.4, "packing charts")
        density = min(low * STEP, limit)
        trial = packer.attempt(density, orders)
        if trial is None:
            high = density
            break
        low, best = density, trial
    for step in range(DENSITY_STEPS):
        run.checkpoint(0.5 + 0.1 * step, "packing charts")
        if high - low < 0.004 * low:
            break
        middle = (low + high) / 2.0
        trial = packer.attempt(middle, orders)
        if trial is None:
            high = middle
        else:
            low, best = middle, trial
    return best


def _too_many(charts: int) -> StageFailed:
    return StageFailed(
        f"{charts} charts do not fit into the atlas with the gap that is asked for.",
        subject="packing",
        remedy="Raise unwrap.resolution_px or lower unwrap.padding_px.",
        reason=NO_ROOM,
    )


def best_angles(
    corners: Complex128[np.ndarray, "faces 3"],
    charts: Int64[np.ndarray, "faces"],
    rim: Bool[np.ndarray, "half_edges"],
    count: int,
) -> Complex128[np.ndarray, "charts"]:
    """For each chart the turn, by an outline edge or a fixed angle, that makes its bounding rectangle smallest."""
    flat, chart = corners.reshape(-1), np.repeat(charts, 3)
    edge = (np.roll(corners, -1, axis=1) - corners).reshape(-1)
    length = np.where(rim, np.abs(edge), -1.0)
    ranked = np.lexsort((-length, chart))
    starts = np.searchsorted(chart[ranked], np.arange(count + 1))
    ordered = flat[ranked]
    best, found = np.full(count, np.inf), np.ones(count, np.complex128)
    for trial in range(ANGLES + EDGES):
        if trial < ANGLES:
            turn = np.full(count, np.exp(0.5j * np.pi * trial / ANGLES))
        else:
            pick = ranked[np.minimum(starts[:-1] + trial - ANGLES, starts[1:] - 1)]
            size = np.abs(edge[pick])
            turn = np.where(size > 0, np.conj(edge[pick]) / np.where(size > 0, size, 1.0), 1.0)
        turned = ordered * np.repeat(turn, np.diff(starts))
        wide = np.maximum.reduceat(turned.real, starts[:-1]) - np.minimum.reduceat(turned.real, starts[:-1])
        high = np.maximum.reduceat(turned.imag, starts[:-1]) - np.minimum.reduceat(turned.imag, starts[:-1])
        better = wide * high < best * (1.0 - 1e-9)
        best, found = np.where(better, wide * high, best), np.where(better, turn, found)
    return found


class Packer:
    """Charts that wait to be packed at one density or another."""

    def __init__(
        self,
        corners: Complex128[np.ndarray, "faces 3"],
        charts: Int64[np.ndarray, "faces"],
        rim: Bool[np.ndarray, "half_edges"],
        grid: _Grid,
    ) -> None:
        self.kernels, self.grid = load_kernels(), grid
        self.faces = np.argsort(charts, kind="stable")
        self.count = int(charts.max()) + 1
        self.charts = charts[self.faces]
        turned = corners * best_angles(corners, charts, rim, self.count)[charts][:, None]
        self.places = turned[self.faces]
        self.starts = np.searchsorted(self.charts, np.arange(self.count + 1))
        doubled = np.imag(np.conj(self.places[:, 1] - self.places[:, 0]) * (self.places[:, 2] - self.places[:, 0]))
        self.area_m2 = float(np.abs(doubled).sum()) / 2.0
        self.turns = np.exp(2j * np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS)
        low, high = self._bounds(self.places)
        self.box = high - low

    def _bounds(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        xy = np.stack([places.real, places.imag], axis=2)
        one, two, three = xy[:, 0], xy[:, 1], xy[:, 2]
        low, high = np.minimum(np.minimum(one, two), three), np.maximum(np.maximum(one, two), three)
        return (
            np.minimum.reduceat(low, self.starts[:-1], axis=0),
            np.maximum.reduceat(high, self.starts[:-1], axis=0),
        )

    def attempt(self, density_px_per_m: float, orders: int = 1) -> Float64[np.ndarray, "faces 3 2"] | None:
        """Places in texels at that density, in the first of so many orders that fits; None where none does."""
        scale = density_px_per_m / self.grid.cell_px
        pictures = self._pictured(scale)
        drawn = self._drawn(pictures)
        if drawn is None:
            return None
        for number in range(orders):
            placed = self._placed(drawn, self._order(drawn.cells, number // 3), TALL[number % 3])
            if placed is not None:
                return self._places(pictures, placed, scale)
        return None

    def _order(self, cells: Int64[np.ndarray, "charts"], number: int) -> Int64[np.ndarray, "charts"]:
        """The largest first; in further attempts only about so."""
        if number == 0:
            return np.argsort(-cells, kind="stable")
        noise = np.random.default_rng(number).normal(0.0, ORDER_NOISE, len(cells))
        return np.argsort(-np.log(np.maximum(cells, 1)) + noise, kind="stable")

    def _pictured(self, scale: float) -> _Pictures:
        small = self.box.max(axis=1) * scale <= SMALL_CELLS
        turns = np.arange(ORIENTATIONS)
        wanted = ~small[:, None] | (turns == 0) | (turns == ORIENTATIONS // 4)
        chart_of, turn_of = np.nonzero(wanted)
        lookup = np.full(wanted.shape, -1, np.int64)
        lookup[chart_of, turn_of] = np.arange(len(chart_of))
        lows, highs = np.zeros((len(chart_of), 2)), np.zeros((len(chart_of), 2))
        corners, picture = [], []
        for k, turn in enumerate(self.turns):
            there = wanted[:, k]
            turned = self.places * (turn * scale)
            low, high = self._bounds(turned)
            number = lookup[there, k]
            lows[number], highs[number] = low[there], high[there]
            face = np.flatnonzero(there[self.charts])
            corners.append(np.stack([turned.real, turned.imag], axis=2)[face] - low[self.charts[face]][:, None, :])
            picture.append(lookup[self.charts[face], k])
        return _Pictures(
            corners=np.concatenate(corners),
            picture=np.concatenate(picture),
            turn=turn_of,
            low=lows,
            extent=highs - lows,
            first=np.searchsorted(chart_of, np.arange(self.count + 1)),
        )

    def _places(self, pictures: _Pictures, placed: np.ndarray, scale: float) -> Float64[np.ndarray, "faces 3 2"]:
        chosen = placed[:, 0]
        turned = self.places * (self.turns[pictures.turn[chosen]] * scale)[self.charts][:, None]
        xy = np.stack([turned.real, turned.imag], axis=2) - pictures.low[chosen][self.charts][:, None, :]
        xy = (xy + placed[self.charts][:, None, 1:] + self.grid.gap_cells // 2) * self.grid.cell_px
        result = np.empty_like(xy)
        result[self.faces] = xy
        return result

    def _drawn(self, pictures: _Pictures) -> _Drawn | None:
        kernels, wp = self.kernels, self.kernels.wp
        gap, size = self.grid.gap_cells, self.grid.cells
        box = np.floor(pictures.extent + 0.05).astype(np.int64) + 1 + gap
        wide, high = box.T
        if np.minimum.reduceat(box.max(axis=1), pictures.first[:-1]).max() > size:
            return None
        words = -(-wide // 64)
        starts = np.concatenate([[0], np.cumsum(words * high)])
        rows = np.concatenate([[0], np.cumsum(high)])
        whole = [_sent(wp, part) for part in (starts[:-1], words, high, rows[:-1])]
        bits = _sent(wp, np.zeros(int(starts[-1]) + 1, np.uint64))
        counts = np.zeros(int(rows[-1]), np.int32)
        inputs = [_sent(wp, pictures.corners.reshape(-1, 6)), _sent(wp, pictures.picture), *whole[:2], gap, bits]
        wp.launch(kernels.draw, dim=len(pictures.picture), inputs=inputs, device="cpu")
        wp.launch(kernels.thicken, dim=len(box), inputs=[*whole[:3], gap, bits], device="cpu")
        wp.launch(kernels.count_runs, dim=len(box), inputs=[*whole, bits, _sent(wp, counts)], device="cpu")
        firsts = np.concatenate([[0], np.cumsum(counts)])
        runs = np.zeros((int(firsts[-1]) + 1, 3), np.int32)
        sent = [_sent(wp, firsts), _sent(wp, runs), _sent(wp, np.zeros((len(box), 2), np.int32))]
        wp.launch(kernels.list_runs, dim=len(box), inputs=[*whole, bits, *sent], device="cpu")
        sums = np.concatenate([[0], np.cumsum(runs[:-1, 1])])
        sums = sums[firsts[rows]]
        cells = np.diff(sums)[pictures.first[:-1]]
        if cells.sum() > size * size:
            return None
        arrays = (_sent(wp, pictures.first), _sent(wp, wide), whole[2], whole[3], *sent)
        return _Drawn(arrays=arrays, cells=cells)

    def _placed(
        self, drawn: _Drawn, order: Int64[np.ndarray, "charts"], tall: int
    ) -> Int32[np.ndarray, "charts 3"] | None:
        wp, size = self.kernels.wp, self.grid.cells
        stride = size // 64 * 2 + 4
        square = np.zeros(LEVELS * size * stride, np.uint64)
        result = np.full((self.count, 3), -1, np.int32)
        gaps = np.full(size, size, np.int32)
        inputs = [_sent(wp, order), *drawn.arrays, size, stride, LEVELS, tall]
        inputs += [_sent(wp, part) for part in (square, gaps, result)]
        wp.launch(self.kernels.place_all, dim=1, inputs=inputs, device="cpu")
        return result if (result[:, 0] >= 0).all() else None


def _sent(wp: Any, values: np.ndarray) -> Any:
    """The same memory as a Warp array; whole numbers become 32 bits."""
    if values.dtype == np.int64:
        values = values.astype(np.int32)
    kinds = {"int32": wp.int32, "uint64": wp.uint64, "float64": wp.float64}
    return wp.array(np.ascontiguousarray(values), dtype=kinds[values.dtype.name], device="cpu", copy=False)


if __name__ == "__main__":
    load_kernels()
