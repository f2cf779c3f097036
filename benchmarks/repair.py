"""Does repair leave every mesh of the set closed, wound outward and without an inner hull, and keep what is meant?

``./forge bench repair [name ...]`` takes each mesh through ``repair`` and ``clean`` with their defaults and measures it
before and after: pieces, border edges, edges of more than two faces, the share of the surface that shows its back to
the outside, the winding number inside, the share of the surface that cannot be seen, volume, area, seconds. Beside it
stand trimesh's repair and pymeshfix on the made meshes, where they are installed.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import _machine
from benchmarks.mesh_set import picture
from benchmarks.meshes import MESHES, mesh_named
from benchmarks.meshes.record import BenchMesh, Kind
from bridge_server.backends.isolation import call_isolated
from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.errors import ForgeError
from bridge_server.run import SilentRun
from bridge_server.stages.clean import Clean
from bridge_server.stages.repair import Repair
from bridge_server.stages.repair_hidden import hidden_surfaces
from bridge_server.stages.repair_native import Arrays, meshfix_shells
from bridge_server.stages.repair_occupancy import outline_likeness, reached_from_outside
from bridge_server.stages.repair_visibility import open_shares, strata
from bridge_server.stages.repair_winding import CLEAR
from bridge_server.values.mesh import HighPoly, Mesh, area_m2, volume_m3
from bridge_server.values.mesh_topology import compacted, edge_table, face_areas, face_components, tidied
from bridge_server.values.mesh_winding import agreeing_flips
from bridge_server.values.winding_number import winding_field

FACES_LOOKED_AT = 4000
POINTS_INSIDE = 60
GRID = 64
PEER_LIMIT_S = 120.0
"""How long a peer may take. The peers get the made meshes, each with one known defect."""


@dataclass(frozen=True)
class Measured:
    """One mesh at one moment: the raw one with equal corners merged, the repaired one as it is handed on."""

    faces: int
    pieces: int
    border_edges: int
    crowded_edges: int
    flipped_share: float
    """Of the area that lies open: what is wound against the rest of its piece, or as a whole against what rays tell
    (the side that more of them leave is outside). A sheet that looks the same from both sides has no outside."""
    winding_inside: float | None
    """Mean winding number of points that a flood from outside does not reach; 1 is right. None where there are none."""
    hidden_share: float
    """Of the area: inner hulls by rays."""
    volume_l: float
    area_m2: float


def measure(mesh: Mesh) -> Measured:
    """Look at a mesh."""
    table = edge_table(mesh.faces)
    scene = RAYCASTERS.load("embree").scene(mesh.positions_m, mesh.faces)
    faces = strata(face_areas(mesh), FACES_LOOKED_AT)
    front, back = (open_shares(scene, mesh, faces, SilentRun(), side=side, rays=16) for side in (1.0, -1.0))
    hidden = hidden_surfaces(scene, mesh, Repair().max_opening_share * mesh.diagonal_m, SilentRun())
    return Measured(
        faces=len(mesh.faces),
        pieces=int(face_components(mesh.faces, table).max()) + 1,
        border_edges=int((table.counts == 1).sum()),
        crowded_edges=int((table.counts > 2).sum()),
        flipped_share=round(_flipped_share(mesh, faces, front, back), 4),
        winding_inside=_winding_inside(mesh),
        hidden_share=round(float(face_areas(mesh)[hidden.faces].sum() / area_m2(mesh)), 4),
        volume_l=round(1000.0 * volume_m3(mesh), 4),
        area_m2=round(area_m2(mesh), 5),
    )


def _flipped_share(mesh: Mesh, faces: np.ndarray, front: np.ndarray, back: np.ndarray) -> float:
    turn, pieces, _ = agreeing_flips(mesh)
    count = int(pieces.max()) + 1
    turned, piece = turn[faces], pieces[faces]
    outside = np.where(turned, back - front, front - back)
    vote = np.bincount(piece, outside, count) / np.maximum(np.bincount(piece, front + back, count), 1e-9)
    majority = np.bincount(piece, turned, count) * 2 > np.bincount(piece, minlength=count)
    wanted = np.where(np.abs(vote) > CLEAR, vote < 0.0, majority)
    seen = np.maximum(front, back) > 0.1
    return float((turned != wanted[piece])[seen].mean()) if seen.any() else 0.0


def _winding_inside(mesh: Mesh) -> float | None:
    low, high = (bound.astype(np.float64) for bound in mesh.bounds_m)
    cell_m = float((high - low).max()) / GRID
    shape = (GRID + 6,) * 3
    corner = (low + high) / 2.0 - 0.5 * cell_m * (GRID + 6)
    inside = np.argwhere(~reached_from_outside(mesh, corner, cell_m, shape, 0))
    if not len(inside):
        return None
    chosen = inside[np.linspace(0, len(inside) - 1, POINTS_INSIDE).astype(int)]
    points = corner + (chosen + 0.5) * cell_m
    scene = RAYCASTERS.load("embree").scene(mesh.positions_m, mesh.faces)
    deep = scene.nearest(points.astype(np.float32)).distances_m > 0.9 * cell_m  # a cell on the surface may lie outside
    if not deep.any():
        return None
    field = winding_field(mesh.positions_m.astype(np.float64)[mesh.faces])
    return round(float(field.at(points[deep]).mean()), 3)


def own(high: HighPoly) -> tuple[Mesh, list[str]]:
    """Both stages with their defaults."""
    repaired = Repair()(SilentRun(), RAYCASTERS.load("embree"), high_poly=high)
    cleaned = Clean()(SilentRun(), MESH_FILTERS.load("pymeshlab"), high_poly=repaired)
    return cleaned.mesh, [f"{notice.code}: {notice.message}" for notice in (*repaired.notices, *cleaned.notices)]


def by_trimesh(positions: np.ndarray, faces: np.ndarray) -> Arrays:
    """Its merging, winding and hole filling."""
    import trimesh

    found = trimesh.Trimesh(positions, faces, process=True)
    trimesh.repair.fix_normals(found, multibody=True)
    trimesh.repair.fill_holes(found)
    return np.asarray(found.vertices, np.float32), np.asarray(found.faces, np.int32)


def by_meshfix(positions: np.ndarray, faces: np.ndarray) -> Arrays:
    """MeshFix on each shell."""
    mesh = tidied(Mesh(positions_m=positions, faces=faces))
    return meshfix_shells(np.array(mesh.positions_m), np.array(mesh.faces))


def timed(peer: str, positions: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """What a peer makes, and the seconds that the cores worked for it once it was imported; runs in a child process."""
    package, work = PEERS[peer]
    import_module(package)
    started = time.process_time()
    return *work(positions, faces), time.process_time() - started


PICTURED = ("double_hull_joined", "holes", "open_bottom", "non_manifold", "bottle")
PICTURE_PX = 180
PEERS: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], Arrays]]] = {
    "trimesh": ("trimesh", by_trimesh),
    "pymeshfix": ("pymeshfix", by_meshfix),
}


def verdict(before: Measured, after: Measured, mesh: BenchMesh) -> list[str]:
    """What of the expectations does not hold; empty where all does."""
    wanted = mesh.expectations
    failed = []
    if wanted.closed and (after.border_edges or after.crowded_edges):
        failed.append("not closed")
    if after.flipped_share > 0.005:
        failed.append("not outward")
    if after.hidden_share > 0.005:
        failed.append("inner hull left")
    if wanted.hollow and after.area_m2 < 0.98 * before.area_m2:
        failed.append("inside taken")
    low, high = wanted.volume_m3 or (-np.inf, np.inf)
    if wanted.closed and not low <= after.volume_l / 1000.0 <= high:
        failed.append("wrong volume")
    return failed


def main() -> None:
    """Measure, print a table, write the result; with names those rows of the result alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="meshes of the set; all of them without any")
    parser.add_argument("--no-peers", action="store_true", help="leave trimesh and pymeshfix out")
    parser.add_argument("--draw", action="store_true", help="draw the hard cases instead of measuring")
    arguments = parser.parse_args()
    if arguments.draw:
        print(draw())
        return
    peers = [] if arguments.no_peers else [name for name, (package, _) in PEERS.items() if find_spec(package)]
    for name in arguments.names:
        mesh_named(name)
    own(MESHES[0].load())  # compiles kernels
    rows = {row["mesh"]: row for row in _known()} if arguments.names else {}
    print(
        f"{'mesh':20} {'pieces':>11} {'border':>11} {'crowded':>9} {'flipped':>13} {'winding':>11} {'hidden':>13} cpu s"
    )
    for mesh in MESHES:
        if not arguments.names or mesh.name in arguments.names:
            rows[mesh.name] = _row(mesh, peers)
            ordered = [rows[mesh.name] for mesh in MESHES if mesh.name in rows]
            path = _machine.write("repair", {"meshes": ordered})
    bad = [str(row["mesh"]) for row in ordered if row["failed"]]
    print(f"{len(ordered) - len(bad)} of {len(ordered)} as expected{'; not: ' if bad else ''}{', '.join(bad)}")
    print(path)


