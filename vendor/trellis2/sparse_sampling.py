"""Reading a sparse volume between the centres of its cells."""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from vendor.trellis2.voxels import SparseTensor


def sample_trilinear(volume: SparseTensor, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points channels"]:
    """Weighted mean of the up to eight cells around each point that are there; zero where none is.

    Points are in cells: cell (0, 0, 0) spans 0 to 1 and its value lies at its centre. Weights of absent cells are
    left out and the others scaled up to sum to one, as upstream's sampler does.
    """
    place = points.float() - 0.5
    low = place.floor()
    share = place - low
    sums = volume.features.new_zeros((len(points), volume.features.shape[1]), dtype=torch.float32)
    total = sums.new_zeros(len(points))
    for corner in itertools.product((0, 1), repeat=3):
        step = torch.tensor(corner, device=points.device)
        rows = volume.voxels.rows_of((low + step).to(torch.int64))
        weight = torch.where(step == 1, share, 1.0 - share).prod(dim=1) * (rows >= 0)
        sums += weight[:, None] * volume.features[rows.clamp(min=0)].float()
        total += weight
    return (sums / total.clamp(min=1e-12)[:, None]).to(volume.features.dtype)
