"""Collision pieces by CoACD and V-HACD as they come, each in a child process: both may abort or never end."""

import numpy as np

from bridge_server.backends.isolation import call_isolated
from bridge_server.run import SilentRun
from bridge_server.values.mesh import Mesh

TIME_LIMIT_S = 300.0
PIECES = 16


def clouds_by(rival: str, mesh: Mesh, time_limit_s: float) -> list[np.ndarray]:
    """Vertices of each piece. Raises ``ForgeError`` where the library crashes or takes too long."""
    found: list[np.ndarray] = call_isolated(
        f"benchmarks._rivals_collision:{rival}",
        mesh.positions_m,
        mesh.faces,
        run=SilentRun(),
        time_limit_s=time_limit_s,
    )
    return found


def coacd(positions: np.ndarray, faces: np.ndarray) -> list[np.ndarray]:
    """With all defaults but the number of pieces."""
    import coacd as library

    library.set_log_level("off")
    mesh = library.Mesh(positions.astype(np.float64), faces.astype(np.int32))
    return [np.asarray(points, np.float32) for points, _ in library.run_coacd(mesh, max_convex_hull=PIECES)]


def vhacd(positions: np.ndarray, faces: np.ndarray) -> list[np.ndarray]:
    """V-HACD 4 with all defaults but the number of pieces."""
    import vhacdx

    rows = np.column_stack([np.full(len(faces), 3), faces]).astype(np.uint32)
    parts = vhacdx.compute_vhacd(positions.astype(np.float64), rows.reshape(-1), maxConvexHulls=PIECES)
    return [np.asarray(points, np.float32) for points, _ in parts]
