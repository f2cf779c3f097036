"""Insides that nothing of use could be put into: a bottle's, reached through its neck alone.

For collision such an inside is solid: a player can neither get in nor throw anything in, and pieces that went around it
would be many and thin. An open vessel keeps its inside.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int64

from bridge_server.values.mesh import Mesh
from bridge_server.values.solid import bounded_solid, cavities_filled, mesh_of, spread_points

if TYPE_CHECKING:
    from manifold3d import Manifold

OPENING = 0.12
"""An inside is filled where all its openings are narrower than this, as a share of the longest side."""
CELLS = 64
"""Of the grid along the longest side."""
SAMPLES = 100_000
COARSE = 25_000
"""Of the samples, so many tell the distance of a wall that is cells away."""
LEAST_ROOM = 0.02
"""Smallest room that is filled, as a share of the solid's volume."""
MOUTH_CELLS = 3.0
"""How far around an opening its wall is taken to close it."""
TOLD_APART = 1.5
"""Cells that lie this near to the outside belong to an opening."""

Cells = Bool[np.ndarray, "x y z"]


def filled(mesh: Mesh) -> Mesh | None:
    """A closed mesh with such insides filled; None where it has none, or bounds no solid.

    Rooms are found on a grid: places that a ball as wide as ``OPENING`` fits into but cannot be rolled to from
    outside. Each opening is closed by the convex hull of the wall around it, so all else stays exact.
    """
    whole = bounded_solid(mesh)
    if whole is None or whole.volume() > _most_solid(whole):
        return None
    grid = _Grid(mesh)
    inside = grid.rooms(whole)
    if not inside.any():
        return None
    closed = cavities_filled(whole + _stoppers(whole, grid.mouths(inside), grid))
    gained_m3 = closed.volume() - whole.volume()
    room_m3 = float(inside.sum()) * grid.cell_m**3
    return mesh_of(closed) if 0.5 * room_m3 <= gained_m3 <= 2.0 * grid.void_m3(inside) else None


def _most_solid(whole: "Manifold") -> float:
    """Volume above which the hull leaves no place for a room."""
    return float(whole.hull().volume()) / (1.0 + LEAST_ROOM)


class _Grid:
    """Distances to the surface, and where a ball of half ``OPENING`` can be rolled to from outside; in cells."""

    def __init__(self, mesh: Mesh) -> None:
        from scipy.ndimage import distance_transform_edt, label
        from scipy.spatial import KDTree

        extent = np.ptp(mesh.positions_m, axis=0).astype(np.float64)
        self.cell_m = float(extent.max()) / CELLS
        self.radius = OPENING * CELLS / 2.0
        margin = int(np.ceil(self.radius)) + 2
        self.origin_m = mesh.positions_m.min(axis=0).astype(np.float64) - margin * self.cell_m
        shape = np.ceil(extent / self.cell_m).astype(int) + 2 * margin + 1
        points = (spread_points(mesh, SAMPLES) - self.origin_m) / self.cell_m
        touched = np.zeros(shape, np.bool_)
        touched[tuple(np.rint(points).astype(int).T)] = True
        self.distance: Float64[np.ndarray, "x y z"] = distance_transform_edt(~touched)
        # A cell is off by less than its own diagonal; only about the radius does that matter.
        close = np.argwhere(np.abs(self.distance - self.radius) < 1.0)
        self.distance[tuple(close.T)] = KDTree(points[:: SAMPLES // COARSE]).query(close.astype(np.float64))[0]
        self.labels, self.count = label(self.distance > self.radius)
        outer = self.labels == self.labels[0, 0, 0]
        self.outside = distance_transform_edt(~outer) <= self.radius

    def place_m(self, cells: Int64[np.ndarray, "cells 3"]) -> Float64[np.ndarray, "cells 3"]:
        """Centres of cells."""
        return cells * self.cell_m + self.origin_m

    def rooms(self, whole: "Manifold") -> Cells:
        """Where the ball fits in without being in the material; only rooms that are worth it."""
        from manifold3d import Manifold

        found = np.zeros_like(self.outside)
        dot = Manifold.cube((0.1 * self.cell_m,) * 3, True)
        for number in range(1, self.count + 1):
            room = self.labels == number
            if number == self.labels[0, 0, 0] or room.sum() * self.cell_m**3 < LEAST_ROOM * whole.volume():
                continue
            middle = self.place_m(np.argwhere(room)[:1])[0]
            if (dot.translate(tuple(middle)) ^ whole).volume() <= 0.0:
                found |= room
        return found

    def mouths(self, inside: Cells) -> list[Int64[np.ndarray, "cells 3"]]:
        """Cells of each opening: where the space around the rooms meets the outside."""
        from scipy.ndimage import distance_transform_edt, label

        space = self._space(inside)
        near = space & (distance_transform_edt(~self.outside) <= TOLD_APART)
        labels, count = label(near, np.ones((3, 3, 3), int))
        return [np.argwhere(labels == number) for number in range(1, count + 1)]

    def void_m3(self, inside: Cells) -> float:
        """Volume of the space around the rooms, walls not counted."""
        return float(self._space(inside).sum()) * self.cell_m**3

    def _space(self, inside: Cells) -> Cells:
        """The rooms with all that is connected to them away from the walls and not outside."""
        from scipy.ndimage import label

        labels, _ = label(~self.outside & (self.distance > 1.0))
        space: Cells = np.isin(labels, np.setdiff1d(np.unique(labels[inside]), [0]))
        return space


def _stoppers(whole: "Manifold", mouths: list[Int64[np.ndarray, "cells 3"]], grid: _Grid) -> "Manifold":
    """For each opening the hull of the wall around it."""
    from manifold3d import Manifold, OpType

    stoppers = []
    for cells in mouths:
        low, high = grid.place_m(np.stack([cells.min(axis=0), cells.max(axis=0)]))
        reach_m = MOUTH_CELLS * grid.cell_m
        box = Manifold.cube(tuple(high - low + 2.0 * reach_m)).translate(tuple(low - reach_m))
        stoppers.append((whole ^ box).hull())
    return Manifold.batch_boolean(stoppers, OpType.Add) if stoppers else Manifold()
