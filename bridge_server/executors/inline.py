"""Runs stages in the caller's own thread: for tests and for debugging a stage."""

import threading
from dataclasses import dataclass, field
from typing import Any, Self

from bridge_server.pipeline.executor import Outcome, Task, perform
from bridge_server.pipeline.plan import ChosenBackend
from bridge_server.pipeline.store import Store
from bridge_server.run import Run


@dataclass(slots=True)
class InlineExecutor:
    """No process boundary: a stage that crashes takes everything with it, one that never looks up is not stopped."""

    store: Store
    _loaded: dict[tuple[str, str], Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def execute(self, task: Task, run: Run) -> Outcome:
        """See ``Executor``."""
        return perform(task, self.store, self._load, run)

    def close(self) -> None:
        """Forget the backends."""
        with self._lock:
            self._loaded.clear()

    def __enter__(self) -> Self:
        """The executor itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _load(self, chosen: ChosenBackend) -> Any:
        key = (chosen.kind.name, chosen.name)
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = chosen.load()
            return self._loaded[key]
