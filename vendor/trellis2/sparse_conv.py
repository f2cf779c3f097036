"""Submanifold 3 x 3 x 3 convolution: only cells that are there give and take.

Three ways compute the same sums. `per_offset` multiplies, for each of the 27 offsets, only the pairs of cells that
exist; `gathered` lays all 27 neighbours of a row side by side (zeros where one is missing) and multiplies once;
`triton` does the same inside one kernel on CUDA, without writing the neighbours out. The dense twin that tests compare
them with is `dense_reference.masked_conv3d`.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn

from vendor.trellis2.row_blocks import DEVICE_BLOCK_BYTES, rows_a_block
from vendor.trellis2.voxels import OFFSETS, SparseTensor

ConvPath = Literal["per_offset", "gathered", "triton"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvSettings:
    """How convolutions work; results agree to rounding whichever way is taken."""

    path: ConvPath = "per_offset"
    block_bytes: int = DEVICE_BLOCK_BYTES
    """Most working memory of one convolution beyond its input and output; a processor takes less by itself."""


def best_path(device: torch.device) -> ConvPath:
    """The fastest way there is on a device: Triton on CUDA where it is installed."""
    if device.type == "cpu":
        return "per_offset"
    if device.type == "cuda" and _has_triton():
        return "triton"
    return "gathered"


def configure(module: nn.Module, settings: ConvSettings) -> None:
    """Let every sparse convolution inside a module work by these settings."""
    for part in module.modules():
        if isinstance(part, SparseConv3d):
            part.settings = settings


class SparseConv3d(nn.Module):
    """Convolution with the weights stored as `[out, 3, 3, 3, in]`, the kernel's axes in the order x, y, z."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, 3, 3, 3, in_channels))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.settings = ConvSettings()
        with torch.no_grad():
            bound = (OFFSETS * in_channels) ** -0.5
            self.weight.uniform_(-bound, bound)
            self.bias.uniform_(-bound, bound)

    def forward(self, volume: SparseTensor) -> SparseTensor:
        """Every cell that is there takes from the neighbours that are there."""
        table = volume.voxels.neighbours
        return volume.holding(gather_conv(volume.features, table, self.weight, self.bias, self.settings))


def gather_conv(
    features: Float[Tensor, "cells in_channels"],
    neighbours: Int32[Tensor, "27 rows"],
    weight: Float[Tensor, "out_channels 3 3 3 in_channels"],
    bias: Float[Tensor, "out_channels"],
    settings: ConvSettings,
) -> Float[Tensor, "rows out_channels"]:
    """Each column of `neighbours` makes one row of the result, so any subset of cells can be asked for."""
    if settings.path == "triton":
        from vendor.trellis2.triton_conv import triton_conv

        return triton_conv(features, neighbours, weight, bias)
    rows = neighbours.shape[1]
    out = features.new_empty((rows, len(weight)))
    convolve = _per_offset if settings.path == "per_offset" else _gathered
    row_bytes = _row_bytes(weight, features.element_size(), settings.path)
    step = rows_a_block(features.device, row_bytes, settings.block_bytes)
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        convolve(features, neighbours[:, start:stop], weight, bias, out[start:stop])
    return out


def _per_offset(features: Tensor, neighbours: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    sums = bias.float().repeat(len(out), 1)
    flat = weight.flatten(1, 3)
    for offset in range(OFFSETS):
        rows = (neighbours[offset] >= 0).nonzero().squeeze(1)
        if len(rows):
            given = features.index_select(0, neighbours[offset].index_select(0, rows))
            sums.index_add_(0, rows, (given @ flat[:, offset].T).float())
    out.copy_(sums)


def _gathered(features: Tensor, neighbours: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    by_row = neighbours.T.reshape(-1)
    given = features.index_select(0, by_row.clamp(min=0))
    given.masked_fill_((by_row < 0)[:, None], 0.0)
    side_by_side = given.view(len(out), OFFSETS * features.shape[1])
    torch.addmm(bias, side_by_side, weight.flatten(1).T, out=out)


def _row_bytes(weight: Tensor, element_bytes: int, path: ConvPath) -> int:
    out_channels, in_channels = len(weight), weight.shape[-1]
    if path == "gathered":
        return OFFSETS * (in_channels * element_bytes + 8)
    return in_channels * element_bytes + out_channels * (element_bytes + 8) + 32


def _has_triton() -> bool:
    import importlib.util

    return importlib.util.find_spec("triton") is not None
