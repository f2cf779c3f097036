# mypy: ignore-errors
# ruff: noqa: PLR0917 - kernels take no keywords
"""Submanifold convolution in one Triton kernel: an implicit matrix product over the neighbours.

Imported only when this way is chosen, since it needs Triton (which torch brings along on Linux with CUDA). Sums are
kept in float32; an offset at which no row of a block has a neighbour is skipped.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int32
from torch import Tensor

from vendor.trellis2.voxels import OFFSETS

BLOCK_ROWS = 128


@triton.jit
def _gather_product(
    features,
    neighbours,
    weight,
    bias,
    out,
    rows,
    row_stride,
    in_channels: tl.constexpr,
    out_channels: tl.constexpr,
    exact: tl.constexpr,
    offsets: tl.constexpr,
    block_rows: tl.constexpr,
    block_out: tl.constexpr,
    block_in: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * block_rows + tl.arange(0, block_rows)
    column = tl.program_id(1) * block_out + tl.arange(0, block_out)
    channel = tl.arange(0, block_in)
    in_rows = row < rows
    in_columns = column < out_channels
    sums = tl.zeros((block_rows, block_out), dtype=tl.float32)
    for offset in range(offsets):
        giver = tl.load(neighbours + offset * row_stride + row, mask=in_rows, other=-1).to(tl.int64)
        gives = giver >= 0
        if tl.max(gives.to(tl.int32), axis=0) > 0:
            for start in range(0, in_channels, block_in):
                inside = start + channel < in_channels
                given = tl.load(
                    features + giver[:, None] * in_channels + (start + channel)[None, :],
                    mask=gives[:, None] & inside[None, :],
                    other=0.0,
                )
                factor = tl.load(
                    weight + (column[None, :] * offsets + offset) * in_channels + (start + channel)[:, None],
                    mask=in_columns[None, :] & inside[:, None],
                    other=0.0,
                )
                sums = tl.dot(given, factor, sums, input_precision="ieee" if exact else "tf32")
    sums += tl.load(bias + column, mask=in_columns, other=0.0).to(tl.float32)[None, :]
    place = out + row[:, None] * out_channels + column[None, :]
    tl.store(place, sums.to(out.dtype.element_ty), mask=in_rows[:, None] & in_columns[None, :])


def triton_conv(
    features: Float[Tensor, "cells in_channels"],
    neighbours: Int32[Tensor, "27 rows"],
    weight: Float[Tensor, "out_channels 3 3 3 in_channels"],
    bias: Float[Tensor, "out_channels"],
) -> Float[Tensor, "rows out_channels"]:
    """The same as `sparse_conv.gather_conv`. In float32 products are exact unless torch allows TF32."""
    rows, out_channels, in_channels = neighbours.shape[1], len(weight), weight.shape[-1]
    out = features.new_empty((rows, out_channels))
    if not rows:
        return out
    block_out = min(128, max(16, triton.next_power_of_2(out_channels)))
    block_in = min(32 if features.dtype == torch.float32 else 64, max(16, triton.next_power_of_2(in_channels)))
    grid = (triton.cdiv(rows, BLOCK_ROWS), triton.cdiv(out_channels, block_out))
    _gather_product[grid](
        features.contiguous(),
        neighbours.contiguous(),
        weight.contiguous(),
        bias,
        out,
        rows,
        rows,
        in_channels=in_channels,
        out_channels=out_channels,
        exact=not torch.backends.cuda.matmul.allow_tf32,
        offsets=OFFSETS,
        block_rows=BLOCK_ROWS,
        block_out=block_out,
        block_in=block_in,
        num_warps=8 if block_out == 128 else 4,
        num_stages=3,
    )
    return out
