"""Repairs by native libraries, each function run in a child process.

manifold3d (Apache), libigl and CGAL as PyMeshLab ships them (GPL), and pymeshfix (AGPL).
"""

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.backends.isolation import call_isolated
from bridge_server.errors import StageFailed
from bridge_server.run import Run
from bridge_server.values.mesh import Mesh, volume_m3
from bridge_server.values.mesh_split import split_non_manifold
from bridge_server.values.mesh_topology import compacted, distinct_corners, face_components, welded_exactly

CALL = "bridge_server.stages.repair_native:{}"
TIME_LIMIT_S = 120.0

Arrays = tuple[Float32[np.ndarray, "vertices 3"], Int32[np.ndarray, "faces 3"]]


def isolated(function: str, mesh: Mesh, run: Run, note: str) -> Mesh:
    """Call one of the functions below. Raises ``StageFailed`` where it fails, crashes or takes too long."""
    arrays = (np.array(mesh.positions_m), np.array(mesh.faces))
    positions, faces = call_isolated(CALL.format(function), *arrays, run=run, time_limit_s=TIME_LIMIT_S, note=note)
    return Mesh(positions_m=positions.astype(np.float32), faces=faces.astype(np.int32))


def shells_of(mesh: Mesh) -> list[Mesh]:
    """The connected pieces, each with vertices of its own."""
    pieces = face_components(mesh.faces)
    return [
        compacted(mesh.positions_m, mesh.faces[pieces == piece]) for piece in range(int(pieces.max(initial=-1)) + 1)
    ]


def united_shells(positions: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]) -> Arrays:
    """Union of all solid shells, less the cavities: what overlaps becomes one surface."""
    import manifold3d

    solids: list[manifold3d.Manifold] = []
    cavities: list[manifold3d.Manifold] = []
    for shell in shells_of(Mesh(positions_m=positions, faces=faces)):
        hollow = volume_m3(shell) < 0.0
        outward = shell.faces[:, ::-1] if hollow else shell.faces
        made = manifold3d.Manifold(
            manifold3d.Mesh(np.array(shell.positions_m, np.float32), np.array(outward, np.uint32))
        )
        if made.status() != manifold3d.Error.NoError:
            raise StageFailed(f"a shell is no closed manifold ({made.status()}).", subject="resolve_intersections")
        (cavities if hollow else solids).append(made)
    result = manifold3d.Manifold.batch_boolean(solids, manifold3d.OpType.Add)
    if cavities:
        result = result - manifold3d.Manifold.batch_boolean(cavities, manifold3d.OpType.Add)
    mesh = result.to_mesh()
    return np.asarray(mesh.vert_properties[:, :3], np.float32), np.asarray(mesh.tri_verts, np.int32)


def without_crossings(positions: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]) -> Arrays:
    """The border of all places that the surface goes around more often forward than backward.

    The surface is cut along every line on which it meets itself, in exact arithmetic, and of the parts those stay that
    have a winding number above 0 on one side alone (Zhou, Grinspun, Zorin and Jacobson 2016, "Mesh arrangements for
    solid geometry"). Faces that meet no other keep their corners to the bit.
    """
    import pymeshlab

    low, high = positions.min(axis=0).astype(np.float64), positions.max(axis=0).astype(np.float64)
    reach = max(float((high - low).max()), 1e-30)
    aside = high + reach * (1.0 + np.eye(4, 3, -1))  # the filter unites two meshes: a tetrahedron clear of the first
    meshes = pymeshlab.MeshSet(verbose=False)
    meshes.add_mesh(pymeshlab.Mesh(positions.astype(np.float64), faces))
    meshes.add_mesh(pymeshlab.Mesh(aside, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)))
    try:
        meshes.generate_boolean_union(first_mesh=0, second_mesh=1)
    except pymeshlab.PyMeshLabException as error:
        message = f"PyMeshLab cannot unite the mesh with itself ({error})."
        raise StageFailed(message, subject="resolve_intersections") from error
    places = np.asarray(meshes.current_mesh().vertex_matrix())
    triangles = np.asarray(meshes.current_mesh().face_matrix(), np.int32)
    own = (places <= high + 0.5 * reach).any(axis=1)[triangles].all(axis=1)
    rounded = np.ascontiguousarray(places, np.float32)
    kept, owner = welded_exactly(rounded)
    triangles = owner[triangles[own]].astype(np.int32)
    mesh = split_non_manifold(compacted(rounded[kept], triangles[distinct_corners(triangles)]))
    return np.array(mesh.positions_m), np.array(mesh.faces)


def meshfix_shells(positions: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]) -> Arrays:
    """MeshFix (Attene 2010) on each shell by itself, because on a whole asset it keeps the largest alone."""
    import pymeshfix

    parts: list[Arrays] = []
    for shell in shells_of(Mesh(positions_m=positions, faces=faces)):
        places, triangles = pymeshfix.clean_from_arrays(shell.positions_m.astype(np.float64), np.array(shell.faces))
        parts.append((np.asarray(places, np.float32), np.asarray(triangles, np.int32)))
    offsets = np.cumsum([0, *(len(places) for places, _ in parts)])
    moved = [triangles + np.int32(offset) for (_, triangles), offset in zip(parts, offsets, strict=False)]
    return np.concatenate([places for places, _ in parts]), np.concatenate(moved)
