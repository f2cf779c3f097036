"""Tasks of levels of detail beside each other, in as many threads as there are cores.

What a task works out depends on nothing but what it was given, so the bytes are the same for any number of threads.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeVar

from bridge_server.blocks import usable_cores
from bridge_server.errors import Cancelled
from bridge_server.run import PartialRun, Run

T = TypeVar("T")
PATIENCE_S = 0.05
"""So often progress is told and cancellation heard while tasks run."""


@dataclass(slots=True, eq=False)
class TaskRun:
    """The run of one task: keeps its progress for the thread that waits, and ends the task when all shall stop."""

    stopped: threading.Event
    told: tuple[float, str] = field(default=(0.0, ""))

    def checkpoint(self, fraction: float, note: str = "") -> None:
        """Remember it, or raise ``Cancelled``."""
        self.told = fraction, note
        if self.stopped.is_set():
            raise Cancelled


def side_by_side(tasks: Sequence[Callable[[Run], T]], run: Run) -> list[T]:
    """What the tasks return, in order. ``run`` is called in this thread alone; what it raises ends all of them."""
    cores = min(usable_cores(), len(tasks))
    if cores < 2:
        shares = [PartialRun(run, i / len(tasks), (i + 1) / len(tasks)) for i in range(len(tasks))]
        return [task(share) for task, share in zip(tasks, shares, strict=True)]
    stopped = threading.Event()
    runs = [TaskRun(stopped) for _ in tasks]
    with ThreadPoolExecutor(cores, thread_name_prefix="level") as pool:
        try:
            begun = [pool.submit(task, own) for task, own in zip(tasks, runs, strict=True)]
            waiting = set(begun)
            while waiting:
                done, waiting = wait(waiting, PATIENCE_S)
                for task in done:
                    task.result()
                shares_done = [1.0 if task.done() else own.told[0] for task, own in zip(begun, runs, strict=True)]
                note = next((own.told[1] for task, own in zip(begun, runs, strict=True) if not task.done()), "")
                run.checkpoint(sum(shares_done) / len(tasks), note)
        except BaseException:
            stopped.set()
            raise
    return [task.result() for task in begun]
