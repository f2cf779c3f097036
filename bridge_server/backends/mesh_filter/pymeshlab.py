"""Mesh filters by PyMeshLab (GPL-3), always in a child process."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float64, Int32

from bridge_server.backends.isolation import call_isolated
from bridge_server.backends.table import Availability
from bridge_server.errors import StageFailed
from bridge_server.run import Run
from bridge_server.values.mesh import Mesh

CALL = "bridge_server.backends.mesh_filter.pymeshlab:{}"
BASE_TIME_LIMIT_S = 60.0
TIME_LIMIT_S_PER_FACE = 1e-4
"""On top of the base: 50 s for half a million triangles, which take about 5 s."""


class PyMeshLabFilter:
    """The default filter: MeshLab's cleaning filters and its quadric edge collapse."""

    @property
    def identity(self) -> str:
        """Name and version of the package."""
        return f"pymeshlab {version('pymeshlab')}"

    @classmethod
    def availability(cls) -> Availability:
        """Whether the package is installed; whether its libraries load shows only in the child."""
        try:
            if find_spec("pymeshlab") is not None:
                return Availability(available=True, detail=f"{version('pymeshlab')}, CPU")
        except (PackageNotFoundError, ValueError):
            pass
        return Availability(
            available=False, detail="the package pymeshlab is not installed.", remedy="pip install pymeshlab"
        )

    def clean(self, mesh: Mesh, run: Run) -> Mesh:
        """Merge double vertices, drop double, null and unused elements, split what is not manifold."""
        return _isolated("clean_arrays", mesh, run, "cleaning")

    def decimate(self, mesh: Mesh, triangle_count: int, run: Run) -> Mesh:
        """Quadric edge collapse that keeps borders, normals and topology."""
        if len(mesh.faces) <= triangle_count:
            return mesh
        return _isolated("decimate_arrays", mesh, run, "decimating", triangle_count)


def _isolated(function: str, mesh: Mesh, run: Run, note: str, *more: int) -> Mesh:
    limit_s = BASE_TIME_LIMIT_S + TIME_LIMIT_S_PER_FACE * len(mesh.faces)
    center, scale = mesh.positions_m.mean(axis=0, dtype=np.float64), mesh.diagonal_m or 1.0
    positions, faces = call_isolated(
        CALL.format(function),
        (mesh.positions_m - center) / scale,  # some of its thresholds are absolute
        np.array(mesh.faces),
        *more,
        run=run,
        time_limit_s=limit_s,
        fraction=0.5,
        note=note,
    )
    if not len(faces):
        raise StageFailed("nothing was left of the mesh.", subject=f"pymeshlab {function}")
    return Mesh(positions_m=(positions * scale + center).astype(np.float32), faces=faces.astype(np.int32))


def clean_arrays(
    positions: Float64[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]
) -> tuple[Float64[np.ndarray, "kept 3"], Int32[np.ndarray, "left 3"]]:
    """Run in the child process."""
    import pymeshlab

    meshes = pymeshlab.MeshSet(verbose=False)
    meshes.add_mesh(pymeshlab.Mesh(positions, faces))
    meshes.meshing_remove_duplicate_vertices()
    meshes.meshing_remove_duplicate_faces()
    meshes.meshing_remove_null_faces()
    meshes.meshing_repair_non_manifold_edges(method="Split Vertices")
    meshes.meshing_repair_non_manifold_vertices(vertdispratio=0.0)
    meshes.meshing_remove_unreferenced_vertices()
    return _arrays(meshes)


def decimate_arrays(
    positions: Float64[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"], triangle_count: int
) -> tuple[Float64[np.ndarray, "kept 3"], Int32[np.ndarray, "left 3"]]:
    """Run in the child process."""
    import pymeshlab

    meshes = pymeshlab.MeshSet(verbose=False)
    meshes.add_mesh(pymeshlab.Mesh(positions, faces))
    meshes.meshing_decimation_quadric_edge_collapse(
        targetfacenum=triangle_count,
        qualitythr=0.3,
        preserveboundary=True,
        boundaryweight=2.0,
        preservenormal=True,
        preservetopology=True,
        optimalplacement=True,
        planarquadric=True,
        planarweight=1e-4,
        autoclean=True,
    )
    return _arrays(meshes)


def _arrays(meshes: object) -> tuple[Float64[np.ndarray, "kept 3"], Int32[np.ndarray, "left 3"]]:
    mesh = meshes.current_mesh()  # type: ignore[attr-defined]
    mesh.compact()
    return np.array(mesh.vertex_matrix(), np.float64), np.array(mesh.face_matrix(), np.int32)