def draw() -> Path:
    """Hard cases before and after, whole and cut open along the middle."""
    rows = []
    for name in PICTURED:
        high = mesh_named(name).load()
        found = replace(high, mesh=own(high)[0])
        shown = (high, found, cut_open(high), cut_open(found))
        rows.append(np.concatenate([picture(one, PICTURE_PX) for one in shown], axis=1))
    path = _machine.RESULTS / "repair.png"
    Image.fromarray(np.concatenate(rows)).save(path, optimize=True)
    return path


def cut_open(high: HighPoly) -> HighPoly:
    """Its back half."""
    mesh = high.mesh
    middle = (mesh.bounds_m[0][2] + mesh.bounds_m[1][2]) / 2.0
    back = mesh.positions_m[mesh.faces][..., 2].mean(axis=1) < middle
    return replace(high, mesh=compacted(mesh.positions_m, mesh.faces[back]))


def _known() -> list[dict[str, object]]:
    path = _machine.RESULTS / "repair.json"
    return json.loads(path.read_text(encoding="utf-8"))["meshes"] if path.is_file() else []


def _row(mesh: BenchMesh, peers: list[str]) -> dict[str, object]:
    high = mesh.load()
    started, worked = time.perf_counter(), _machine.processor_s()
    found, notices = own(high)
    seconds, cpu_s = time.perf_counter() - started, _machine.processor_s() - worked
    before, after = measure(tidied(high.mesh)), measure(found)
    failed = verdict(before, after, mesh)
    print(_line(mesh.name, before, after, cpu_s, failed), flush=True)
    return {
        "mesh": mesh.name,
        "kind": str(mesh.kind),
        "expected": asdict(mesh.expectations),
        "before": asdict(before),
        "after": asdict(after),
        "seconds": round(seconds, 2),
        "processor_s": round(cpu_s, 2),
        "outline_likeness": round(outline_likeness(tidied(high.mesh), found, SilentRun()), 4),
        "failed": failed,
        "notices": notices,
        "peers": {name: beside(name, high.mesh, before, mesh) for name in peers if mesh.kind is Kind.DEFECT},
    }


