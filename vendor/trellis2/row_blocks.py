"""Row by row work on long feature tables, a block at a time, so that intermediate results stay small."""

from collections.abc import Callable

import torch
from torch import Tensor

PROCESSOR_BLOCK_BYTES = 8 << 20
"""Intermediate results of one block on a processor: what its cache holds, measured by `benchmarks/trellis2_ops.py`."""
DEVICE_BLOCK_BYTES = 256 << 20
"""The same on a graphics card, where only memory counts."""
FEWEST_ROWS = 256
"""A block never has fewer rows, or starting it would cost more than its work."""


def in_row_blocks(work: Callable[[Tensor], Tensor], features: Tensor, row_bytes: int) -> Tensor:
    """`work(features)` for work that treats every row alone; `row_bytes` is what one row needs on the way."""
    step = rows_a_block(features.device, row_bytes)
    if len(features) <= step:
        return work(features)
    first = work(features[:step])
    out = first.new_empty((len(features), *first.shape[1:]))
    out[:step] = first
    for start in range(step, len(features), step):
        out[start : start + step] = work(features[start : start + step])
    return out


def rewrite_row_blocks(work: Callable[[Tensor], Tensor], features: Tensor, row_bytes: int) -> Tensor:
    """The same for work that keeps the width, and writes its result over `features`, which it returns."""
    step = rows_a_block(features.device, row_bytes)
    for start in range(0, len(features), step):
        features[start : start + step] = work(features[start : start + step])
    return features


def rows_a_block(device: torch.device, row_bytes: int, limit_bytes: int = DEVICE_BLOCK_BYTES) -> int:
    """How many rows to take at a time within a limit; a processor takes no more than its cache holds."""
    block_bytes = min(limit_bytes, PROCESSOR_BLOCK_BYTES) if device.type == "cpu" else limit_bytes
    return max(FEWEST_ROWS, block_bytes // row_bytes)
