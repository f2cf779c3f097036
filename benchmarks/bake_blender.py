"""Baking here and in Blender (Cycles on the processor): same meshes, UVs and cage, in one run, in turn.

``./forge bench bake_blender --blender-python PATH`` takes an interpreter that can import ``bpy`` 4.5; without one it
says so and ends. Writes ``benchmarks/results/bake_blender.json`` and a contact sheet beside it. Errors of both are
against a truth of 16 rays a texel (see ``_bake_truth``), over texels that lie wholly inside a chart.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import _bake_truth as truth
from benchmarks import _machine
from benchmarks.raycasters import SUBDIVISIONS, bumpy_sphere
from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.backends.unwrapper.base import UNWRAPPERS
from bridge_server.run import SilentRun
from bridge_server.stages.bake_ao import BakeAo
from bridge_server.stages.bake_normal import BakeNormal
from bridge_server.stages.decimate import Decimate
from bridge_server.stages.trace import Trace
from bridge_server.stages.unwrap import Unwrap
from bridge_server.values.mesh import HighPoly, Mesh, UnwrappedMesh
from bridge_server.values.surface import VertexField

ROUNDS = 3
"""Of which the best counts, ours and Blender's in turn."""
TRIANGLES = 10_000
SHOWN = 256
"""Texels along an edge at which truth is computed and shown."""


@dataclass(frozen=True)
class Case:
    """A map, and how both sides make it."""

    name: str
    kind: str
    size: int
    blender_samples: int
    supersample: int


CASES = (
    Case("normal 2048, 1 ray a texel", "NORMAL", 2048, 1, 1),
    Case("ambient occlusion 1024, 64 samples", "AO", 1024, 64, 1),
)


