"""Baking here and in Blender (Cycles on the processor): same meshes, UVs, cage and rays a texel, in one run, in turn.

``./forge bench bake_blender --blender-python PATH`` takes an interpreter that can import ``bpy`` 4.5; without one it
says so and ends. Writes ``benchmarks/results/bake_blender.json`` and a contact sheet for each shape beside it. Errors
of both are against a truth of 16 rays a texel (see ``_bake_truth``), over texels that lie wholly inside a chart.
``--shape`` measures one shape alone and keeps the other results as they are.
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
from benchmarks._bake_cases import SHAPES, Scene, scene_of
from bridge_server.backends.rasterizer.base import RASTERIZERS
from bridge_server.backends.raycaster.base import RAYCASTERS, RayScene
from bridge_server.run import SilentRun
from bridge_server.stages.bake_albedo import BakeAlbedo, srgb_bytes
from bridge_server.stages.bake_ao import BakeAo
from bridge_server.stages.bake_normal import BakeNormal
from bridge_server.stages.trace import Trace
from bridge_server.values.mesh import vertex_normals

ROUNDS = 2
"""Of which the best counts, ours and Blender's in turn."""
SHOWN = 256
"""Texels along an edge at which truth is computed and shown."""


@dataclass(frozen=True)
class Case:
    """A map, and how both sides make it."""

    name: str
    kind: str
    """As Blender calls it."""
    size: int
    blender_samples: int
    supersample: int
    """Our rays along each edge of a texel."""
    key: str
    """The error that is compared; less is better."""
    fewer: int | None = None
    """Our samples for occlusion, where they are not as many as Blender's."""

    @property
    def samples(self) -> int:
        """Ours, for occlusion."""
        return self.fewer or self.blender_samples


CASES = (
    Case("normal 2048 px, 1 ray a texel", "NORMAL", 2048, 1, 1, "mean_deg"),
    Case("normal 2048 px, 4 rays a texel (default)", "NORMAL", 2048, 4, 2, "mean_deg"),
    Case("base colour 2048 px, 1 ray a texel", "EMIT", 2048, 1, 1, "rms"),
    Case("base colour 2048 px, 4 rays a texel (default)", "EMIT", 2048, 4, 2, "rms"),
    Case("ambient occlusion 1024 px, 64 samples", "AO", 1024, 64, 1, "rms"),
    Case("ambient occlusion 1024 px, 48 samples, Blender's 64", "AO", 1024, 64, 1, "rms", fewer=48),
)
WHOLE = (CASES[0], CASES[2], CASES[4])
"""What is added up as the whole set."""


