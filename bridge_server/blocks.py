"""Work on long arrays, cut into blocks that the cores share.

NumPy and the native ray casters release the interpreter lock while they work, so threads are enough.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

BLOCK = 1 << 15
"""Rows that one thread takes at a time: long enough to hide the start, short enough to balance and stay in cache."""

BLOCKS_A_ROUND = 4
"""Blocks that each thread gets between two calls of ``before``."""


def over_blocks(
    work: Callable[[slice], None], count: int, block: int = BLOCK, before: Callable[[float], None] | None = None
) -> None:
    """Call ``work`` on consecutive slices of ``range(count)`` from as many threads as there are cores to use.

    ``before`` is called in the calling thread with the share that is done, every few blocks; what it raises ends
    the work, and so does what ``work`` raises.
    """
    blocks = [slice(start, min(start + block, count)) for start in range(0, count, block)]
    cores = min(usable_cores(), len(blocks))
    if cores < 2:
        for part in blocks:
            if before is not None:
                before(part.start / count)
            work(part)
        return
    with ThreadPoolExecutor(max_workers=cores) as pool:
        rounds = cores * BLOCKS_A_ROUND
        for first in range(0, len(blocks), rounds):
            if before is not None:
                before(blocks[first].start / count)
            for _ in pool.map(work, blocks[first : first + rounds]):
                pass


def usable_cores() -> int:
    """Cores that this process may run on; fewer than the machine has inside many containers."""
    if hasattr(os, "sched_getaffinity"):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1
