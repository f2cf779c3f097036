"""How openly a face lies: the share of rays from it that leave the mesh.

Both sides are asked, because the winding of a raw mesh is not to be trusted.
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64

from bridge_server.backends.raycaster.base import RayScene
from bridge_server.run import Run
from bridge_server.values.mesh import Mesh

LIFT_SHARE = 2e-6
"""How far above its face a ray starts, in diagonals."""
RAYS_AT_ONCE = 1 << 20
SEED = 0x5EE


def strata(weights: Float64[np.ndarray, "faces"], count: int) -> Int64[np.ndarray, "chosen"]:
    """About ``count`` rows, each as often as its weight asks for; a heavy row comes more than once."""
    total = np.cumsum(weights)
    if not len(total) or total[-1] <= 0.0:
        return np.zeros(0, np.int64)
    steps = (np.arange(count) + 0.5) / count * total[-1]
    return np.minimum(np.searchsorted(total, steps), len(total) - 1)


def open_shares(
    scene: RayScene, mesh: Mesh, faces: Int64[np.ndarray, "chosen"], run: Run, *, side: float, rays: int
) -> Float32[np.ndarray, "chosen"]:
    """For the front (``side`` 1) or the back (-1) of each chosen face the share of ``rays`` that meet nothing.

    Rays start at places spread over the face, in directions spread evenly over the half space of the side.
    """
    corners = mesh.positions_m[mesh.faces[faces]]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).astype(np.float64)
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    normals = (side * np.divide(cross, length, out=np.zeros_like(cross), where=length > 0.0)).astype(np.float32)
    lift_m = np.float32(LIFT_SHARE * mesh.diagonal_m)
    random = np.random.default_rng(SEED)
    found = np.zeros(len(faces), np.float32)
    block = max(RAYS_AT_ONCE // rays, 1)
    for start in range(0, len(faces), block):
        run.checkpoint(start / len(faces), "looking for hidden surfaces")
        rows = slice(start, min(start + block, len(faces)))
        count = rows.stop - rows.start
        shares = random.dirichlet((1.0, 1.0, 1.0), (count, rays)).astype(np.float32)
        origins = np.einsum("frc,fcd->frd", shares, corners[rows]) + lift_m * normals[rows][:, None]
        directions = random.standard_normal((count, rays, 3)).astype(np.float32)
        height = np.einsum("frd,fd->fr", directions, normals[rows])
        directions *= np.where(height < 0.0, np.float32(-1.0), np.float32(1.0))[..., None]
        blocked = scene.occluded(origins.reshape(-1, 3), directions.reshape(-1, 3))
        found[rows] = 1.0 - blocked.reshape(count, rays).mean(axis=1)
    return found


def openness(
    scene: RayScene, mesh: Mesh, faces: Int64[np.ndarray, "chosen"], run: Run, *, few: int = 6, many: int = 48
) -> Float32[np.ndarray, "chosen"]:
    """The opener side's share; ``few`` rays where they tell enough, ``many`` where hardly one of them leaves."""
    shares = open_shares(scene, mesh, faces, run, side=1.0, rays=few)
    doubtful = np.flatnonzero(shares * few < 1.5)
    shares[doubtful] = np.maximum(shares[doubtful], open_shares(scene, mesh, faces[doubtful], run, side=-1.0, rays=few))
    doubtful = doubtful[shares[doubtful] * few < 1.5]
    front = open_shares(scene, mesh, faces[doubtful], run, side=1.0, rays=many)
    shares[doubtful] = np.maximum(front, open_shares(scene, mesh, faces[doubtful], run, side=-1.0, rays=many))
    return shares