def beside(name: str, mesh: Mesh, before: Measured, bench: BenchMesh) -> dict[str, object]:
    """What a peer makes of a mesh, in a child process that is ended when time is up, judged as ours is."""
    arrays = (np.array(mesh.positions_m), np.array(mesh.faces))
    told: dict[str, object] = {"version": version(PEERS[name][0])}
    try:
        positions, faces, cpu_s = call_isolated(
            "benchmarks.repair:timed", name, *arrays, run=SilentRun(), time_limit_s=PEER_LIMIT_S
        )
        found = measure(tidied(Mesh(positions_m=positions, faces=faces)))
        return told | {"processor_s": round(cpu_s, 2)} | asdict(found) | {"failed": verdict(before, found, bench)}
    except (ForgeError, ValueError, IndexError, RuntimeError) as error:
        return told | {"error": f"{type(error).__name__}: {error}"[:200]}


def _line(name: str, before: Measured, after: Measured, seconds: float, failed: list[str]) -> str:
    def pair(one: float | None, two: float | None, shown: str) -> str:
        return " > ".join("none" if value is None else f"{value:{shown}}" for value in (one, two))

    return (
        f"{name:20} {pair(before.pieces, after.pieces, 'd'):>11} "
        f"{pair(before.border_edges, after.border_edges, 'd'):>11} "
        f"{pair(before.crowded_edges, after.crowded_edges, 'd'):>9} "
        f"{pair(before.flipped_share, after.flipped_share, '.1%'):>13} "
        f"{pair(before.winding_inside, after.winding_inside, '.2f'):>11} "
        f"{pair(before.hidden_share, after.hidden_share, '.1%'):>13} {seconds:.2f} {', '.join(failed)}"
    )


if __name__ == "__main__":
    main()
