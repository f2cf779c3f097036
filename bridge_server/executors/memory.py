"""How much memory this process holds for itself."""

import platform
from pathlib import Path

_RSS_ANON = "RssAnon:"


def held_bytes() -> int:
    """Resident memory without mapped files where the system tells (Linux), else the resident peak; 0 if unknown."""
    system = platform.system()
    if system == "Linux":
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(_RSS_ANON):
                return int(line.removeprefix(_RSS_ANON).split()[0]) * 1024
        return 0
    if system == "Windows":
        return _working_set_bytes()
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _working_set_bytes() -> int:
    """``PROCESS_MEMORY_COUNTERS.WorkingSetSize`` of this process on Windows."""
    import ctypes

    class Counters(ctypes.Structure):
        _fields_ = (
            ("cb", ctypes.c_ulong),
            ("PageFaultCount", ctypes.c_ulong),
            *((name, ctypes.c_size_t) for name in ("PeakWorkingSetSize", "WorkingSetSize")),
            *((f"quota_{place}", ctypes.c_size_t) for place in range(4)),
            *((name, ctypes.c_size_t) for name in ("PagefileUsage", "PeakPagefileUsage")),
        )

    counters = Counters(cb=ctypes.sizeof(Counters))
    kernel = ctypes.CDLL("kernel32")
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    kernel.K32GetProcessMemoryInfo.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong)
    kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb)
    return int(counters.WorkingSetSize)
