"""The queue through which worker threads reach the game thread, drained in the Slate tick within a time budget."""

import queue
import time
from collections.abc import Callable

import unreal

BUDGET_S = 0.004
"""Share of a tick that our own work may take; what does not fit waits for the next tick."""


class GameThreadQueue:
    """Work posted from any thread runs on the game thread, in order."""

    def __init__(self, budget_s: float = BUDGET_S) -> None:
        self._budget_s = budget_s
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._handle: object | None = None

    def start(self) -> None:
        """Begin to drain with the next tick."""
        if self._handle is None:
            self._handle = unreal.register_slate_post_tick_callback(self._tick)

    def stop(self) -> None:
        """Drain no more; what still waits is dropped."""
        if self._handle is not None:
            unreal.unregister_slate_post_tick_callback(self._handle)
            self._handle = None

    def post(self, work: Callable[[], None]) -> None:
        """Have ``work`` run on the game thread; returns at once. Safe from every thread."""
        self._waiting.put(work)

    def _tick(self, _seconds: float) -> None:
        end = time.perf_counter() + self._budget_s
        while time.perf_counter() < end:
            try:
                work = self._waiting.get_nowait()
            except queue.Empty:
                return
            try:
                work()
            except Exception as error:  # noqa: BLE001 - one failing piece must not silence the rest
                unreal.log_error(f"Open3DForge: {type(error).__name__}: {error}")
