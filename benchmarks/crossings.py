"""Does repair, where asked, leave closed meshes that run through themselves without a face that crosses another?

``./forge bench crossings`` takes the closed meshes of the set that have such faces, and two made tubes, through
``repair`` without and with ``resolve_intersections``. Faces that cross are counted by our own tree and, as a referee,
by PyMeshLab's selection; faces in one plane make the two differ a little before.
"""

import argparse
import json

import numpy as np
from jaxtyping import Float64

from benchmarks import _machine
from benchmarks.meshes import MESHES
from benchmarks.meshes.generated import colored
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.run import SilentRun
from bridge_server.stages.repair import Repair
from bridge_server.stages.repair_crossings import crossing_pairs
from bridge_server.stages.repair_guard import color_drift, inside_changed
from bridge_server.stages.repair_occupancy import outline_likeness
from bridge_server.values.mesh import HighPoly, Mesh, area_m2, is_watertight, volume_m3


def tube_along_an_eight(rows: int, around: int) -> HighPoly:
    """A closed tube of 0.12 m along a figure of eight whose crossing is lifted by 0.06 m."""
    s = np.linspace(0.0, 2.0 * np.pi, rows, endpoint=False)
    axis = np.stack([np.sin(s), 0.6 * np.sin(2.0 * s), 0.03 * np.cos(s)], axis=1)
    ahead = np.stack([np.cos(s), 1.2 * np.cos(2.0 * s), -0.03 * np.sin(s)], axis=1)
    up = np.cross(ahead, [0.0, 0.0, 1.0])
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    side = np.cross(ahead, up)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    angle = np.linspace(0.0, 2.0 * np.pi, around, endpoint=False)[:, None]
    points: Float64[np.ndarray, "rows around 3"] = axis[:, None] + 0.12 * (
        np.cos(angle) * up[:, None] + np.sin(angle) * side[:, None]
    )
    r, c = (grid.reshape(-1) for grid in np.meshgrid(np.arange(rows), np.arange(around), indexing="ij"))
    a, b, d, e = ((r + i) % rows * around + (c + j) % around for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
    return colored(points.reshape(-1, 3), np.concatenate([np.stack([a, b, d], 1), np.stack([b, e, d], 1)]))


def crossing_faces_by_pymeshlab(mesh: Mesh) -> int:
    """Faces that its filter selects."""
    import pymeshlab

    meshes = pymeshlab.MeshSet(verbose=False)
    meshes.add_mesh(pymeshlab.Mesh(mesh.positions_m.astype(np.float64), np.array(mesh.faces)))
    meshes.compute_selection_by_self_intersections_per_face()
    return int(meshes.current_mesh().selected_face_number())


def counted(mesh: Mesh) -> dict[str, object]:
    """One mesh at one moment."""
    pairs = crossing_pairs(mesh, SilentRun())
    return {
        "faces": len(mesh.faces),
        "crossing_pairs": len(pairs),
        "crossing_faces": len(np.unique(pairs)),
        "crossing_faces_by_pymeshlab": crossing_faces_by_pymeshlab(mesh),
        "closed": is_watertight(mesh),
        "volume_l": round(1000.0 * volume_m3(mesh), 6),
        "area_m2": round(area_m2(mesh), 6),
    }


def row(name: str, high: HighPoly) -> dict[str, object] | None:
    """Both repairs of one mesh; None where it is open or crosses nowhere."""
    raycaster = RAYCASTERS.load("embree")
    made, seconds = [], []
    for stage in (Repair(), Repair(resolve_intersections=True)):
        worked = _machine.processor_s()
        made.append(stage(SilentRun(), raycaster, high_poly=high))
        seconds.append(round(_machine.processor_s() - worked, 2))
        if not is_watertight(made[0].mesh) or not len(crossing_pairs(made[0].mesh, SilentRun())):
            return None
    plain, resolved = (one.mesh for one in made)
    return {
        "mesh": name,
        "before": counted(plain),
        "after": counted(resolved),
        "inside_changed": round(inside_changed(plain, resolved, SilentRun()), 5),
        "outline_likeness": round(outline_likeness(plain, resolved, SilentRun()), 5),
        "color_drift": round(color_drift(high.field, plain, resolved, raycaster, patches=False), 5),
        "processor_s": seconds,
        "notices": [f"{notice.code}: {notice.message}" for notice in made[1].notices],
    }


def main() -> None:
    """Measure, print a table, write the result; with names those rows of the result alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="meshes of the set, eight, eight_fine; all of them without any")
    names = parser.parse_args().names
    asked = [(mesh.name, mesh.load) for mesh in MESHES if mesh.name != "two_million"]
    asked += [("eight", lambda: tube_along_an_eight(200, 24)), ("eight_fine", lambda: tube_along_an_eight(1600, 100))]
    row("warm", tube_along_an_eight(60, 12))  # compiles kernels
    rows = {str(known["mesh"]): known for known in _known()} if names else {}
    print(f"{'mesh':20} {'faces':>18} {'pairs':>12} {'PyMeshLab':>12} cpu s")
    for name, load in asked:
        found = row(name, load()) if not names or name in names else None
        if found is not None:
            rows[name] = found
            print(_line(found), flush=True)
            _machine.write("crossings", {"meshes": list(rows.values())})


def _known() -> list[dict[str, object]]:
    path = _machine.RESULTS / "crossings.json"
    return json.loads(path.read_text(encoding="utf-8"))["meshes"] if path.is_file() else []


def _line(found: dict[str, object]) -> str:
    before, after = found["before"], found["after"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    shown = [f"{before[key]:,} > {after[key]:,}" for key in ("faces", "crossing_pairs", "crossing_faces_by_pymeshlab")]
    return f"{found['mesh']:20} {shown[0]:>18} {shown[1]:>12} {shown[2]:>12} {found['processor_s']}"


if __name__ == "__main__":
    main()
