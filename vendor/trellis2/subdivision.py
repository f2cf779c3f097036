"""From cells to their eight children and back: channel-to-space and space-to-channel."""

import functools

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vendor.trellis2.voxels import SparseTensor, Voxels, cell_codes

OCTANTS = 8
"""Children of a cell. Bit 0 of an octant is the step along x, bit 1 along y, bit 2 along z."""


class Subdivision:
    """Which children of each cell are there. Children follow their parents' order, and by octant within a parent."""

    def __init__(self, parents: Voxels, present: Bool[Tensor, "cells 8"]) -> None:
        self.parents = parents
        self.present = present

    @functools.cached_property
    def _places(self) -> Int64[Tensor, "children 2"]:
        return self.present.nonzero()

    @property
    def parent_rows(self) -> Int64[Tensor, "children"]:
        """Row of each child's parent."""
        return self._places[:, 0]

    @property
    def octants(self) -> Int64[Tensor, "children"]:
        """Which child of its parent each child is."""
        return self._places[:, 1]

    @functools.cached_property
    def children(self) -> Voxels:
        """The cells of the grid that is twice as fine."""
        bits = torch.stack([self.octants >> axis & 1 for axis in range(3)], dim=1)
        return Voxels(self.parents.coords[self.parent_rows] * 2 + bits.to(torch.int32))


def channel_to_space(volume: SparseTensor, subdivision: Subdivision) -> SparseTensor:
    """Give each child its eighth of the parent's channels, octant 0 first."""
    features = volume.features
    eighths = features.reshape(len(features) * OCTANTS, -1)
    return SparseTensor(subdivision.children, eighths[subdivision.parent_rows * OCTANTS + subdivision.octants])


def space_to_channel(volume: SparseTensor) -> tuple[SparseTensor, Subdivision]:
    """Gather children into parents that hold eight times the channels, zeros for absent children.

    The subdivision tells which children were there. It lists them in its own order, which is that of `volume` only
    where the rows already lie by parent and octant.
    """
    coords = volume.voxels.coords
    halved = coords // 2
    codes, parent_rows = torch.unique(cell_codes(halved), return_inverse=True)
    octants = (coords % 2 * torch.tensor([1, 2, 4], dtype=torch.int32, device=coords.device)).sum(dim=1)
    parents = halved.new_empty((len(codes), 3))
    parents[parent_rows] = halved
    places = parent_rows * OCTANTS + octants
    present = torch.zeros(len(codes) * OCTANTS, dtype=torch.bool, device=coords.device)
    present[places] = True
    eighths: Float[Tensor, "places channels"] = volume.features.new_zeros((len(present), volume.features.shape[1]))
    eighths[places] = volume.features
    gathered = SparseTensor(Voxels(parents), eighths.view(len(codes), -1))
    return gathered, Subdivision(gathered.voxels, present.view(-1, OCTANTS))
