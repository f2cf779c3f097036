"""How long does decimation take, as a preview and in full, beside the filter that was the default before?

``./forge bench decimation_speed`` reduces a bumpy torus of 501,264 triangles, and one of 101,568, to 10,000 and writes
``benchmarks/results/decimation_speed.json``. Every figure is the best of three, all methods in turn. The stage's time
includes its measuring of the distance; the preview measures one way only.
"""

import json
import time
from collections.abc import Callable

import numpy as np

from benchmarks import _machine
from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.run import SilentRun
from bridge_server.stages.decimate import Decimate, Quality
from bridge_server.values.mesh import HighPoly, Mesh
from bridge_server.values.surface import VertexField

SIZES = ((708, 354), (318, 160))
ROUNDS = 3
TARGET = 10_000


def bumpy_torus(rows: int, columns: int) -> HighPoly:
    """As in ``main_job``, without its colours."""
    u = np.linspace(0, 2 * np.pi, rows, endpoint=False)[:, None]
    v = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None, :]
    minor = 0.11 + 0.006 * np.sin(24 * u) * np.sin(16 * v) + 0.002 * np.sin(90 * u + 40 * v)
    ring = 0.24 + minor * np.cos(v)
    place = np.stack([ring * np.cos(u), minor * np.sin(v), -ring * np.sin(u)], axis=-1).reshape(-1, 3)
    r, c = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    a, b = r * columns + c, r * columns + (c + 1) % columns
    d, e = (r + 1) % rows * columns + c, (r + 1) % rows * columns + (c + 1) % columns
    faces = np.concatenate([np.stack([a, d, b], -1).reshape(-1, 3), np.stack([b, d, e], -1).reshape(-1, 3)])
    mesh = Mesh(positions_m=place.astype(np.float32), faces=faces.astype(np.int32))
    grey = np.full((len(place), 3), 0.5, np.float32)
    field = VertexField(
        positions_m=mesh.positions_m,
        faces=mesh.faces,
        base_color=grey,
        metallic=grey[:, 0] * 0,
        roughness=grey[:, 0],
    )
    return HighPoly(mesh=mesh, field=field, source="bench")


def main() -> None:
    raycaster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    small = bumpy_torus(60, 30)
    result: dict[str, dict[str, float]] = {}

    def stage(name: str, quality: Quality) -> Callable[[HighPoly], object]:
        mesh_filter = MESH_FILTERS.load(name)
        return lambda high: Decimate(triangle_count=min(TARGET, len(high.mesh.faces) // 4), quality=quality)(
            SilentRun(), mesh_filter, raycaster, high_poly=high
        )

    methods = {
        "preview": stage("quadric", Quality.PREVIEW),
        "final": stage("quadric", Quality.FINAL),
        "final by pymeshlab": stage("pymeshlab", Quality.FINAL),
    }
    for method in methods.values():
        method(small)
    for rows, columns in SIZES:
        high = bumpy_torus(rows, columns)
        best = dict.fromkeys(methods, float("inf"))
        for _ in range(ROUNDS):
            for name, method in methods.items():
                started = time.perf_counter()
                method(high)
                best[name] = min(best[name], time.perf_counter() - started)
        result[f"{len(high.mesh.faces)} triangles"] = {name: round(seconds, 3) for name, seconds in best.items()}
    print(json.dumps(result, indent=2))
    print(_machine.write("decimation_speed", {"seconds": result}))


if __name__ == "__main__":
    main()
