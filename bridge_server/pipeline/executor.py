"""Where a stage runs: the protocol of executors, and the one function that all of them run a stage with."""

import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from bridge_server.errors import Cancelled, DiskFull, ForgeError, StageFailed
from bridge_server.pipeline.plan import ChosenBackend
from bridge_server.pipeline.registry import slot_types
from bridge_server.pipeline.store import Store, StoredResult, is_disk_full
from bridge_server.run import Run
from bridge_server.stages.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One stage to run. Small: values are named by their digests."""

    stage: Stage
    backends: tuple[ChosenBackend, ...]
    inputs: Mapping[str, str]
    """Slot -> digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A stage that succeeded; its value is in the store."""

    result: StoredResult
    seconds: float
    retries: int = 0
    """How often a worker died over it before."""


class Executor(Protocol):
    """Runs tasks, wherever that is. May be called from several threads at once."""

    def execute(self, task: Task, run: Run) -> Outcome:
        """Run a task and wait for it, handing its progress to ``run`` several times a second.

        Where ``run.checkpoint`` raises ``Cancelled``, the task is stopped, by force after a grace period, and
        ``Cancelled`` is raised. Raises the ``ForgeError`` of the stage with its class and fields, and ``WorkerDied``
        where it took its process with it again and again.
        """

    def close(self) -> None:
        """Let go of processes and models. Tasks that are running fail."""

    def __enter__(self) -> Self:
        """The executor itself."""

    def __exit__(self, *_: object) -> None:
        """Close it."""


def perform(task: Task, store: Store, load: Callable[[ChosenBackend], Any], run: Run) -> Outcome:
    """Run a task here and now: read its inputs, call the stage, write its value.

    Raises ``ForgeError`` or ``Cancelled`` and nothing else: what a stage raises unplanned becomes ``StageFailed``.
    """
    name, started = task.stage.name, time.perf_counter()
    try:
        inputs = {slot: store.get(digest) for slot, digest in task.inputs.items()}
        backends = [load(backend) for backend in task.backends]
        value = task.stage(run, *backends, **inputs)
        wanted = slot_types()[task.stage.writes]
        if not isinstance(value, wanted):
            raise TypeError(f"it returned {type(value).__name__}, not {wanted.__name__}")
        result = store.put(value)
    except (ForgeError, Cancelled):
        raise
    except MemoryError as error:
        remedy = "Lower the resolution or the triangle count, or free memory."
        raise StageFailed("memory ran out.", subject=name, reason="OUT_OF_MEMORY", remedy=remedy) from error
    except Exception as error:
        if isinstance(error, OSError) and is_disk_full(error):
            remedy = "Free some space there."
            where = str(error.filename or tempfile.gettempdir())
            raise DiskFull(f"no space left for {name} ({error.strerror}).", subject=where, remedy=remedy) from error
        raise StageFailed(_describe(error), subject=name, reason="INTERNAL") from error
    return Outcome(result=result, seconds=time.perf_counter() - started)


def _describe(error: Exception) -> str:
    """The unplanned error with the place that raised it, for whoever mends the stage."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename.replace(chr(92), '/').rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}."
