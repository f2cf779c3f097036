"""Calls into native libraries that may crash, hang or never look up: in a child process, with a time limit.

The child is a fresh interpreter, so a segmentation fault in it costs nothing but the call, and cancellation kills
it within a tenth of a second; it never outlives its parent. Arguments and results are pickled plain values and
arrays. Start-up costs about 0.3 s, so this is for calls that take longer than that or that cannot be trusted.
"""

import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bridge_server.backends.lifeline import die_with_parent, hold_lifeline
from bridge_server.errors import ForgeError, StageFailed, WorkerDied
from bridge_server.run import Run

POLL_S = 0.05
MODULE = "bridge_server.backends.isolation"


def call_isolated(
    function: str, *arguments: Any, run: Run, time_limit_s: float, fraction: float = 0.0, note: str = ""
) -> Any:
    """Run ``"module:function"`` on ``arguments`` in a child process and return what it returns.

    While it runs, ``run`` gets a checkpoint at ``fraction`` with ``note`` and the seconds gone, so that
    cancellation reaches even code that never checks for it.

    Raises ``StageFailed`` with reason ``TIME_LIMIT``, ``WorkerDied`` where the child crashed, or whatever
    ``ForgeError`` the function raised; any other exception becomes ``StageFailed``.
    """
    subject = function.rpartition(":")[2]
    with tempfile.TemporaryDirectory(prefix="forge-") as folder:
        request, response, log = Path(folder, "request"), Path(folder, "response"), Path(folder, "log")
        request.write_bytes(pickle.dumps((function, arguments), protocol=pickle.HIGHEST_PROTOCOL))
        started = time.monotonic()
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(request), str(response), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        try:
            while child.poll() is None:
                gone_s = time.monotonic() - started
                if gone_s > time_limit_s:
                    raise StageFailed(f"took longer than {time_limit_s:.0f} s.", subject=subject, reason="TIME_LIMIT")
                run.checkpoint(fraction, f"{note} {gone_s:.0f} s" if note and gone_s > 2.0 else note)
                try:
                    child.wait(POLL_S)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            if child.stdin is not None:
                child.stdin.close()
        if child.returncode != 0 or not response.exists():
            tail = log.read_bytes()[-2000:].decode("utf-8", "replace").strip().splitlines()
            last = tail[-1] if tail else "no output"
            raise WorkerDied(f"the child process ended with status {child.returncode} ({last}).", subject=subject)
        succeeded, outcome = pickle.loads(response.read_bytes())
    if succeeded:
        return outcome
    if isinstance(outcome, ForgeError):
        raise outcome
    raise StageFailed(f"{outcome}", subject=subject)


def _serve(request: Path, response: Path) -> None:
    function, arguments = pickle.loads(request.read_bytes())
    module_name, _, name = function.partition(":")
    try:
        outcome: tuple[bool, Any] = (True, getattr(__import__(module_name, fromlist=[name]), name)(*arguments))
    except ForgeError as error:
        outcome = (False, error)
    except Exception as error:  # noqa: BLE001 - translated at the boundary: the parent raises it as StageFailed
        outcome = (False, f"{type(error).__name__}: {error}")
    partial = response.with_suffix(".partial")
    partial.write_bytes(pickle.dumps(outcome, protocol=pickle.HIGHEST_PROTOCOL))
    partial.replace(response)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[3]))
    hold_lifeline(sys.stdin.fileno())
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
