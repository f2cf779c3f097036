"""The virtual environment of a checkout: what it should hold, whether it does, and how it gets there.

Standard library only. A stamp file, written last, says what was installed; without it the set-up is repeated, which
repairs one that was interrupted.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STAMP_SCHEMA = "open3dforge.setup.v1"
INPUTS = ("pyproject.toml", "constraints.txt")
TAIL_LINES = 15
LARGE_DOWNLOAD = re.compile(r"\s*Downloading .*\((\d\d+(\.\d+)? MB|.* GB)\)")
UNREACHABLE = (
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Could not resolve host",
    "NewConnectionError",
    "ConnectTimeoutError",
    "NameResolutionError",
    "ProxyError",
    "(from versions: none)",
)


class SetupFailed(Exception):
    """Set-up cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Environment:
    """The environment of one checkout."""

    root: Path
    """The checkout."""

    @property
    def folder(self) -> Path:
        """The virtual environment."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def stamp(self) -> Path:
        """Written last, so that its presence means that set-up came to its end."""
        return self.folder / "forge_stamp.json"

    @property
    def log(self) -> Path:
        """Everything pip said during the last set-up."""
        return self.root / ".forge" / "setup.log"

    @property
    def lock(self) -> Path:
        """Held while this environment is changed."""
        return self.root / ".forge" / "setup.lock"

    def digest(self) -> str:
        """Of everything that decides what must be installed: requirements, pins, interpreter and place."""
        state = hashlib.sha256()
        for name in INPUTS:
            state.update((self.root / name).read_bytes() + b"\0")
        state.update(f"{sys.version_info[:2]} {os.path.realpath(self.root)}".encode())
        return state.hexdigest()

    def installed_extras(self) -> frozenset[str]:
        """Extras named in the stamp, whether it is current or not."""
        return frozenset(self._read_stamp().get("extras", ()))

    def ready(self, extras: frozenset[str]) -> bool:
        """Whether a finished set-up of exactly these requirements holds at least these extras."""
        return (
            self.python.exists()
            and self._read_stamp().get("digest") == self.digest()
            and extras <= self.installed_extras()
        )

    def _read_stamp(self) -> dict[str, object]:
        try:
            content = json.loads(self.stamp.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) and content.get("schema") == STAMP_SCHEMA else {}

    def write_stamp(self, extras: frozenset[str]) -> None:
        """Declare the set-up finished."""
        content = {"schema": STAMP_SCHEMA, "digest": self.digest(), "extras": sorted(extras)}
        temporary = self.stamp.with_suffix(".tmp")
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(self.stamp)

    def install(self, extras: frozenset[str], say: Callable[[str], None]) -> None:
        """Make the environment hold the package with these extras. Raises ``SetupFailed``."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        self.stamp.unlink(missing_ok=True)
        if not self._usable():
            say(f"making {self.folder} with Python {sys.version.split()[0]}")
            base = getattr(sys, "_base_executable", None) or sys.executable
            self._logged([base, "-m", "venv", "--clear", str(self.folder)], say)
        wanted = f".[{','.join(sorted(extras))}]" if extras else "."
        say(f"installing {'the package' if wanted == '.' else wanted} and what it needs; this takes a minute or two")
        self._logged(
            [
                str(self.python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
                "--progress-bar", "off", "-c", "constraints.txt", "-e", wanted,
            ],
            say,
        )  # fmt: skip

    def _usable(self) -> bool:
        """Whether an interpreter of this version with pip is there already."""
        probe = "import pip, sys; print(*sys.version_info[:2])"
        try:
            found = subprocess.run([self.python, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            return False
        return found.stdout.split() == [str(part) for part in sys.version_info[:2]]

    def _logged(self, command: list[str], say: Callable[[str], None]) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
            )
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    if LARGE_DOWNLOAD.match(line):
                        say(line.strip())
                code = process.wait()
            except BaseException:
                process.terminate()
                process.wait()
                raise
        if code != 0:
            raise SetupFailed(self._explain(command))

    def _explain(self, command: list[str]) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace")
        tail = "\n".join(f"    {line}" for line in text.splitlines()[-TAIL_LINES:])
        if "venv" in command:
            cause = "cannot make a virtual environment; on Debian and Ubuntu, install the package python3-venv."
        elif "No space left on device" in text:
            cause = "the disk is full; free about 2 GB."
        elif any(mark in text for mark in UNREACHABLE):
            cause = "cannot reach the Python package index; check the network, or name a proxy or mirror to pip."
        else:
            cause = "pip could not install the requirements."
        return f"{cause}\nThe end of {self.log}:\n{tail}\nRun the same again to go on where this stopped."
