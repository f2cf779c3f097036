"""From a flexible dual grid to triangles: one vertex in each cell, one quad around each crossed grid edge."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from vendor.trellis2.voxels import Voxels


@dataclass(frozen=True, slots=True)
class DualGrid:
    """What the shape's decoder says about each cell."""

    voxels: Voxels
    offsets: Float32[Tensor, "cells 3"]
    """Where the vertex lies, in cells from the lowest corner; it may leave the cell a little."""
    crossed: Bool[Tensor, "cells 3"]
    """Whether the surface crosses the edge along x, y, z that starts at the cell's corner which is highest in the
    other two axes and lowest in its own. It is shared with the next cells up in those two axes."""
    split_weight: Float32[Tensor, "cells"]
    """Positive; a quad is cut along the diagonal whose ends have the larger product."""


def extract_mesh(grid: DualGrid, resolution: int) -> tuple[Float32[Tensor, "vertices 3"], Int64[Tensor, "faces 3"]]:
    """Triangles in the cube from -0.5 to 0.5 that `resolution` cells an edge fill.

    A quad with a missing cell is left out, and so is a vertex that no quad uses. A crossed edge does not say which of
    its ends is inside, so all quads across one axis wind alike and neighbours may disagree: turn them afterwards.
    """
    quads = torch.cat([_quads_across(grid, axis) for axis in range(3)])
    weight = grid.split_weight[quads]
    first = weight[:, 0] * weight[:, 2] > weight[:, 1] * weight[:, 3]
    corners = torch.where(first[:, None], quads[:, [0, 1, 2, 0, 2, 3]], quads[:, [0, 1, 3, 3, 1, 2]])
    used = torch.zeros(len(grid.voxels), dtype=torch.bool, device=quads.device)
    used[quads.reshape(-1)] = True
    number = used.to(torch.int64).cumsum(0) - 1
    positions = (grid.voxels.coords + grid.offsets)[used] / resolution - 0.5
    return positions, number[corners].view(-1, 3)


def _quads_across(grid: DualGrid, axis: int) -> Int64[Tensor, "quads 4"]:
    """Rows of the four cells around each crossed edge along an axis, in order around it."""
    rows = grid.crossed[:, axis].nonzero().squeeze(1)
    coords = grid.voxels.coords[rows]
    steps = torch.zeros((3, 3), dtype=coords.dtype)
    steps[0, (axis + 2) % 3] = steps[2, (axis + 1) % 3] = 1
    steps[1] = steps[0] + steps[2]
    around = [grid.voxels.rows_of(coords + step).long() for step in steps.to(coords.device)]
    quads = torch.stack([rows, *around], dim=1)
    return quads[(quads >= 0).all(dim=1)]
