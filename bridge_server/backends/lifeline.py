"""Child processes that never outlive their parent, even one that was killed and could not clean up.

Two means, since neither serves everywhere: the kernel's own signal on Linux, which also stops native code that holds
the interpreter's lock; and, on every system, a pipe that closes when the parent ends.
"""

import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Ask Linux to kill this process when the thread that started it ends; elsewhere do nothing."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the kernel was asked
        os._exit(1)


def hold_lifeline(pipe: int) -> None:
    """End this process as soon as the other end of the pipe is closed. Nothing may ever be written into it."""

    def wait() -> None:
        os.read(pipe, 1)
        os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
