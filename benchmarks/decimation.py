"""How near do decimated meshes come to the dense one, ours beside PyMeshLab's, fast-simplification's, meshoptimizer's?

``./forge bench decimation`` runs all meshes of ``benchmarks/meshes`` that have more triangles than a target, at 10,000
and at 2,000 triangles, and writes ``benchmarks/results/decimation.json``. All methods get the same surface: what the
stages ``repair`` and ``clean`` make of the mesh, as in a job. ``--quick`` takes six meshes, ``--only NAME,NAME`` some.
``--meshoptimizer PATH`` names the folder of the npm package of that name (1.3.0), for which Node must be installed;
without it that peer is left out. ``--resume FILE`` keeps the rows of each finished mesh, so that a run can be cut short
and go on later, with the same code and the same peers.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks import _machine
from benchmarks._decimation_measures import Judge
from benchmarks.meshes import MESHES, BenchMesh
from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.run import SilentRun
from bridge_server.stages.clean import Clean
from bridge_server.stages.decimate import fold_count
from bridge_server.stages.repair import Repair
from bridge_server.values.mesh import Mesh, is_watertight
from bridge_server.values.mesh_split import tidied_surface
from bridge_server.values.mesh_topology import compacted

TARGETS = (10_000, 2_000)
QUICK = ("spot", "boot", "wingnut", "mountain", "stairs", "koala")
OURS = "open3dforge"
SHORT_METHODS = {OURS: "ours", "pymeshlab": "pymeshlab", "fast-simplification": "fast-simp", "meshoptimizer": "meshopt"}
LOWER_IS_BETTER = ("hausdorff", "mean", "normal_deg")
OVER = 1.005
"""A method that leaves more than so many times the target is out of the contest on that mesh."""
Method = Callable[[Mesh, int], tuple[Mesh, float]]


def by_filter(name: str) -> Method:
    """One of our mesh filters."""
    mesh_filter = MESH_FILTERS.load(name)

    def run(mesh: Mesh, target: int) -> tuple[Mesh, float]:
        started = time.perf_counter()
        found = mesh_filter.decimate(mesh, target, SilentRun())
        return found, time.perf_counter() - started

    return run


def by_fast_simplification(mesh: Mesh, target: int) -> tuple[Mesh, float]:
    """As the package comes, on the mesh in unit size."""
    import fast_simplification

    scale, middle = np.float32(mesh.diagonal_m), mesh.positions_m.mean(axis=0)
    started = time.perf_counter()
    places, faces = fast_simplification.simplify(
        (mesh.positions_m - middle) / scale, np.array(mesh.faces), target_count=target
    )
    seconds = time.perf_counter() - started
    return Mesh(positions_m=(places * scale + middle).astype(np.float32), faces=faces.astype(np.int32)), seconds


def by_meshoptimizer(package: Path) -> Method:
    """Its ``simplify`` in WebAssembly, with no bound on the error."""
    script = Path(__file__).with_name("_meshoptimizer.mjs")

    def run(mesh: Mesh, target: int) -> tuple[Mesh, float]:
        with tempfile.TemporaryDirectory() as folder:
            given, made = Path(folder, "in.bin"), Path(folder, "out.bin")
            counts = np.array([len(mesh.positions_m), len(mesh.faces)], np.uint32)
            given.write_bytes(counts.tobytes() + mesh.positions_m.tobytes() + mesh.faces.astype(np.uint32).tobytes())
            command = ["node", str(script), str(package / "meshopt_simplifier.js"), str(given), str(made), str(target)]
            said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
            faces = np.frombuffer(made.read_bytes(), np.uint32).reshape(-1, 3).astype(np.int32)
        return compacted(mesh.positions_m, faces), float(said.stdout.split()[-1]) / 1000.0

    return run


def prepared(mesh: BenchMesh) -> Mesh:
    """As decimation gets it in a job."""
    repaired = Repair()(SilentRun(), RAYCASTERS.load(RAYCASTERS.choose("auto")), high_poly=mesh.load())
    return tidied_surface(Clean()(SilentRun(), MESH_FILTERS.load("simplification"), high_poly=repaired).mesh)


def methods(package: Path | None) -> dict[str, Method]:
    found = {OURS: by_filter("quadric"), "pymeshlab": by_filter("pymeshlab")}
    found["fast-simplification"] = by_fast_simplification
    return found | ({"meshoptimizer": by_meshoptimizer(package)} if package else {})


def measured(name: str, mesh: Mesh, contestants: dict[str, Method]) -> list[dict[str, object]]:
    """All targets and methods on one mesh."""
    judge, rows = Judge(mesh), []
    for target in (target for target in TARGETS if target < len(mesh.faces)):
        for method, decimate in contestants.items():
            light, seconds = decimate(mesh, target)
            row = {"mesh": name, "triangles": len(mesh.faces), "target": target, "method": method}
            row |= {"left": len(light.faces), "seconds": round(seconds, 3), **asdict(judge.judge(light))}
            row |= {"opened": is_watertight(mesh) and not is_watertight(light), "folds": fold_count(light)}
            rows.append(row)
            print(line(row), flush=True)
    return rows


def line(row: dict[str, object]) -> str:
    return (
        f"{row['mesh']:18} {row['target']:6} {SHORT_METHODS[str(row['method'])]:10} {row['left']:6} "
        f"{row['seconds']:7.2f} s  hausdorff {row['hausdorff']:.3e}  mean {row['mean']:.3e}  "
        f"normal {row['normal_deg']:6.2f}  iou {row['silhouette_iou']:.5f}"
        f"{'  opened' if row['opened'] else ''}{'  folds ' + str(row['folds']) if row['folds'] else ''}"
    )


def verdict(rows: list[dict[str, object]]) -> dict[str, object]:
    """Our figure over the best of the peers, for each mesh and target: worst, geometric mean, how many within 3 %."""
    cases = sorted({(str(row["mesh"]), int(str(row["target"]))) for row in rows})
    result: dict[str, object] = {"cases": len(cases)}
    for figure in (*LOWER_IS_BETTER, "silhouette_miss"):
        ratios = {}
        for mesh, target in cases:
            here = [row for row in rows if row["mesh"] == mesh and row["target"] == target]
            values = {str(row["method"]): value_of(row, figure) for row in here if row["left"] <= OVER * target}
            ours = values.pop(OURS, np.inf)
            if values:
                best = max(min(values.values()), FLOORS[figure])
                ratios[f"{mesh} {target}"] = max(ours, FLOORS[figure]) / best
        lost = {case: round(ratio, 3) for case, ratio in ratios.items() if ratio > 1.03}
        mean = float(np.exp(np.mean(np.log(list(ratios.values())))))
        result[figure] = {"mean_ratio": round(mean, 3), "within_3_percent": len(ratios) - len(lost), "lost": lost}
    return result


FLOORS = {"hausdorff": 1e-5, "mean": 1e-6, "normal_deg": 0.05, "silhouette_miss": 1e-4}
"""Least of both figures when they are divided: below it no one can tell them apart, and single precision ends."""


def value_of(row: dict[str, object], figure: str) -> float:
    return 1.0 - float(str(row["silhouette_iou"])) if figure == "silhouette_miss" else float(str(row[figure]))


def finished(path: Path | None) -> list[dict[str, object]]:
    """Rows that an earlier run has left; none without such a file."""
    return list(json.loads(path.read_text(encoding="utf-8"))) if path and path.exists() else []


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--meshoptimizer", type=Path)
    parser.add_argument("--resume", type=Path, help="file of finished rows; meshes in it are not run again")
    options = parser.parse_args()
    names = QUICK if options.quick else tuple(filter(None, options.only.split(",")))
    chosen = [mesh for mesh in MESHES if not names or mesh.name in names]
    contestants = methods(options.meshoptimizer)
    for decimate in contestants.values():
        decimate(prepared(chosen[0]), 500)  # compiled and loaded before anything is timed
    rows = finished(options.resume)
    for mesh in chosen:
        if all(row["mesh"] != mesh.name for row in rows):
            rows += measured(mesh.name, prepared(mesh), contestants)
            if options.resume:
                options.resume.write_text(json.dumps(rows), encoding="utf-8")
    rows = [row for row in rows if row["mesh"] in {mesh.name for mesh in chosen}]
    found = verdict(rows)
    print(json.dumps(found, indent=2))
    if not names:
        print(_machine.write("decimation", {"verdict": found, "rows": rows}))


if __name__ == "__main__":
    main()
