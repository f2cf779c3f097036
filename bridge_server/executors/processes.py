"""Runs stages in warm worker processes: the default.

Only digests and the small stage object cross over. Native code that crashes or hangs takes one worker with it, never
the server: a crash costs the stage one more try on a fresh worker. Backends stay loaded between tasks until the
worker holds more memory than it may, when a fresh one takes its place.
"""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Self

from bridge_server.errors import WorkerDied
from bridge_server.executors.worker_process import WorkerCrashed, WorkerProcess
from bridge_server.pipeline.executor import Outcome, Task
from bridge_server.pipeline.store import Store
from bridge_server.run import Run

_WAIT_S = 0.1


class ProcessExecutor:
    """A pool of workers, started when first needed; thread-safe."""

    def __init__(
        self,
        store: Store,
        *,
        workers: int = 1,
        retries: int = 1,
        grace_s: float = 1.0,
        time_limit_s: float = 1800.0,
        memory_limit_bytes: int = 2 << 30,
    ) -> None:
        """``workers`` tasks run at once, more wait.

        ``retries`` is how often a stage is tried again after its worker died; ``grace_s`` how long a cancelled stage
        may take to its next checkpoint before it is killed; ``time_limit_s`` how long any stage may take;
        ``memory_limit_bytes`` what a worker may hold between tasks.
        """
        self._store = store
        self._workers = workers
        self._retries = retries
        self._grace_s = grace_s
        self._time_limit_s = time_limit_s
        self._memory_limit_bytes = memory_limit_bytes
        self._idle: list[WorkerProcess] = []
        self._busy: set[WorkerProcess] = set()
        self._starting = 0
        self._closed = False
        self._change = threading.Condition()
        # Workers die with the thread that started them (see ``lifeline``), so one thread of ours starts them all.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="worker-starter")

    def execute(self, task: Task, run: Run) -> Outcome:
        """See ``Executor``."""
        content, name = pickle.dumps(task), task.stage.name
        attempts = self._retries + 1
        for attempt in range(attempts):
            worker = self._acquire(run)
            try:
                done = worker.perform(content, run, name=name, time_limit_s=self._time_limit_s, grace_s=self._grace_s)
                return replace(done.outcome, retries=attempt)
            except WorkerCrashed as crash:
                last_words = str(crash)
            finally:
                self._release(worker)
        times = "once" if attempts == 1 else f"{attempts} times"
        raise WorkerDied(
            f"the process that ran it died {times} ({last_words}).",
            subject=name,
            remedy="If memory ran out, lower the resolution or close other programs.",
        )

    def close(self) -> None:
        """Kill all workers; tasks that are running fail."""
        with self._change:
            self._closed = True
            idle, busy = list(self._idle), list(self._busy)
            self._idle.clear()
            self._change.notify_all()
        for worker in busy:
            worker.kill()
        for worker in idle:
            worker.discard()
        self._starter.shutdown()

    def __enter__(self) -> Self:
        """The executor itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _acquire(self, run: Run) -> WorkerProcess:
        """The worker that was used last, or a fresh one, or, when all are busy, the first that becomes free."""
        with self._change:
            while not self._idle and len(self._busy) + self._starting >= self._workers and not self._closed:
                run.checkpoint(0.0, "waiting for a free worker")
                self._change.wait(_WAIT_S)
            if self._closed:
                raise WorkerDied("the server is shutting down.", subject="executor")
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive:
                    self._busy.add(worker)
                    return worker
                worker.discard()
            self._starting += 1
        started: WorkerProcess | None = None
        try:
            started = self._starter.submit(WorkerProcess, self._store.root).result()
        except (OSError, RuntimeError) as error:
            raise WorkerDied(f"no process can be started: {error}.", subject="executor") from error
        finally:
            with self._change:
                self._starting -= 1
                if started is not None:
                    self._busy.add(started)
                self._change.notify_all()
        return started

    def _release(self, worker: WorkerProcess) -> None:
        with self._change:
            self._busy.discard(worker)
            keep = worker.is_alive and not self._closed and worker.memory_bytes <= self._memory_limit_bytes
            if keep:
                self._idle.append(worker)
            self._change.notify_all()
        if not keep:
            worker.discard()
