"""Files that a mesh file refers to, found beside it: material libraries, textures, buffers."""

import json
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

MESH_EXTENSIONS = (".glb", ".gltf", ".obj", ".ply", ".stl", ".fbx")
COMPANION_EXTENSIONS = (
    ".mtl", ".bin", ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".tga", ".ktx2",
)  # fmt: skip
"""A mesh file from elsewhere can name any path; only files of these kinds are ever sent."""
LONGEST_TEXT_BYTES = 64 << 20


def find_companions(mesh: Path) -> dict[str, Path]:
    """Files that exist, by the relative path under which the mesh file's readers look for them.

    References that lead out of the mesh's folder keep their bare name, by which readers find them too.
    """
    suffix = mesh.suffix.lower()
    if suffix == ".gltf":
        return _existing(mesh.parent, _gltf_references(mesh))
    if suffix == ".fbx":
        return _existing(mesh.parent, _fbx_references(mesh))
    if suffix != ".obj":
        return {}
    found = _existing(mesh.parent, _references(mesh, ("mtllib",)))
    for library in list(found.values()):
        found |= _existing(library.parent, _references(library, ("map_", "bump", "disp", "decal", "norm", "refl")))
    return found


def _references(file: Path, keywords: tuple[str, ...]) -> list[str]:
    """File names after the keywords of an OBJ or MTL file: the whole rest of the line, and its last word.

    The rest may hold options (``-bm 0.5 wood.png``) or be one name with spaces; what does not exist drops out later.
    """
    names = []
    with file.open("rb") as stream:
        for raw in stream:
            keyword, _, rest = raw.strip().decode("utf-8", "replace").partition(" ")
            if keyword.lower().startswith(keywords) and rest.strip():
                names += [rest.strip(), *rest.split()]
    return names


def _gltf_references(file: Path) -> list[str]:
    """URIs of buffers and images; a document that is no valid glTF is left to the server, which says why."""
    if file.stat().st_size > LONGEST_TEXT_BYTES:
        return []
    try:
        content = json.loads(file.read_bytes())
        entries = [*content.get("buffers", []), *content.get("images", [])]
        uris = [entry.get("uri", "") for entry in entries]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return []
    return [unquote(uri) for uri in uris if isinstance(uri, str) and uri and not uri.startswith("data:")]


def _fbx_references(mesh: Path) -> list[str]:
    """Names of textures; a file that cannot be read is left to the server, which says why."""
    from bridge_server.stages.fbx_reader import FbxError
    from bridge_server.stages.load_mesh_fbx import texture_names

    try:
        return texture_names(mesh.read_bytes())
    except FbxError:
        return []


def _existing(folder: Path, names: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name in names:
        relative = PurePosixPath(name.replace("\\", "/"))
        if relative.suffix.lower() not in COMPANION_EXTENSIONS or "\0" in name:
            continue
        inside = not relative.is_absolute() and ".." not in relative.parts and ":" not in name
        path = folder / relative if inside else folder / relative.name
        if not inside and not path.is_file() and not relative.is_absolute():
            path = folder / relative
        if path.is_file():
            found[relative.as_posix() if inside else relative.name] = path
    return found
