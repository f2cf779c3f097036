"""A mesh file that the user brought, as it came."""

from dataclasses import dataclass

from bridge_server.values.base import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshSource(Value):
    """Bytes of a GLB, FBX, OBJ, PLY or STL file and of what it refers to (MTL, textures)."""

    name: str
    """File name with extension; the extension names the format."""
    data: bytes
    companions: tuple[tuple[str, bytes], ...] = ()
    """(relative path, bytes) of files that the mesh file refers to."""
