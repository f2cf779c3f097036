"""How much memory does a bake of 16 million triangles to 4096 px take, and how long does it go without a checkpoint?

``./forge bench bake_scale`` bakes normals, base colour and occlusion of a displaced torus with four rays a texel in a
process of its own, and writes ``benchmarks/results/bake_scale.json``. Memory is the largest resident size of that
process, meshes and maps included. A cancellation is heard at the next checkpoint.
"""

import argparse
import json
import multiprocessing
import sys
import time

from benchmarks import _machine
from benchmarks._bake_cases import Scene, Shape, scene_of, torus
from bridge_server.backends.rasterizer.base import RASTERIZERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.run import CallbackRun
from bridge_server.stages.bake_albedo import BakeAlbedo
from bridge_server.stages.bake_ao import BakeAo
from bridge_server.stages.bake_normal import BakeNormal
from bridge_server.stages.trace import Trace
from bridge_server.values.mesh import Mesh

BUDGET_GB = 8.0
"""What the bake may take, the meshes included."""
ROWS, COLUMNS = 4000, 2000


def low_torus() -> Mesh:
    """The low poly is made, not decimated: 20,000 triangles."""
    return torus(200, 50)


def resident_gb() -> float:
    """Largest resident size of this process so far."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e9 if sys.platform == "darwin" else most * 1024 / 1e9


def bake(size: int, rows: int, columns: int) -> dict[str, object]:
    """Figures of one bake, in this process."""
    scene: Scene = scene_of(Shape(lambda: torus(rows, columns), 0.01, low_torus), size)
    figures: dict[str, object] = {
        "triangles": [len(scene.high.mesh.faces), len(scene.low.faces)],
        "resolution_px": size,
        "meshes_gb": round(resident_gb(), 2),
    }
    caster, heard = RAYCASTERS.load(RAYCASTERS.choose("auto")), [time.perf_counter()]
    longest: dict[str, float] = {}
    steps: dict[str, dict[str, float]] = {}

    def run_of(step: str) -> CallbackRun:
        heard[0] = time.perf_counter()

        def hear(_: float, __: str) -> None:
            now = time.perf_counter()
            longest[step] = max(longest.get(step, 0.0), now - heard[0])
            heard[0] = now

        return CallbackRun(hear)

    slots = {"high_poly": scene.high, "unwrapped": scene.low}
    makers = {
        "trace": lambda run: Trace(resolution_px=size, cage_offset_m=scene.cage_m)(
            run, caster, RASTERIZERS.load("texels"), **slots
        ),
        "normal": lambda run: BakeNormal()(run, **slots),
        "base colour": lambda run: BakeAlbedo()(run, caster, **slots),
        "occlusion": lambda run: BakeAo()(run, caster, **slots),
    }
    for step, make in makers.items():
        start, run = time.perf_counter(), run_of(step)
        made = make(run)
        run.checkpoint(1.0, "")
        steps[step] = {
            "seconds": round(time.perf_counter() - start, 2),
            "peak_gb": round(resident_gb(), 2),
            "longest_without_checkpoint_s": round(longest[step], 2),
        }
        print(step, steps[step], flush=True)
        if step == "trace":
            slots["texel_hits"] = made
            figures["places"] = len(made.index)
            figures["hits_gb"] = round(sum(getattr(made, name).nbytes for name in HELD) / 1e9, 2)
        del made
    return {**figures, "steps": steps, "peak_gb": round(resident_gb(), 2), "budget_gb": BUDGET_GB}


HELD = ("index", "low_face", "low_weights", "high_face", "high_weights", "by_ray", "coverage")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--rows", type=int, default=ROWS)
    options = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result = pool.apply(bake, (options.size, options.rows, options.rows * COLUMNS // ROWS))
    print(json.dumps(result, indent=2))
    if (options.size, options.rows) == (4096, ROWS):
        print(f"written to {_machine.write('bake_scale', result)}")


if __name__ == "__main__":
    main()
