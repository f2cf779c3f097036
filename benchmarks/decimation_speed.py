"""How long does decimation take, as a preview and in full, beside the filter that was the default before?

``./forge bench decimation_speed`` reduces a bumpy torus of 501,264 triangles, and one of 101,760, to 10,000 and writes
``benchmarks/results/decimation_speed.json``. Every figure is the best of three, of the previews of five, all methods in
turn; beside the clock stand the processor's seconds, which other work on the machine disturbs less. The stage's time
includes its measuring of the distance; the preview measures one way only. ``--previews`` times these alone and keeps
the other figures of the file.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks import _machine
from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.run import SilentRun
from bridge_server.stages import decimate
from bridge_server.stages.decimate import Decimate, Quality
from bridge_server.values.mesh import HighPoly, Mesh
from bridge_server.values.surface import VertexField

SIZES = ((708, 354), (318, 160))
ROUNDS, PREVIEW_ROUNDS = 3, 5
RESULT = Path(__file__).with_name("results") / "decimation_speed.json"
Method = Callable[[HighPoly], object]
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


def methods() -> tuple[dict[str, Method], dict[str, Method]]:
    """The previews, and the others."""
    raycaster = RAYCASTERS.load(RAYCASTERS.choose("auto"))

    def stage(name: str, quality: Quality) -> Method:
        mesh_filter = MESH_FILTERS.load(name)
        return lambda high: Decimate(triangle_count=min(TARGET, len(high.mesh.faces) // 4), quality=quality)(
            SilentRun(), mesh_filter, raycaster, high_poly=high
        )

    preview = stage("quadric", Quality.PREVIEW)

    def by_fast_simplification(high: HighPoly) -> object:
        with patch.object(decimate, "QUICK_FILTERS", ("simplification",)):
            return preview(high)

    finals = {"final": stage("quadric", Quality.FINAL), "final by pymeshlab": stage("pymeshlab", Quality.FINAL)}
    return {"preview": preview, "preview by fast-simplification": by_fast_simplification}, finals


def timed(contestants: dict[str, Method], high: HighPoly, rounds: int) -> dict[str, tuple[float, float]]:
    """Least seconds by the clock, and of the processor, each by itself."""
    best = dict.fromkeys(contestants, (np.inf, np.inf))
    for _ in range(rounds):
        for name, method in contestants.items():
            started, busy = time.perf_counter(), time.process_time()
            method(high)
            spent = time.perf_counter() - started, time.process_time() - busy
            best[name] = min(best[name][0], spent[0]), min(best[name][1], spent[1])
    return best


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--previews", action="store_true")
    previews_only = parser.parse_args().previews
    previews, finals = methods()
    for method in (*previews.values(), *finals.values()):
        method(bumpy_torus(60, 30))
    before = json.loads(RESULT.read_text(encoding="utf-8")) if previews_only else {}
    seconds, busy = before.get("seconds", {}), before.get("processor_seconds", {})
    for rows, columns in SIZES:
        high = bumpy_torus(rows, columns)
        best = timed(previews, high, PREVIEW_ROUNDS) | ({} if previews_only else timed(finals, high, ROUNDS))
        case = f"{len(high.mesh.faces)} triangles"
        for found, kept in enumerate((seconds, busy)):
            kept[case] = kept.get(case, {}) | {name: round(spent[found], 3) for name, spent in best.items()}
    result = {"seconds": seconds, "processor_seconds": busy}
    print(json.dumps(result, indent=2))
    print(_machine.write("decimation_speed", result))


if __name__ == "__main__":
    main()
