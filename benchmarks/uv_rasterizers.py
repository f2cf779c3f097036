"""Which UV rasteriser is faster here: covering the atlas of a low poly at several sizes, in one run.

``./forge bench uv_rasterizers`` writes ``benchmarks/results/uv_rasterizers.json``: the best of three, all in turn, and
the share of texels to which they give the same triangle. Those that cannot run here are listed with what they lack.
"""

import json
import time

import numpy as np

from benchmarks import _machine
from bridge_server.backends.rasterizer.base import RASTERIZERS
from bridge_server.backends.texels.base import Atlas, Cells
from bridge_server.backends.unwrapper.base import UNWRAPPERS, UnwrapSettings
from bridge_server.run import SilentRun
from bridge_server.values.mesh import Mesh

SIZES_PX = (1024, 2048, 4096)
ROUNDS = 3
SUBDIVISIONS = 5
"""Of an icosahedron: 20 480 triangles."""


def atlas() -> tuple[np.ndarray, np.ndarray]:
    """Coordinates and faces of an unwrapped ball."""
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=SUBDIVISIONS, radius=0.5)
    mesh = Mesh(positions_m=ball.vertices.astype(np.float32), faces=ball.faces.astype(np.int32))
    settings = UnwrapSettings(resolution_px=2048, padding_px=8, texels_per_m=0.0, time_limit_s=120.0)
    made = UNWRAPPERS.load(UNWRAPPERS.choose("auto")).unwrap(mesh, settings, SilentRun())
    return made.uvs, made.faces


def same_share(one: Cells, other: Cells, size_px: int) -> float:
    """Share of the texels covered by either to which both give the same triangle."""
    first, second = np.full(size_px**2, -1), np.full(size_px**2, -1)
    first[one.index], second[other.index] = one.faces, other.faces
    either = (first >= 0) | (second >= 0)
    return float((first == second)[either].mean())


def main() -> None:
    """Measure, print and write."""
    uvs, faces = atlas()
    here = {name: RASTERIZERS.availability(name) for name in RASTERIZERS.names()}
    runners = {name: RASTERIZERS.load(name) for name, found in here.items() if found.available}
    reference = runners["numpy"]
    rows = []
    for size_px in SIZES_PX:
        seconds = dict.fromkeys(runners, float("inf"))
        covered: dict[str, Cells] = {}
        map_ = Atlas(uvs=uvs, faces=faces, resolution_px=size_px, supersample=1)
        for _ in range(ROUNDS):
            for name, runner in runners.items():
                begun = time.perf_counter()
                covered[name] = runner.cells(map_, lambda _: None)
                seconds[name] = min(seconds[name], time.perf_counter() - begun)
        for name, value in seconds.items():
            same = same_share(covered[name], covered["numpy"], size_px)
            rows.append({"size_px": size_px, "rasterizer": runners[name].identity, "seconds": value, "same": same})
    missing = {name: f"{found.detail} {found.remedy}" for name, found in here.items() if not found.available}
    document = {"triangles": len(faces), "reference": reference.identity, "rows": rows, "missing": missing}
    print(json.dumps(document, indent=2))
    print(_machine.write("uv_rasterizers", document))


if __name__ == "__main__":
    main()
