"""A decoded asset of TRELLIS.2 brought into our space: its mesh, and its voxels as a surface field.

Its networks work in the cube from -0.5 to 0.5, Z up, facing -Y, as Blender shows a glTF file that faces +Z. Turning
that to Y up is (x, z, -y), as upstream does when it writes glTF. The cube's edge becomes one metre, and what lies
lowest comes to stand on y = 0.
"""

from typing import TYPE_CHECKING

import numpy as np

from bridge_server.values.base import Notice
from bridge_server.values.mesh import HighPoly, Mesh
from bridge_server.values.mesh_winding import oriented_outward
from bridge_server.values.surface_voxel import VoxelField, cell_codes

if TYPE_CHECKING:
    from vendor.trellis2.decoding import DecodedAsset

HALF_M = 0.5


def high_poly_of(made: "DecodedAsset", notices: tuple[Notice, ...] = ()) -> HighPoly:
    """Faces are turned to agree with their neighbours and to look outward; nothing is decimated or closed."""
    x, y, z = made.positions.T
    standing = np.stack([x, z, -y], axis=1)
    ground_m = float(standing[:, 1].min())
    standing[:, 1] -= ground_m
    mesh, _ = oriented_outward(Mesh(positions_m=standing.astype(np.float32), faces=made.faces))
    i, j, k = made.coords.astype(np.int64).T
    codes = cell_codes(np.stack([i, k, made.resolution - 1 - j], axis=1))
    order = np.argsort(codes)
    field = VoxelField(
        origin_m=(-HALF_M, -HALF_M - ground_m, -HALF_M),
        voxel_m=1.0 / made.resolution,
        codes=codes[order],
        attributes=made.attributes[order].astype(np.float32),
    )
    return HighPoly(mesh=mesh, field=field, source="trellis2", notices=notices)
