"""Stage ``load_low``: a low poly that the user brought becomes the mesh that maps are baked for."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from bridge_server.backends.unwrapper.base import Unwrapper
from bridge_server.errors import InputError
from bridge_server.run import PartialRun, Run
from bridge_server.stages.load_mesh import LoadMesh
from bridge_server.stages.own_uvs import mesh_with_own_uvs
from bridge_server.stages.stage import Range, Stage
from bridge_server.stages.unwrap import Unwrap
from bridge_server.values.base import Notice
from bridge_server.values.mesh import LowPoly, UnwrappedMesh
from bridge_server.values.source import MeshSource

MOVED = "moved_to_origin"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadLow(Stage):
    """Read a mesh file and keep its texture coordinates and normals, or make new ones."""

    name: ClassVar[str] = "load_low"
    writes: ClassVar[str] = "unwrapped"
    version: ClassVar[int] = 2

    unwrap: bool = False
    """Unwrap it anew; the mesh with its new coordinates is then delivered beside the maps."""
    resolution_px: Annotated[int, Range(16, 8192)] = 2048
    """Edge length of the maps, for which gaps between charts are measured or made."""

    def __call__(self, run: Run, unwrapper: Unwrapper, *, low_source: MeshSource) -> UnwrappedMesh:
        """Raises ``InputError`` where the file cannot be read or its coordinates cannot be baked to."""
        if not self.unwrap:
            own = mesh_with_own_uvs(low_source, self.resolution_px, run)
            refuse_moved(low_source.name, own.notices)
            return own
        loaded = LoadMesh()(PartialRun(run, 0.0, 0.2), mesh_source=low_source)
        refuse_moved(low_source.name, loaded.notices)
        mesh = loaded.mesh
        low_poly = LowPoly(
            mesh=mesh, target_triangle_count=len(mesh.faces), hausdorff_m=0.0, mean_distance_m=0.0, method="given"
        )
        unwrap = Unwrap(resolution_px=self.resolution_px)
        found = unwrap(PartialRun(run, 0.2, 1.0), unwrapper, low_poly=low_poly)
        return replace(found, notices=(*loaded.notices, *found.notices))


def refuse_moved(name: str, notices: tuple[Notice, ...]) -> None:
    """Raise ``InputError`` for a mesh that had to be moved: high and low poly would no longer lie in the same place."""
    if any(notice.code == MOVED for notice in notices):
        raise InputError(
            "it lies so far from the origin that its detail would be lost.",
            subject=name,
            remedy="Move both meshes to the origin, by the same amount, and save them again.",
            reason="MESH_FAR_AWAY",
        )
