"""The worker's side: a process that runs one task after the other and keeps its backends loaded.

It ends when its parent does. Its own standard output belongs to the messages, so what native libraries print there
is sent to the log instead.
"""

import faulthandler
import os
import pickle
import queue
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from bridge_server.backends.lifeline import die_with_parent
from bridge_server.errors import Cancelled, ForgeError, StageFailed
from bridge_server.executors.memory import held_bytes
from bridge_server.executors.wire import Cancel, Failed, Hello, Perform, Progress, Succeeded
from bridge_server.pipeline.executor import Task, perform
from bridge_server.pipeline.plan import ChosenBackend
from bridge_server.pipeline.store import Store

PROGRESS_INTERVAL_S = 0.1


def main() -> None:
    """Serve until the parent closes the pipe."""
    incoming, outgoing = _claim_pipes()
    hello: Hello = pickle.load(incoming)
    die_with_parent(hello.parent_pid)
    faulthandler.enable()
    worker = _Worker(Store(Path(hello.store_root)), outgoing)
    threading.Thread(target=worker.listen, args=(incoming,), name="listen", daemon=True).start()
    while True:
        worker.serve(worker.orders.get())


def _claim_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """The pipes to the parent, and in their place the log and nothing."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return incoming, outgoing


@dataclass(slots=True)
class _Worker:
    store: Store
    outgoing: IO[bytes]
    orders: "queue.SimpleQueue[Perform]" = field(default_factory=queue.SimpleQueue)
    cancelled: int = -1
    """Number of the task that is to stop."""
    loaded: dict[tuple[str, str], Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def listen(self, incoming: IO[bytes]) -> None:
        """Take orders on a thread of its own, so that a cancellation arrives while a stage runs."""
        while True:
            try:
                message = pickle.load(incoming)
            except (EOFError, OSError, pickle.UnpicklingError):
                os._exit(0)  # the parent is gone; nothing here is worth finishing
            if isinstance(message, Cancel):
                self.cancelled = message.number
            else:
                self.orders.put(message)

    def serve(self, order: Perform) -> None:
        """Run one task and answer; the first word says that its time begins."""
        self.send(Progress(order.number, 0.0, ""))
        try:
            task = _unpickled(order.task)
            outcome = perform(task, self.store, self._load, _WorkerRun(self, order.number))
        except (ForgeError, Cancelled) as error:
            self.send(Failed(order.number, error, held_bytes()))
        else:
            self.send(Succeeded(order.number, outcome, held_bytes()))

    def send(self, message: object) -> None:
        """Answer; from any thread."""
        with self.lock:
            pickle.dump(message, self.outgoing)
            self.outgoing.flush()

    def _load(self, chosen: ChosenBackend) -> Any:
        key = (chosen.kind.name, chosen.name)
        if key not in self.loaded:
            self.loaded[key] = chosen.load()
        return self.loaded[key]


@dataclass(slots=True)
class _WorkerRun:
    """Sends checkpoints to the parent, a few times a second at most."""

    worker: _Worker
    number: int
    next_report_s: float = 0.0

    def checkpoint(self, fraction: float, note: str = "") -> None:
        """See ``Run``."""
        if self.worker.cancelled == self.number:
            raise Cancelled
        now = time.monotonic()
        if now >= self.next_report_s:
            self.next_report_s = now + PROGRESS_INTERVAL_S
            self.worker.send(Progress(self.number, float(fraction), note))


def _unpickled(content: bytes) -> Task:
    try:
        task: Task = pickle.loads(content)
    except Exception as error:
        message = f"the worker cannot load it ({type(error).__name__}: {error})."
        raise StageFailed(message, subject="stage", reason="INTERNAL") from error
    return task


if __name__ == "__main__":
    main()
