"""Independent readers from npm, called through Node; tests that need them are skipped by name where Node is missing.

The packages are installed once, from the lock file, into ``tests/referees/node_modules``.
"""

import functools
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parent
MODULES = FOLDER / "node_modules"
INSTALL_LIMIT_S = 240.0
CALL_LIMIT_S = 60.0


def validate_glb(data: bytes) -> dict[str, Any]:
    """The Khronos validator's report; ``["issues"]`` has ``numErrors``, ``numWarnings``, ``numInfos``, ``messages``."""
    return json.loads(_node("validate_glb.mjs", data))


def assert_valid_glb(data: bytes) -> dict[str, Any]:
    """Fail unless the Khronos validator finds no error and no warning; return its report."""
    report = validate_glb(data)
    issues = report["issues"]
    bad = [message for message in issues["messages"] if message["severity"] <= 1]
    assert issues["numErrors"] == 0, json.dumps(bad[:10], indent=1)
    assert issues["numWarnings"] == 0, json.dumps(bad[:10], indent=1)
    return report


def assimp_read(data: bytes, name: str = "model.fbx") -> dict[str, Any]:
    """The scene as Assimp reads it, in its JSON form. The extension of ``name`` chooses the reader."""
    return json.loads(_node("assimp_read.mjs", data, name))


def mikktspace_tangents(positions: np.ndarray, normals: np.ndarray, uvs: np.ndarray) -> np.ndarray:
    """Reference tangents, (corners, 4), for unindexed corners: three rows a triangle in every array."""
    parts = (np.ascontiguousarray(part, np.float32).tobytes() for part in (positions, normals, uvs))
    return np.frombuffer(_node("mikktspace.mjs", b"".join(parts)), np.float32).reshape(-1, 4)


def remote_execution(port: int, project: str, expression: str) -> dict[str, Any]:
    """What an editor answers to the npm client of Unreal's remote execution."""
    return json.loads(_node("remote_execution.mjs", b"", str(port), project, expression))


def fbx_to_gltf(data: bytes) -> bytes:
    """The GLB that FBX2glTF (Autodesk's SDK) makes of an FBX."""
    installed()
    system = {"Linux": "Linux/FBX2glTF", "Darwin": "Darwin/FBX2glTF", "Windows": "Windows_NT/FBX2glTF.exe"}
    program = MODULES / "fbx2gltf" / "bin" / system[platform.system()]
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip(f"FBX2glTF has no build for {platform.machine()}")
    program.chmod(0o755)
    with tempfile.TemporaryDirectory(prefix="forge-fbx-") as folder:
        source, target = Path(folder, "model.fbx"), Path(folder, "model")
        source.write_bytes(data)
        command = [str(program), "--binary", "--long-indices", "auto", "--input", str(source), "--output", str(target)]
        done = subprocess.run(command, capture_output=True, timeout=CALL_LIMIT_S, cwd=folder, check=False)
        result = target.with_suffix(".glb")
        assert result.exists(), (done.stdout + done.stderr).decode("utf-8", "replace")
        return result.read_bytes()


@functools.cache
def installed() -> Path:
    """Install the referees if they are not there yet; skip the test where Node or npm is missing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js with npm is not installed, so the npm referees cannot judge")
    wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    stamp = MODULES / ".installed"
    deadline = time.monotonic() + INSTALL_LIMIT_S
    lock = FOLDER / ".install.lock"
    while not (stamp.exists() and stamp.read_text() == wanted):
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            if time.monotonic() > deadline:
                pytest.fail(f"another test run seems to be installing the referees; else delete {lock}")
            time.sleep(0.5)
            continue
        try:
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(command, capture_output=True, cwd=FOLDER, timeout=INSTALL_LIMIT_S, check=False)
            if done.returncode != 0:
                pytest.fail("npm ci failed in tests/referees:\n" + done.stderr.decode("utf-8", "replace")[-2000:])
            stamp.write_text(wanted)
        finally:
            lock.unlink(missing_ok=True)
    return Path(node)


def _node(script: str, data: bytes, *arguments: str) -> bytes:
    node = installed()
    command = [str(node), str(FOLDER / script), *arguments]
    done = subprocess.run(command, input=data, capture_output=True, timeout=CALL_LIMIT_S, cwd=FOLDER, check=False)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2000:]
    return done.stdout
