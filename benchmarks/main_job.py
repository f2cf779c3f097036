"""How long does the main job take, how much memory, and what does a second run of it cost?

``./forge bench main_job`` runs ``forge demo`` four times over a fresh data folder: the example photo, the same again,
the same with fewer triangles, and a mesh of half a million triangles with 2048 px maps. Memory is the largest sum of
the resident sizes of all its processes, looked at twenty times a second (shared pages count in each process, so it
is an upper bound).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks import _machine
from bridge_server.home import data_home

SAMPLE_S = 0.05
LARGE_ROWS, LARGE_COLUMNS = 708, 354
GOALS = {
    "photo": {"seconds": 60.0, "peak_gb": 3.0},
    "photo again": {"seconds": 3.0},
    "mesh of 500k triangles": {"seconds": 150.0, "peak_gb": 4.0},
}


@dataclass(frozen=True)
class Measured:
    """One run."""

    name: str
    seconds: float
    """From submitting the job to the package on disk."""
    whole_process_s: float
    peak_gb: float
    stages: list[dict[str, object]]
    checklist: dict[str, int]


def large_mesh(path: Path) -> None:
    """A bumpy, vertex-coloured torus of 501,264 triangles as binary PLY, 0.7 m wide."""
    u = np.linspace(0, 2 * np.pi, LARGE_ROWS, endpoint=False)[:, None]
    v = np.linspace(0, 2 * np.pi, LARGE_COLUMNS, endpoint=False)[None, :]
    bump = 0.006 * np.sin(24 * u) * np.sin(16 * v) + 0.002 * np.sin(90 * u + 40 * v)
    minor = 0.11 + bump
    ring = 0.24 + minor * np.cos(v)
    place = np.stack([ring * np.cos(u), minor * np.sin(v), -ring * np.sin(u)], axis=-1).reshape(-1, 3)
    hue = np.stack([0.5 + 0.4 * np.cos(3 * u + 0 * v), 0.5 + 0.4 * np.sin(5 * v + 0 * u), 0.4 + 40 * bump], axis=-1)
    color = (np.clip(hue, 0, 1) * 255).astype(np.uint8).reshape(-1, 3)
    r, c = np.meshgrid(np.arange(LARGE_ROWS), np.arange(LARGE_COLUMNS), indexing="ij")
    a, b = r * LARGE_COLUMNS + c, r * LARGE_COLUMNS + (c + 1) % LARGE_COLUMNS
    d, e = ((r + 1) % LARGE_ROWS) * LARGE_COLUMNS + c, ((r + 1) % LARGE_ROWS) * LARGE_COLUMNS + (c + 1) % LARGE_COLUMNS
    faces = np.concatenate([np.stack([a, d, b], -1).reshape(-1, 3), np.stack([b, d, e], -1).reshape(-1, 3)])
    vertex = np.zeros(len(place), dtype=[("p", "<f4", 3), ("c", "u1", 3)])
    vertex["p"], vertex["c"] = place, color
    face = np.zeros(len(faces), dtype=[("n", "u1"), ("i", "<i4", 3)])
    face["n"], face["i"] = 3, faces
    header = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(place)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    path.write_bytes(header.encode("ascii") + vertex.tobytes() + face.tobytes())


def measure(name: str, arguments: list[str], home: Path) -> Measured:
    """Run ``forge demo --json`` with its own data folder and watch its memory."""
    command = [sys.executable, "-m", "bridge_server.cli.main", "demo", "--json", *arguments]
    environment = {**os.environ, "OPEN3DFORGE_HOME": str(home)}
    started = time.monotonic()
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(child, peak), daemon=True)
    watcher.start()
    printed, _ = child.communicate()
    whole_s = time.monotonic() - started
    watcher.join(1.0)
    if child.returncode not in (0, 7):
        raise SystemExit(f"{name}: forge demo ended with status {child.returncode}")
    summary = json.loads(printed.splitlines()[-1])
    verdicts = [item["verdict"] for item in summary["checklist"]]
    return Measured(
        name=name,
        seconds=summary["seconds"],
        whole_process_s=round(whole_s, 2),
        peak_gb=round(peak[0] / 1e9, 2),
        stages=summary["stages"],
        checklist={verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))},
    )


def _watch(child: "subprocess.Popen[str]", peak: list[int]) -> None:
    root = psutil.Process(child.pid)
    while child.poll() is None:
        total = 0
        try:
            for process in (root, *root.children(recursive=True)):
                total += process.memory_info().rss
        except psutil.NoSuchProcess:
            pass
        peak[0] = max(peak[0], total)
        time.sleep(SAMPLE_S)


def main() -> None:
    """Measure, print a table, write the result."""
    with tempfile.TemporaryDirectory(prefix="forge-bench-") as folder:
        home, out = Path(folder, "home"), ["--out", str(Path(folder, "out"))]
        models = data_home() / "models"
        if models.is_dir():
            shutil.copytree(models, home / "models")
        mesh = Path(folder, "torus.ply")
        large_mesh(mesh)
        large = ["--image", str(mesh)]
        for stage in ("trace", "bake_normal", "bake_albedo", "bake_metallic_roughness", "bake_ao", "unwrap"):
            large += ["--set", f"{stage}.resolution_px=2048"] if _has_resolution(stage) else []
        runs = [
            measure("photo", out, home),
            measure("photo again", out, home),
            measure("photo, 5000 triangles", [*out, "--set", "decimate.triangle_count=5000"], home),
            measure("mesh of 500k triangles", [*out, *large], home),
        ]
    for run in runs:
        fresh = [str(stage["name"]) for stage in run.stages if not stage["cached"]]
        print(f"{run.name:26} {run.seconds:7.2f} s  peak {run.peak_gb:.2f} GB  ran: {', '.join(fresh) or 'nothing'}")
    path = _machine.write("main_job", {"goals": GOALS, "runs": [asdict(run) for run in runs]})
    print(path)


def _has_resolution(stage: str) -> bool:
    from bridge_server.pipeline.describe import describe_stages

    found = next((entry for entry in describe_stages() if entry.name == stage), None)
    return found is not None and any(field.name == "resolution_px" for field in found.fields)


if __name__ == "__main__":
    main()