class Blender:
    """The other process."""

    def __init__(self, python: str, meshes: Path) -> None:
        command = [python, str(Path(__file__).with_name("_blender_bake.py")), str(meshes)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.version: str = self._answer()["version"]

    def bake(self, case: Case, size: int, out: Path) -> tuple[float, float]:
        """Seconds of the bake operator, by the clock and of all threads; the pixels lie in ``out``."""
        order = {"kind": case.kind, "size": size, "samples": case.blender_samples, "out": str(out)}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        return float(answer["seconds"]), float(answer["cpu_s"])

    def close(self) -> None:
        """End it."""
        self.process.communicate(timeout=60)

    def _answer(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("Blender ended without an answer; run _blender_bake.py by hand to see why")
        return json.loads(line)


def written(scene: Scene, path: Path) -> Path:
    """The meshes as Blender is to have them: vertices welded, normals and UVs at corners."""
    low, high = scene.low, scene.high
    welded = low.welded_mesh()
    np.savez(
        path,
        high_positions=high.mesh.positions_m,
        high_faces=high.mesh.faces,
        high_corner_normals=truth.detail_normals(high.mesh),
        high_colors=high.field.base_color,
        low_positions=welded.positions_m,
        low_faces=low.welded[low.faces],
        corner_uvs=low.uvs[low.faces],
        corner_normals=low.normals[low.faces],
        cage_positions=welded.positions_m + vertex_normals(welded) * np.float32(scene.cage_m),
        reach_m=scene.reach_m,
    )
    return path


def baked(scene: Scene, case: Case, size: int) -> np.ndarray:
    """The map that we make, from the meshes on: hierarchy, rays and gutter included."""
    caster, run = RAYCASTERS.load(RAYCASTERS.choose("auto")), SilentRun()
    trace = Trace(resolution_px=size, supersample=case.supersample, cage_offset_m=scene.cage_m)
    both = {"high_poly": scene.high, "unwrapped": scene.low}
    both["texel_hits"] = trace(run, caster, RASTERIZERS.load("texels"), **both)
    if case.kind == "NORMAL":
        return BakeNormal()(run, **both).pixels
    if case.kind == "EMIT":
        return BakeAlbedo()(run, caster, **both).pixels
    return BakeAo(samples=case.samples, distance_m=scene.reach_m)(run, caster, **both).pixels


def world_normals(scene: Scene, places: truth.Subtexels, size: int, stored: np.ndarray) -> np.ndarray:
    """What a shader makes of stored normals at the centre of each texel."""
    low = scene.low
    middle = np.stack([(places.columns + 0.5) / size, (places.rows + 0.5) / size], axis=1)
    hits, corners = truth.layout_hits(scene, middle)
    frames = np.concatenate([low.normals, low.tangents], axis=1)[corners]
    normal, tangent, sign = np.split(np.einsum("tc,tcd->td", hits.barycentrics, frames), [3, 6], axis=1)
    bitangent = np.cross(normal, tangent) * np.sign(sign)
    world = stored[:, :1] * tangent + stored[:, 1:2] * bitangent + stored[:, 2:] * normal
    return world / np.linalg.norm(world, axis=1, keepdims=True)


@dataclass(frozen=True)
class Judged:
    """Errors of ours and Blender's, and truth and both as pictures, (texels, 3) in 0 to 1."""

    errors: list[dict[str, float]]
    pictures: list[np.ndarray]


def judged(
    scene: Scene, surface: RayScene, case: Case, places: truth.Subtexels, ours: np.ndarray, theirs: np.ndarray
) -> Judged:
    pick = places.rows, places.columns
    if case.kind == "NORMAL":
        right = truth.mean_normals(scene, places)
        found = [world_normals(scene, places, case.size, part[pick] * 2.0 - 1.0) for part in (ours / 65535.0, theirs)]
        angles = [np.degrees(np.arctan2(_lengths(np.cross(one, right)), (one * right).sum(1))) for one in found]
        return Judged([_angles(one) for one in angles], [part * 0.5 + 0.5 for part in (right, *found)])
    if case.kind == "EMIT":
        field, faces = scene.high.field, scene.high.mesh.faces
        means = truth.Subtexels.means(places, field.base_color[faces]).astype(np.float32)
        encoded = (srgb_bytes(part.astype(np.float32)[None])[0] / 255.0 for part in (means, theirs[pick]))
        right, other = encoded
        found = [ours[pick] / 255.0, other]
        return Judged([_colors(one - right) for one in found], [right, *found])
    right = truth.mean_openness(scene, surface, places, 1e-4 * scene.high.mesh.diagonal_m)
    found = [ours[pick] / 255.0, theirs[pick][:, 0].astype(np.float64)]
    pictures = [np.repeat(part[:, None], 3, axis=1) for part in (right, *found)]
    return Judged([{"rms": _rms(one - right), "mean": float(np.mean(one - right))} for one in found], pictures)


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=1)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


def _colors(off: np.ndarray) -> dict[str, float]:
    return {"rms": _rms(off), "psnr_db": round(-20 * float(np.log10(max(_rms(off), 1e-9))), 2)}


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


def timed(act: Callable[[], np.ndarray]) -> tuple[tuple[float, float], np.ndarray]:
    """Seconds by the clock and of all threads, and what was made."""
    start, spent = time.perf_counter(), time.process_time()
    result = act()
    return (time.perf_counter() - start, time.process_time() - spent), result


@dataclass(frozen=True)
class Made:
    """A map of both sides, and the least seconds that each took, by the clock and of all threads."""

    ours_s: np.ndarray
    blender_s: np.ndarray
    ours: np.ndarray
    blender: np.ndarray


def made_in_turn(scene: Scene, blender: Blender, case: Case, rounds: int, folder: Path) -> Made:
    """Once small, so that neither starts cold, then as often as asked."""
    baked(scene, case, 64)
    blender.bake(case, 64, folder / "warm.npy")
    ours_s, theirs_s = np.full(2, np.inf), np.full(2, np.inf)
    for _ in range(rounds):
        seconds, ours = timed(lambda: baked(scene, case, case.size))
        ours_s = np.minimum(ours_s, seconds)
        theirs_s = np.minimum(theirs_s, blender.bake(case, case.size, folder / "map.npy"))
    return Made(ours_s, theirs_s, ours, np.load(folder / "map.npy"))


def measure(name: str, python: str, rounds: int, folder: Path) -> dict[str, object]:
    """All maps of one shape."""
    scene = scene_of(SHAPES[name])
    blender = Blender(python, written(scene, folder / "meshes.npz"))
    surface = RAYCASTERS.load(RAYCASTERS.choose("auto")).scene(scene.high.mesh.positions_m, scene.high.mesh.faces)
    made = {case: made_in_turn(scene, blender, case, rounds, folder) for case in CASES}
    version = blender.version
    blender.close()
    limits = {case.name: least(scene, case) for case in CASES}
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    figures, rows = {}, []
    for case, both in made.items():
        every = case.size // SHOWN
        places = truth.subtexels(scene, surface, case.size, every)
        found = judged(scene, surface, case, places, both.ours, both.blender)
        rows.append((places, every, found.pictures))
        mine, other = found.errors
        figures[case.name] = {
            **_ratio(both.ours_s, both.blender_s),
            "ours_error": mine,
            "blender_error": other,
            "at_equal_or_lower_error": mine[case.key] <= other[case.key],
            "texels_judged": len(places.rows),
            "limit": {
                **limits[case.name],
                "ours_over_least": round(float(both.ours_s[0]) / limits[case.name]["least_s"], 2),
            },
        }
    sheet(rows, _machine.RESULTS / f"bake_blender_{name.replace(' ', '_').replace('-', '_')}.png")
    total = [sum(side(made[case]) for case in WHOLE) for side in (lambda one: one.ours_s, lambda one: one.blender_s)]
    return {
        "blender": version,
        "load_average": load,
        "triangles": [len(scene.high.mesh.faces), len(scene.low.faces)],
        "maps": figures,
        "whole_set": {"of": [case.name for case in WHOLE], **_ratio(*total)},
    }


def _ratio(ours_s: np.ndarray, theirs_s: np.ndarray) -> dict[str, float]:
    """By the clock; and of all threads, which says more where other work keeps the cores busy."""
    return {
        "ours_s": round(float(ours_s[0]), 3),
        "blender_s": round(float(theirs_s[0]), 3),
        "times_as_fast": round(float(theirs_s[0] / ours_s[0]), 2),
        "ours_cpu_s": round(float(ours_s[1]), 3),
        "blender_cpu_s": round(float(theirs_s[1]), 3),
        "times_less_cpu": round(float(theirs_s[1] / ours_s[1]), 2),
    }


def least(scene: Scene, case: Case) -> dict[str, float]:
    """Seconds that the rays alone take, at the rate of this ray caster on these very rays, measured here.

    For occlusion it is the time of all rays from every texel, though ``coarseness`` spares us three quarters of them.
    """
    caster, run = RAYCASTERS.load(RAYCASTERS.choose("auto")), SilentRun()
    trace = Trace(resolution_px=case.size, supersample=case.supersample, cage_offset_m=scene.cage_m)
    hits = trace(run, caster, RASTERIZERS.load("texels"), high_poly=scene.high, unwrapped=scene.low)
    asked: list[tuple[int, float]] = []
    if case.kind == "AO":
        bake = BakeAo(samples=case.samples, distance_m=scene.reach_m, coarseness=1, denoise_rounds=0)
        watched = _Watched(caster, asked)
        bake(run, watched, high_poly=scene.high, unwrapped=scene.low, texel_hits=hits)
    else:
        trace(run, _Watched(caster, asked), RASTERIZERS.load("texels"), high_poly=scene.high, unwrapped=scene.low)
    rays, busy_s = (sum(column) for column in zip(*asked, strict=True))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    least_s = busy_s / cores
    return {
        "million_rays": round(rays / 1e6, 2),
        "million_rays_per_s": round(rays / least_s / 1e6, 2),
        "least_s": round(least_s, 4),
    }


class _Watched:
    """A ray caster whose scenes note how many rays a call of a bake took, and the seconds of its thread."""

    def __init__(self, caster: object, asked: list[tuple[int, float]]) -> None:
        self.caster, self.asked = caster, asked

    def scene(self, *mesh: np.ndarray, approximate: bool = False) -> "_WatchedScene":
        return _WatchedScene(self.caster.scene(*mesh, approximate=approximate), self.asked)  # type: ignore[attr-defined]


class _WatchedScene:
    def __init__(self, scene: RayScene, asked: list[tuple[int, float]]) -> None:
        self.scene, self.asked, self.nearest = scene, asked, scene.nearest

    def facing_hits(self, points: np.ndarray, outward: np.ndarray, cage_m: float) -> object:
        return self._noted(len(points), lambda: self.scene.facing_hits(points, outward, cage_m))

    def first_hits(self, origins: np.ndarray, directions: np.ndarray, reach_m: float) -> object:
        return self._noted(len(origins), lambda: self.scene.first_hits(origins, directions, reach_m))

    def openness(self, sets: np.ndarray, lookouts: object, *limits: float) -> object:
        rays = len(lookouts.points_m) * sets.shape[1]  # type: ignore[attr-defined]
        return self._noted(rays, lambda: self.scene.openness(sets, lookouts, *limits))  # type: ignore[arg-type]

    def _noted(self, rays: int, ask: Callable[[], object]) -> object:
        start = time.perf_counter()
        answer = ask()
        self.asked.append((rays, time.perf_counter() - start))
        return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blender-python", help="interpreter that can import bpy 4.5")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--shape", choices=SHAPES, action="append")
    options = parser.parse_args()
    python = options.blender_python
    if python is None or subprocess.run([python, "-c", "import bpy"], capture_output=True, check=False).returncode:
        print("bake_blender is skipped: no interpreter with bpy was given by --blender-python")
        return
    path = _machine.RESULTS / "bake_blender.json"
    known = json.loads(path.read_text())["shapes"] if path.exists() and options.shape else {}
    for name in options.shape or SHAPES:
        with tempfile.TemporaryDirectory(prefix="forge-bake-") as folder:
            known[name] = measure(name, python, options.rounds, Path(folder))
        result = {
            "device": "cpu, both",
            "ray_caster": RAYCASTERS.load(RAYCASTERS.choose("auto")).identity,
            "rounds": options.rounds,
            "note": "Ours is timed from the meshes on, rays traced anew for each map, gutter filled; Blender's bake"
            " operator alone, without a margin.",
            "shapes": known,
        }
        print(json.dumps({name: known[name]}, indent=2), flush=True)
        print(f"written to {_machine.write('bake_blender', result)}", flush=True)


if __name__ == "__main__":
    main()
