"""What the environment says about the generator ``trellis2``: weights, device, precision, memory.

Nothing here imports torch, so that a look at what is available stays quick.
"""

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from bridge_server.errors import InputError

FOLDER_VARIABLE = "OPEN3DFORGE_TRELLIS2"
DEVICE_VARIABLE = "OPEN3DFORGE_TRELLIS2_DEVICE"
PRECISION_VARIABLE = "OPEN3DFORGE_TRELLIS2_PRECISION"
MEMORY_VARIABLE = "OPEN3DFORGE_TRELLIS2_MEMORY_GB"
COMPILE_VARIABLE = "OPEN3DFORGE_TRELLIS2_COMPILE"
DEVICES = ("cuda", "mps", "cpu")
PRECISIONS = ("bf16", "fp16", "fp32")
MEMORIES = ("24", "16", "12", "8")
PACKAGES = ("torch", "safetensors", "transformers")
INSTALL = "Run .venv/bin/pip install -e '.[trellis2]' -c constraints.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The user's choices; an empty text leaves it to the machine."""

    folder: Path | None
    """TRELLIS.2's own folder, with ``pipeline.json``; None looks where ``./forge models pull trellis2`` puts it."""
    device: str
    precision: str
    memory_gb: str
    compile_flows: bool

    @classmethod
    def from_environment(cls) -> Self:
        """Read the variables. Raises ``InputError`` for a value that is none of the known ones."""
        folder = os.environ.get(FOLDER_VARIABLE, "").strip()
        return cls(
            folder=Path(folder).expanduser() if folder else None,
            device=_one_of(DEVICE_VARIABLE, DEVICES),
            precision=_one_of(PRECISION_VARIABLE, PRECISIONS),
            memory_gb=_one_of(MEMORY_VARIABLE, MEMORIES),
            compile_flows=_one_of(COMPILE_VARIABLE, ("0", "1")) == "1",
        )


def missing_packages() -> list[str]:
    """Packages of the extra ``trellis2`` that are not installed."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def likely_device() -> str:
    """``cuda`` or ``mps`` where the machine shows signs of one; empty where it shows none."""
    if platform.system() == "Darwin":
        return "mps" if platform.machine() == "arm64" else ""
    signs = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
    seen = shutil.which("nvidia-smi") is not None or any(Path(sign).exists() for sign in signs)
    return "cuda" if seen else ""


def torch_is_for_the_processor_alone() -> bool:
    """Whether the installed torch says in its version that it was built without an accelerator."""
    try:
        return version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False


def _one_of(variable: str, known: tuple[str, ...]) -> str:
    given = os.environ.get(variable, "").strip().lower()
    if given and given not in known:
        raise InputError(
            f"is {given!r}.", subject=variable, remedy=f"Set it to one of {', '.join(known)}, or unset it."
        )
    return given
