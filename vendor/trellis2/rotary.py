"""Rotary position embedding in three dimensions (Su et al., "RoFormer", 2021): where a token lies turns its features.

Each head's channels are read as interleaved pairs, each pair as a complex number. The pairs are shared out evenly among
the axes x, y and z; a pair that is left over is not turned. Everything here is in float32 whatever the features are.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

AXES = 3


@dataclass(frozen=True, slots=True)
class Rotation:
    """Cosine and sine of the angle by which each pair of each token is turned."""

    cosine: Float32[Tensor, "tokens pairs"]
    sine: Float32[Tensor, "tokens pairs"]

    def turn(self, heads: Float[Tensor, "tokens heads channels"]) -> Float[Tensor, "tokens heads channels"]:
        """Queries or keys, turned; computed in float32 and given back in their own type."""
        real, imaginary = heads.float().unflatten(-1, (-1, 2)).unbind(dim=-1)
        cosine, sine = self.cosine[:, None], self.sine[:, None]
        turned = torch.stack((real * cosine - imaginary * sine, real * sine + imaginary * cosine), dim=-1)
        return turned.flatten(-2).to(heads.dtype)


def rotation_of(
    coords: Int[Tensor, "tokens 3"], head_channels: int, frequencies: tuple[float, float] = (1.0, 10_000.0)
) -> Rotation:
    """Angles for tokens at whole grid coordinates; pair i of an axis turns by `first / base ** (i / count)` a cell."""
    first, base = frequencies
    pairs = head_channels // 2
    count = pairs // AXES
    rate = first / base ** (torch.arange(count, dtype=torch.float32, device=coords.device) / count)
    angles = (coords.float()[:, :, None] * rate).flatten(1)
    still = angles.new_zeros(len(angles), pairs - AXES * count)
    angles = torch.cat((angles, still), dim=1)
    return Rotation(angles.cos(), angles.sin())


def dense_coords(resolution: int, device: torch.device) -> Int[Tensor, "cells 3"]:
    """Cells of a full cubic grid, z fastest: the order of a volume `[x, y, z]` that is laid flat."""
    edge = torch.arange(resolution, device=device)
    return torch.cartesian_prod(edge, edge, edge)
