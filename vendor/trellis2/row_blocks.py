"""Row by row work on long feature tables, a block at a time, so that intermediate results stay small."""

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK_BYTES = 128 << 20
"""Intermediate results of one block."""


def in_row_blocks(
    work: Callable[[Tensor], Tensor], features: Tensor, row_bytes: int, block_bytes: int = BLOCK_BYTES
) -> Tensor:
    """`work(features)` for work that treats every row alone; `row_bytes` is what one row needs on the way."""
    step = max(256, block_bytes // row_bytes)
    if len(features) <= step:
        return work(features)
    return torch.cat([work(features[start : start + step]) for start in range(0, len(features), step)])
