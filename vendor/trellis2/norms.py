"""Layer normalisation that always computes in float32, whatever the torso runs in."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

AFFINE_EPS = 1e-6
"""Upstream's value inside the sparse blocks; the dense decoder and the last norm of a decoder keep torch's 1e-5."""


class FeatureNorm(nn.Module):
    """Normalises the last axis; without `affine` it holds no parameter."""

    def __init__(self, channels: int, *, affine: bool = True, eps: float = AFFINE_EPS) -> None:
        super().__init__()
        self.channels, self.eps = channels, eps
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, features: Float[Tensor, "*rows channels"]) -> Float[Tensor, "*rows channels"]:
        """Zero mean and unit variance over the channels of each row, then scale and shift."""
        weight = None if self.weight is None else self.weight.float()
        bias = None if self.bias is None else self.bias.float()
        normal = functional.layer_norm(features.float(), (self.channels,), weight, bias, self.eps)
        return normal.to(features.dtype)


class ChannelNorm(nn.Module):
    """Normalises the channels of a dense volume `[batch, channels, x, y, z]`, cell by cell."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, volume: Float[Tensor, "batch channels x y z"]) -> Float[Tensor, "batch channels x y z"]:
        """Zero mean and unit variance over the channels of each cell, then scale and shift."""
        last = volume.movedim(1, -1).float()
        normal = functional.layer_norm(last, last.shape[-1:], self.weight.float(), self.bias.float())
        return normal.to(volume.dtype).movedim(-1, 1).contiguous()
