"""Sparse volumes: which cells of a grid are there, and what each of them holds.

One object at a time (batch 1): inference never needs more, so no cell carries a batch index. Cells are looked up by a
sorted list of codes and `torch.searchsorted`, which every device offers and which gives the same table on all of them.
"""

import functools
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Int32, Int64
from torch import Tensor

AXIS_BITS = 21
"""Bits that each axis takes in a code."""
LARGEST_COORDINATE = (1 << AXIS_BITS) - 3
"""Codes leave one empty cell on either side, so that a neighbour of any cell has a code of its own."""
OFFSETS = 27
"""Cells of a 3 x 3 x 3 neighbourhood, the cell itself among them."""
ABSENT = -1
"""Row number that stands for a cell which is not there."""


class Voxels:
    """A set of distinct cells in a fixed order, with the tables that many layers share."""

    def __init__(self, coords: Int32[Tensor, "cells 3"]) -> None:
        """Cells by their whole coordinates along x, y and z, from 0 to `LARGEST_COORDINATE`, each once."""
        self.coords = coords

    def __len__(self) -> int:
        return len(self.coords)

    @property
    def device(self) -> torch.device:
        """Where the coordinates lie."""
        return self.coords.device

    @functools.cached_property
    def neighbours(self) -> Int32[Tensor, "27 cells"]:
        """Row of each neighbour, or `ABSENT`. Offsets go from (-1, -1, -1) to (1, 1, 1), z fastest.

        A column of three cells along z has consecutive codes, so one search finds where all three would lie.
        """
        codes, order = self._sorted_codes
        own = cell_codes(self.coords.to(codes.device))
        table = torch.empty((OFFSETS, len(own)), dtype=torch.int32, device=codes.device)
        for column in range(OFFSETS // 3):
            step_x, step_y = column // 3 - 1, column % 3 - 1
            wanted = own + ((step_x << 2 * AXIS_BITS) + (step_y << AXIS_BITS) - 1)
            place = torch.searchsorted(codes, wanted)
            for step_z in range(3):
                at = place.clamp(max=len(codes) - 1)
                present = codes[at] == wanted + step_z
                table[3 * column + step_z] = torch.where(present, order[at], ABSENT)
                place += present
        return table.to(self.device)

    def rows_of(self, coords: Int[Tensor, "*points 3"]) -> Int32[Tensor, "*points"]:
        """Row of each cell asked for, or `ABSENT`; coordinates outside the allowed range are absent too."""
        codes, order = self._sorted_codes
        asked = coords.to(codes.device)
        inside = ((asked >= 0) & (asked <= LARGEST_COORDINATE)).all(dim=-1)
        wanted = cell_codes(torch.where(inside[..., None], asked, 0))
        at = torch.searchsorted(codes, wanted).clamp(max=len(codes) - 1)
        return torch.where(inside & (codes[at] == wanted), order[at], ABSENT).to(self.device)

    @functools.cached_property
    def _sorted_codes(self) -> tuple[Int64[Tensor, "cells"], Int32[Tensor, "cells"]]:
        # Metal sorts and searches 64-bit integers only in part, so its tables are made on the processor.
        coords = self.coords.cpu() if self.device.type == "mps" else self.coords
        codes, order = torch.sort(cell_codes(coords))
        return codes, order.to(torch.int32)


@dataclass(frozen=True, slots=True)
class SparseTensor:
    """Features in the cells of a sparse volume."""

    voxels: Voxels
    features: Float[Tensor, "cells channels"]

    def __post_init__(self) -> None:
        if len(self.voxels) != len(self.features):
            raise ValueError(f"{len(self.voxels)} cells cannot hold {len(self.features)} rows of features")

    def holding(self, features: Float[Tensor, "cells others"]) -> "SparseTensor":
        """The same cells with other features; tables stay shared."""
        return SparseTensor(self.voxels, features)


def cell_codes(coords: Int[Tensor, "*cells 3"]) -> Int64[Tensor, "*cells"]:
    """One number for each cell; numbers sort by x, then y, then z."""
    x, y, z = (coords.to(torch.int64) + 1).unbind(dim=-1)
    return x << 2 * AXIS_BITS | y << AXIS_BITS | z


def occupied_voxels(occupancy: Bool[Tensor, "x y z"]) -> Voxels:
    """The cells of a dense grid that are set, in the order of their codes."""
    return Voxels(occupancy.nonzero().to(torch.int32))