class Blender:
    """The other process."""

    def __init__(self, python: str, meshes: Path) -> None:
        command = [python, str(Path(__file__).with_name("_blender_bake.py")), str(meshes)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.version: str = self._answer()["version"]

    def bake(self, case: Case, size: int, out: Path) -> float:
        """Seconds of the bake operator; the pixels lie in ``out``."""
        order = {"kind": case.kind, "size": size, "samples": case.blender_samples, "out": str(out)}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return float(self._answer()["seconds"])

    def close(self) -> None:
        """End it."""
        self.process.communicate(timeout=60)

    def _answer(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("Blender ended without an answer; run _blender_bake.py by hand to see why")
        return json.loads(line)


@dataclass(frozen=True)
class Scene:
    """Both meshes, and what rays need to know."""

    high: HighPoly
    low: UnwrappedMesh
    cage_m: float
    reach_m: float


def prepared() -> Scene:
    positions, faces = bumpy_sphere(SUBDIVISIONS)
    mesh = Mesh(positions_m=positions, faces=faces)
    field = VertexField(
        positions_m=positions,
        faces=faces,
        base_color=truth.color(positions.astype(np.float64)).astype(np.float32),
        metallic=np.zeros(len(positions), np.float32),
        roughness=np.ones(len(positions), np.float32),
    )
    high = HighPoly(mesh=mesh, field=field, source="benchmark")
    caster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    reducer = MESH_FILTERS.load(MESH_FILTERS.choose("auto"))
    low = Decimate(triangle_count=TRIANGLES)(SilentRun(), reducer, caster, high_poly=high)
    wrap = Unwrap(resolution_px=2048, hard_edge_angle_deg=180.0)
    wrapped = wrap(SilentRun(), UNWRAPPERS.load(UNWRAPPERS.choose("auto")), low_poly=low)
    return Scene(high=high, low=wrapped, cage_m=0.01, reach_m=0.5 * mesh.diagonal_m)


def written(scene: Scene, path: Path) -> Path:
    """The meshes as Blender is to have them: vertices welded, normals and UVs at corners."""
    low = scene.low
    first = np.unique(low.welded, return_index=True)[1]
    np.savez(
        path,
        high_positions=scene.high.mesh.positions_m,
        high_faces=scene.high.mesh.faces,
        low_positions=low.positions_m[first],
        low_faces=low.welded[low.faces],
        corner_uvs=low.uvs[low.faces],
        corner_normals=low.normals[low.faces],
        cage_m=scene.cage_m,
        reach_m=scene.reach_m,
    )
    return path


def baked(scene: Scene, case: Case, size: int) -> np.ndarray:
    """The map that we make, from the meshes on: rays included."""
    caster, run = RAYCASTERS.load(RAYCASTERS.choose("auto")), SilentRun()
    trace = Trace(resolution_px=size, supersample=case.supersample, cage_offset_m=scene.cage_m)
    both = {"high_poly": scene.high, "unwrapped": scene.low}
    both["texel_hits"] = trace(run, caster, **both)
    if case.kind == "NORMAL":
        return BakeNormal()(run, **both).pixels
    return BakeAo(samples=case.blender_samples, distance_m=scene.reach_m)(run, caster, **both).pixels


def world_normals(scene: Scene, places: truth.Subtexels, size: int, stored: np.ndarray) -> np.ndarray:
    """What a shader makes of stored normals at the centre of each texel."""
    caster, low = RAYCASTERS.load(RAYCASTERS.choose("auto")), scene.low
    layout = np.concatenate([low.uvs, np.zeros((len(low.uvs), 1), np.float32)], axis=1)
    middle = np.stack([(places.columns + 0.5) / size, (places.rows + 0.5) / size, np.ones(len(places.rows))], axis=1)
    down = np.tile(np.float32([0, 0, -1]), (len(middle), 1))
    hits = caster.scene(layout, low.faces).first_hits(middle.astype(np.float32), down)
    frames = np.concatenate([low.normals, low.tangents], axis=1)[low.faces[hits.faces]]
    normal, tangent, sign = np.split(np.einsum("tc,tcd->td", hits.barycentrics, frames), [3, 6], axis=1)
    bitangent = np.cross(normal, tangent) * np.sign(sign)
    world = stored[:, :1] * tangent + stored[:, 1:2] * bitangent + stored[:, 2:] * normal
    return world / np.linalg.norm(world, axis=1, keepdims=True)


def judged(scene: Scene, case: Case, places: truth.Subtexels, ours: np.ndarray, theirs: np.ndarray) -> dict:
    """Errors of both, and the three pictures as (texels, 3) in 0 to 1."""
    pick = places.rows, places.columns
    if case.kind == "NORMAL":
        right = truth.mean_normals(places)
        found = [world_normals(scene, places, case.size, part[pick] * 2.0 - 1.0) for part in (ours / 65535.0, theirs)]
        angles = [np.degrees(np.arctan2(_lengths(np.cross(one, right)), (one * right).sum(1))) for one in found]
        return {
            "errors": [_angles(one) for one in angles],
            "pictures": [part * 0.5 + 0.5 for part in (right, *found)],
            "key": "mean_deg",
        }
    caster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    surface = caster.scene(scene.high.mesh.positions_m, scene.high.mesh.faces)
    right = truth.mean_openness(surface, places, 1e-4 * scene.high.mesh.diagonal_m, scene.reach_m)
    found = [ours[pick] / 255.0, theirs[pick][:, 0].astype(np.float64)]
    return {
        "errors": [{"rms": _rms(one - right), "mean": float(np.mean(one - right))} for one in found],
        "pictures": [np.repeat(part[:, None], 3, axis=1) for part in (right, *found)],
        "key": "rms",
    }


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=1)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


def _angles(degrees: np.ndarray) -> dict[str, float]:
    return {
        "mean_deg": float(degrees.mean()),
        "p99_deg": float(np.percentile(degrees, 99)),
        "max_deg": float(degrees.max()),
    }


def sheet(rows: list[tuple[truth.Subtexels, int, list[np.ndarray]]], path: Path) -> None:
    """A row a case: truth, ours, Blender's, and twenty times what ours and Blender's are off (red ours, green its)."""
    lines = []
    for places, every, (right, ours, theirs) in rows:
        off = [np.abs(part - right).max(axis=1) * 20 for part in (ours, theirs)]
        difference = np.stack([*off, np.zeros(len(right))], axis=1)
        tiles = []
        for values in (right, ours, theirs, difference):
            tile = np.full((SHOWN, SHOWN, 3), 0.12)
            tile[places.rows // every, places.columns // every] = values
            tiles.append(tile)
        lines.append(np.concatenate(tiles, axis=1))
    pixels = np.rint(np.clip(np.concatenate(lines), 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels).quantize(256).save(path, optimize=True)


def timed(act: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    result = act()
    return time.perf_counter() - start, result


def measure(python: str, rounds: int, folder: Path) -> dict[str, object]:
    scene = prepared()
    blender = Blender(python, written(scene, folder / "meshes.npz"))
    caster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    surface = caster.scene(scene.high.mesh.positions_m, scene.high.mesh.faces)
    figures, rows, best = {}, [], []
    for case in CASES:
        baked(scene, case, 64)
        blender.bake(case, 64, folder / "warm.npy")
        ours_s, theirs_s = float("inf"), float("inf")
        for _ in range(rounds):
            seconds, ours = timed(lambda case=case: baked(scene, case, case.size))
            ours_s = min(ours_s, seconds)
            theirs_s = min(theirs_s, blender.bake(case, case.size, folder / "map.npy"))
        theirs = np.load(folder / "map.npy")
        every = case.size // SHOWN
        places = truth.subtexels(caster, surface, scene.high.mesh, scene.low, scene.cage_m, case.size, every)
        result = judged(scene, case, places, ours, theirs)
        mine, other = result["errors"]
        rows.append((places, every, result["pictures"]))
        best.append((ours_s, theirs_s))
        figures[case.name] = {
            "ours_s": round(ours_s, 2),
            "blender_s": round(theirs_s, 2),
            "times_as_fast": round(theirs_s / ours_s, 2),
            "ours_error": mine,
            "blender_error": other,
            "at_equal_or_lower_error": mine[result["key"]] <= other[result["key"]],
            "texels_judged": len(places.rows),
        }
        print(json.dumps({case.name: figures[case.name]}), flush=True)
    blender.close()
    sheet(rows, _machine.RESULTS / "bake_blender.png")
    ours_s, theirs_s = (sum(pair[side] for pair in best) for side in (0, 1))
    total = {"ours_s": round(ours_s, 2), "blender_s": round(theirs_s, 2), "times_as_fast": round(theirs_s / ours_s, 2)}
    return {
        "blender": blender.version,
        "ray_caster": caster.identity,
        "device": "cpu, both",
        "rounds": rounds,
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "triangles": [len(scene.high.mesh.faces), len(scene.low.faces)],
        "maps": figures,
        "both_maps": total,
        "physical_limit": limits(scene, figures),
        "note": "Ours is timed from the meshes on, rays traced anew for each map; Blender's bake operator alone.",
    }


def limits(scene: Scene, figures: dict[str, dict]) -> dict[str, object]:
    """Least seconds that the rays alone would take at the rates in ``raycasters.json``."""
    path = _machine.RESULTS / "raycasters.json"
    if not path.exists():
        return {"unknown": "run ./forge bench raycasters first"}
    rates = json.loads(path.read_text())["million_queries_per_s"]
    share = scene.low.packing_efficiency
    result: dict[str, object] = {}
    for case in CASES:
        texels = case.size**2 * share
        rays, question = texels * case.supersample**2, "baking rays"
        if case.kind == "AO":
            rays, question = texels * case.blender_samples, "occlusion"
        least = rays / rates[question]["embree"] / 1e6
        result[case.name] = {
            "million_rays": round(rays / 1e6, 2),
            "least_s": round(least, 2),
            "ours_over_least": round(figures[case.name]["ours_s"] / least, 2),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blender-python", help="interpreter that can import bpy 4.5")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    python = options.blender_python
    if python is None or subprocess.run([python, "-c", "import bpy"], capture_output=True, check=False).returncode:
        print("bake_blender is skipped: no interpreter with bpy was given by --blender-python")
        return
    with tempfile.TemporaryDirectory(prefix="forge-bake-") as folder:
        result = measure(python, options.rounds, Path(folder))
    print(json.dumps(result, indent=2))
    print(f"written to {_machine.write('bake_blender', result)}")


if __name__ == "__main__":
    main()
