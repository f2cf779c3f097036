"""Which ray caster is faster here: rays, occlusion and closest points per second on one mesh, in one run.

``./forge bench raycasters`` writes ``benchmarks/results/raycasters.json``. Every figure is the best of three, with all
backends in turn, so that a busy machine slows them alike.
"""

import json
import time
from collections.abc import Callable

import numpy as np

from benchmarks import _machine
from bridge_server.backends.raycaster.base import RAYCASTERS

RAYS = 500_000
POINTS = 200_000
ROUNDS = 3
SUBDIVISIONS = 7
"""Of an icosahedron: 327 680 triangles."""


def bumpy_sphere(subdivisions: int) -> tuple[np.ndarray, np.ndarray]:
    """A closed surface with hollows: positions and faces."""
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=subdivisions, radius=0.5)
    x, y, z = ball.vertices.T
    swell = 1 + 0.15 * np.sin(9 * x) * np.cos(11 * y + 2) * np.sin(8 * z + 1)
    return (ball.vertices * swell[:, None]).astype(np.float32), np.asarray(ball.faces, dtype=np.int32)


def questions(positions: np.ndarray, faces: np.ndarray) -> dict[str, tuple[int, Callable[[object], object]]]:
    """What is asked of a scene, and how many queries that is."""
    random = np.random.default_rng(1)
    spread = random.normal(size=(RAYS, 3)).astype(np.float32)
    inside = (random.normal(size=(RAYS, 3)) * 0.05).astype(np.float32)
    chosen = np.sort(random.integers(0, len(faces), RAYS))
    corners = positions[faces[chosen]]
    weights = random.dirichlet((1, 1, 1), RAYS).astype(np.float32)
    surface = np.einsum("pc,pcd->pd", weights, corners)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    outward = (normal + spread / np.linalg.norm(spread, axis=1, keepdims=True) * 0.99).astype(np.float32)
    start = (surface + normal * 1e-4).astype(np.float32)
    near = (surface + normal * 2e-3).astype(np.float32)[:: RAYS // POINTS]
    return {
        "scattered rays": (RAYS, lambda scene: scene.first_hits(inside, spread)),
        "baking rays": (RAYS, lambda scene: scene.first_hits(near.repeat(RAYS // POINTS, 0)[:RAYS], -normal[:RAYS])),
        "occlusion": (RAYS, lambda scene: scene.occluded(start, outward)),
        "closest points": (len(near), lambda scene: scene.nearest(near)),
    }


def measure() -> dict[str, object]:
    positions, faces = bumpy_sphere(SUBDIVISIONS)
    names = [name for name in RAYCASTERS.names() if RAYCASTERS.availability(name).available]
    build_s: dict[str, float] = {}
    scenes = {}
    for name in names:
        caster = RAYCASTERS.load(name)
        caster.scene(positions[:3], np.array([[0, 1, 2]], np.int32)).nearest(positions[:1])
        start = time.perf_counter()
        scenes[name] = caster.scene(positions, faces)
        build_s[name] = round(time.perf_counter() - start, 3)
    figures: dict[str, dict[str, float]] = {}
    for question, (count, ask) in questions(positions, faces).items():
        best = dict.fromkeys(names, float("inf"))
        for _ in range(ROUNDS):
            for name in names:
                start = time.perf_counter()
                ask(scenes[name])
                best[name] = min(best[name], time.perf_counter() - start)
        figures[question] = {name: round(count / best[name] / 1e6, 3) for name in names}
    first = names[0]
    ratios = {
        question: {name: round(row[first] / row[name], 2) for name in names[1:]} for question, row in figures.items()
    }
    return {
        "triangles": len(faces),
        "build_s": build_s,
        "million_queries_per_s": figures,
        f"{first}_is_faster_by": ratios,
        "devices": {name: str(getattr(getattr(scenes[name], "mesh", None), "device", "cpu")) for name in names},
    }


def main() -> None:
    result = measure()
    path = _machine.write("raycasters", result)
    print(json.dumps(result, indent=2))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
