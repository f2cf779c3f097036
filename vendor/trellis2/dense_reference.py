"""Readable twins of the sparse operations, on dense grids. Tests compare; nothing else uses them."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from vendor.trellis2.voxels import SparseTensor, Voxels


def to_dense(volume: SparseTensor, edge: int) -> tuple[Float[Tensor, "channels x y z"], Bool[Tensor, "x y z"]]:
    """A grid of `edge` cells along each axis, zero where there is no cell, and which cells there are."""
    x, y, z = volume.voxels.coords.long().unbind(dim=1)
    dense = volume.features.new_zeros((volume.features.shape[1], edge, edge, edge))
    present = torch.zeros((edge, edge, edge), dtype=torch.bool, device=dense.device)
    dense[:, x, y, z] = volume.features.T
    present[x, y, z] = True
    return dense, present


def from_dense(dense: Float[Tensor, "channels x y z"], voxels: Voxels) -> SparseTensor:
    """The values of a dense grid at the cells that are there."""
    x, y, z = voxels.coords.long().unbind(dim=1)
    return SparseTensor(voxels, dense[:, x, y, z].T.contiguous())


def masked_conv3d(
    volume: SparseTensor, weight: Float[Tensor, "out 3 3 3 in"], bias: Float[Tensor, "out"], edge: int
) -> SparseTensor:
    """Submanifold convolution as an ordinary one whose input is zero, and whose output is unread, off the cells."""
    dense, _ = to_dense(volume, edge)
    result = functional.conv3d(dense[None], weight.permute(0, 4, 1, 2, 3), bias, padding=1)[0]
    return from_dense(result, volume.voxels)


def channel_to_space_dense(dense: Float[Tensor, "channels x y z"]) -> Float[Tensor, "eighth x2 y2 z2"]:
    """All eight children of all cells: channel `octant * C + c` of a cell goes to channel `c` of that octant."""
    channels, x, y, z = dense.shape
    octants = dense.reshape(2, 2, 2, channels // 8, x, y, z)  # bits of the octant: z, y, x
    return octants.permute(3, 4, 2, 5, 1, 6, 0).reshape(channels // 8, 2 * x, 2 * y, 2 * z)


def sample_trilinear_dense(
    volume: SparseTensor, points: Float[Tensor, "points 3"], edge: int
) -> Float[Tensor, "points channels"]:
    """Trilinear sampling of values and of presence with zeros outside; their quotient leaves absent cells out."""
    dense, present = to_dense(volume, edge)
    both = torch.cat([dense, present[None].to(dense.dtype)])
    place = (points / edge * 2.0 - 1.0).flip(-1)[None, None, None]
    read = functional.grid_sample(both[None], place, mode="bilinear", padding_mode="zeros", align_corners=False)
    values = read[0, :, 0, 0].T
    return values[:, :-1] / values[:, -1:].clamp(min=1e-12)
