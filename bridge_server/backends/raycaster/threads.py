"""Queries cut into blocks that the cores share; native queries release the interpreter lock while they run."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

BLOCK = 1 << 15
"""Queries that one thread takes at a time: long enough to hide the start, short enough to balance."""


def over_blocks(work: Callable[[slice], None], count: int) -> None:
    """Call ``work`` on consecutive slices of ``range(count)`` from as many threads as there are cores to use."""
    blocks = [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    if len(blocks) < 2:
        for block in blocks:
            work(block)
        return
    with ThreadPoolExecutor(max_workers=min(usable_cores(), len(blocks))) as pool:
        for _ in pool.map(work, blocks):
            pass


def usable_cores() -> int:
    """Cores that this process may run on; fewer than the machine has inside many containers."""
    if hasattr(os, "sched_getaffinity"):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1
