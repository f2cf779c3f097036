"""How long do all maps take where rays run on a GPU, and how near are they to those of the processor?

``./forge bench bake_gpu`` needs CUDA; without it it says so and ends. A bumpy sphere of 1.3 million triangles is baked
to 10,000 with every map at 2048 px and at 4096 px, by Warp on the first GPU and by the ray caster of the processor, in
one run; where nvdiffrast is installed, also with charts covered by it. Writes ``benchmarks/results/bake_gpu.json``.
"""

import argparse
import io
import json
import time
from dataclasses import dataclass

import numpy as np
from PIL import Image

from benchmarks import _machine
from benchmarks._bake_cases import Scene, Shape, scene_of
from benchmarks.raycasters import bumpy_sphere
from bridge_server.backends.rasterizer.base import RASTERIZERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.run import SilentRun
from bridge_server.stages.bake_images import MapName
from bridge_server.stages.bake_set import BakedSet, BakeWish, Means, bake_set
from bridge_server.values.mesh import Mesh

SUBDIVISIONS = 8
"""Of an icosahedron: 1,310,720 triangles."""
GOALS_S = {2048: 1.0, 4096: 4.0}
"""What all maps may take on an H200."""


def dense_sphere() -> Mesh:
    positions, faces = bumpy_sphere(SUBDIVISIONS)
    return Mesh(positions_m=positions, faces=faces)


@dataclass(frozen=True)
class Timed:
    """A set of maps and its seconds; PNG files are timed apart."""

    baked: BakedSet
    seconds: float


def timed(scene: Scene, name: str, wish: BakeWish, rasterizer: str = "texels") -> Timed:
    """Bake by the ray caster and the UV rasteriser of that name, with the kernels loaded before."""
    means = Means(RAYCASTERS.load(name), RASTERIZERS.load(rasterizer))
    small = BakeWish(maps=wish.maps, resolution_px=64, cage_m=wish.cage_m)
    bake_set(small, scene.high, scene.low, means, lambda _: SilentRun())
    start = time.perf_counter()
    baked = bake_set(wish, scene.high, scene.low, means, lambda _: SilentRun())
    return Timed(baked, time.perf_counter() - start)


def difference(one: BakedSet, other: BakedSet) -> dict[str, dict[str, float]]:
    """For each map the share of texels that differ by more than one part in 255, and the mean difference."""
    found = {}
    for left, right in zip(one.maps, other.maps, strict=True):
        pixels = [np.asarray(Image.open(io.BytesIO(side.png))).astype(np.float64) for side in (left, right)]
        off = np.abs(pixels[0] - pixels[1]) / (2**left.bits - 1)
        found[left.name.value] = {"share_over_a_step": float((off > 1.01 / 255).mean()), "mean": float(off.mean())}
    return found


def measure(size: int) -> dict[str, object]:
    """All maps of one size on both."""
    scene = scene_of(Shape(dense_sphere, 0.01))
    wish = BakeWish(maps=tuple(MapName), resolution_px=size, cage_m=scene.cage_m)
    gpu = timed(scene, "warp", wish)
    result: dict[str, object] = {
        "triangles": [len(scene.high.mesh.faces), len(scene.low.faces)],
        "rays_a_texel": wish.supersample**2,
        "trace_s": round(gpu.baked.trace_seconds, 3),
        "maps_s": {item.name.value: round(item.seconds, 3) for item in gpu.baked.maps},
        "all_s": round(gpu.seconds, 3),
        "goal_s": GOALS_S[size],
    }
    if RASTERIZERS.availability("nvdiffrast").available:
        other = timed(scene, "warp", wish, "nvdiffrast")
        result["by_nvdiffrast"] = {
            "trace_s": round(other.baked.trace_seconds, 3),
            "all_s": round(other.seconds, 3),
            "difference": difference(other.baked, gpu.baked),
        }
    if RAYCASTERS.availability("embree").available:
        cpu = timed(scene, "embree", wish)
        result["processor_s"] = round(cpu.seconds, 3)
        result["times_as_fast"] = round(cpu.seconds / gpu.seconds, 2)
        result["difference"] = difference(gpu.baked, cpu.baked)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, choices=GOALS_S, action="append")
    options = parser.parse_args()
    from bridge_server.backends.raycaster.warp import load_kernels

    device = load_kernels().wp.get_preferred_device()
    if not device.is_cuda:
        print("bake_gpu is skipped: Warp finds no CUDA device here")
        return
    nvdiffrast = RASTERIZERS.availability("nvdiffrast")
    result = {
        "device": device.name,
        "nvdiffrast": f"{nvdiffrast.detail} {nvdiffrast.remedy}".strip(),
        "sizes": {str(size): measure(size) for size in options.size or GOALS_S},
    }
    print(json.dumps(result, indent=2))
    print(f"written to {_machine.write('bake_gpu', result)}")


if __name__ == "__main__":
    main()
