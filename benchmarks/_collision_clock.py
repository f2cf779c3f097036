"""What a call costs on a machine that may do other things: seconds, processor seconds, and how busy others were."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import _machine


@dataclass
class Cost:
    """Filled in when the call ends."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of this process and of its children that ended."""
    others: float = 0.0
    """Share of all cores that other processes used meanwhile; NaN where the system does not tell."""


@contextmanager
def clocked() -> Iterator[Cost]:
    """Measure what runs within."""
    cost = Cost()
    started, own, all_busy = time.perf_counter(), _machine.processor_s(), _all_busy_s()
    try:
        yield cost
    finally:
        cost.seconds = round(time.perf_counter() - started, 2)
        cost.cpu_seconds = round(_machine.processor_s() - own, 2)
        most = max(cost.seconds * (os.cpu_count() or 1), 1e-9)
        cost.others = round(max(_all_busy_s() - all_busy - cost.cpu_seconds, 0.0) / most, 3)


def _all_busy_s() -> float:
    """Seconds that all cores together have worked since the machine started (``man 5 proc``)."""
    try:
        first = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()
    except OSError:
        return float("nan")
    user, nice, system, _, _, irq, soft_irq = (int(ticks) for ticks in first[1:8])
    return (user + nice + system + irq + soft_irq) / os.sysconf("SC_CLK_TCK")
