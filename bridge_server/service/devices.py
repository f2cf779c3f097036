"""What this machine computes on."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ASK_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A processor or a graphics card."""

    device: str
    """``cpu``, ``cuda:0`` and so on."""
    model: str
    memory_bytes: int
    cores: int = 0


def find_devices() -> tuple[Device, ...]:
    """The processor, and the graphics cards that NVIDIA's own tool names."""
    return (_processor(), *_graphics_cards())


def _processor() -> Device:
    if sys.platform != "win32" and hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return Device(device="cpu", model=_processor_model(), memory_bytes=_memory_bytes(), cores=cores)


def _processor_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    if sys.platform == "win32":
        import ctypes

        class MemoryStatus(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong), ("total", ctypes.c_ulonglong)] + [
                (name, ctypes.c_ulonglong) for name in ("free", "pages", "free_pages", "room", "free_room", "extended")
            ]

        status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status.total)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _graphics_cards() -> tuple[Device, ...]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=ASK_LIMIT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    cards = []
    for line in answer.splitlines():
        index, model, memory_mib = (part.strip() for part in line.split(",", 2))
        memory_bytes = int(memory_mib) * 2**20 if memory_mib.isdigit() else 0
        cards.append(Device(device=f"cuda:{index}", model=model, memory_bytes=memory_bytes))
    return tuple(cards)
