"""The parent's side of one worker: starting it, handing it a task, stopping it by word and by force."""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bridge_server.errors import StageFailed
from bridge_server.executors.wire import Cancel, Ended, Failed, Hello, Perform, Progress, Succeeded
from bridge_server.run import Run

POLL_S = 0.05
START_LIMIT_S = 60.0
"""What a fresh process may take to its first word, before a stage's own time begins."""
_LOG_TAIL_BYTES = 4000

Message = Progress | Succeeded | Failed | Ended


class WorkerCrashed(Exception):
    """The process ended in the middle of a task; the text says how."""


class WorkerProcess:
    """A process that runs one task at a time."""

    def __init__(self, store_root: Path) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bridge_server.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._numbers = 0
        self.memory_bytes = 0
        """What it held after its last task."""
        threading.Thread(target=self._read, name=f"worker-{self._process.pid}", daemon=True).start()
        self._send(Hello(os.getpid(), str(store_root)))

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def perform(self, task: bytes, run: Run, *, name: str, time_limit_s: float, grace_s: float) -> Succeeded:
        """Run a pickled task to its end.

        Raises ``WorkerCrashed``, the stage's ``ForgeError``, ``StageFailed`` past the time limit, or what
        ``run.checkpoint`` raises; then the worker was stopped, and killed where it did not stop in ``grace_s``.
        """
        self._numbers += 1
        number, limit_s = self._numbers, time.monotonic() + START_LIMIT_S + time_limit_s
        self._log.seek(0)
        self._log.truncate()
        self._send(Perform(number, task))
        fraction, note, begun = 0.0, "", False
        try:
            while True:
                message = self._next(POLL_S)
                if isinstance(message, Succeeded | Failed | Ended):
                    break
                if message is not None:
                    fraction, note = message.fraction, message.note
                    if not begun:
                        begun, limit_s = True, time.monotonic() + time_limit_s
                if time.monotonic() > limit_s:
                    raise StageFailed(
                        f"took longer than {time_limit_s:.0f} s and was stopped.", subject=name, reason="TIME_LIMIT"
                    )
                run.checkpoint(fraction, note)
        except BaseException:
            self._stop(number, grace_s)
            raise
        return self._outcome(message)

    def kill(self) -> None:
        """End the process and whatever it started."""
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                subprocess.run(
                    ["taskkill", "/F", "/T", "/PID", str(self._process.pid)], check=False, capture_output=True
                )
            elif self.is_alive:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def discard(self) -> None:
        """Kill it and close what belongs to it; only where no other thread is using it."""
        self.kill()
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._log.close()

    def _outcome(self, message: Succeeded | Failed | Ended) -> Succeeded:
        if isinstance(message, Ended):
            self._process.wait()
            raise WorkerCrashed(self._last_words())
        self.memory_bytes = message.memory_bytes
        if isinstance(message, Failed):
            raise message.error
        return message

    def _stop(self, number: int, grace_s: float) -> None:
        """Ask it to stop, and kill it where it does not answer in time."""
        self._send(Cancel(number))
        patience_s = time.monotonic() + grace_s
        while time.monotonic() < patience_s:
            message = self._next(POLL_S)
            if isinstance(message, Succeeded | Failed):
                self.memory_bytes = message.memory_bytes
                return
            if isinstance(message, Ended):
                break
        self.kill()

    def _next(self, timeout_s: float) -> Message | None:
        try:
            return self._messages.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # a dead worker is noticed by the thread that reads
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def _read(self) -> None:
        """Hand on what the worker says until its pipe closes, on a thread of its own."""
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            while True:
                try:
                    self._messages.put(pickle.load(stream))
                except Exception:  # noqa: BLE001 - cut-off pickles raise anything; it means the same as the end
                    break
        self._messages.put(Ended())

    def _last_words(self) -> str:
        status = self._process.returncode
        ended = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LOG_TAIL_BYTES))
        lines = [line.strip() for line in self._log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        fatal = [line for line in lines if line.startswith(("Fatal", "terminate", "Windows fatal"))]
        said = (fatal or lines)[-1:] if lines else []
        return f"{ended}: {said[0]}" if said else ended
