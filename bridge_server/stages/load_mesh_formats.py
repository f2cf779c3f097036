"""Mesh files that can be read, and a first look at one before any work is queued."""

import json
import struct
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Bool, Float64, Int64

from bridge_server.errors import InputError
from bridge_server.stages.fbx_reader import is_binary_fbx
from bridge_server.values.base import Notice
from bridge_server.values.collision import MARKED_AS_COLLISION
from bridge_server.values.source import MeshSource
from bridge_server.values.surface_texture import MaterialTextures

KNOWN_EXTENSIONS = (".glb", ".gltf", ".fbx", ".obj", ".ply", ".stl")
MAX_FILE_BYTES = 4 << 30
MAX_TRIANGLES = 20_000_000
EXPORT_GLB = "Export it as GLB (binary glTF 2.0) from your 3D program."
EXPORT_AGAIN = "Copy it again, or export it again from your 3D program."
HEADS = (
    (b"glTF", "GLB", ".glb"),
    (b"Kaydara FBX Binary", "FBX", ".fbx"),
    (b"ply\n", "PLY", ".ply"),
    (b"ply\r", "PLY", ".ply"),
    (b"\x89PNG", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"PK\x03\x04", "a zip", ""),
    (b"version https://git-lfs", "a pointer of Git LFS", ""),
    (b"BLENDER", "a Blender scene", ""),
)
"""First bytes, what begins with them, and the extension that belongs to it where it is a mesh that is read here."""
UNREADABLE_EXTENSIONS = {
    "KHR_draco_mesh_compression": "Draco compression",
    "EXT_meshopt_compression": "meshopt compression",
    "KHR_meshopt_compression": "meshopt compression",
}
"""glTF extensions without which the geometry cannot be decoded here."""
UNCOMPRESSED = "Export it again without mesh compression."


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSurface:
    """What a reader found, before anything is checked or welded. Numbers are as the file has them."""

    positions: Float64[np.ndarray, "vertices 3"]
    faces: Int64[np.ndarray, "faces 3"]
    """May still hold degenerate faces, never an index out of range."""
    corner_uvs: Float64[np.ndarray, "faces 3 2"] | None = None
    """Origin top left."""
    second_uvs: Float64[np.ndarray, "faces 3 2"] | None = None
    corner_colors: Float64[np.ndarray, "faces 3 4"] | None = None
    """Linear light."""
    corner_normals: Float64[np.ndarray, "faces 3 3"] | None = None
    """As the file has them, of any length; None where not every face has them."""
    face_materials: Int64[np.ndarray, "faces"] | None = None
    materials: tuple[MaterialTextures, ...] = (MaterialTextures(),)
    face_objects: Int64[np.ndarray, "faces"] | None = None
    """Index into ``objects``; None where the format has no named objects, or its reader does not tell them apart."""
    objects: tuple[str, ...] = ()
    """Names of the nodes or models, as the file has them; one may come several times."""
    notices: list[Notice] = field(default_factory=list)

    def collision_faces(self) -> Bool[np.ndarray, "faces"]:
        """Faces of objects whose names mark them as collision."""
        if self.face_objects is None:
            return np.zeros(len(self.faces), np.bool_)
        marked = np.array([MARKED_AS_COLLISION.search(name) is not None for name in self.objects], np.bool_)
        return np.asarray(marked[self.face_objects])


def extension_of(name: str) -> str:
    """Lower-case extension with its dot; raises ``InputError`` where no reader knows it."""
    extension = PurePosixPath(name.replace("\\", "/")).suffix.lower()
    if extension not in KNOWN_EXTENSIONS:
        known = ", ".join(e[1:].upper() for e in KNOWN_EXTENSIONS)
        raise InputError(
            f"no mesh format is known by the extension {extension!r}; known are {known}.",
            subject=name,
            reason="MESH_FORMAT_UNKNOWN",
            remedy=EXPORT_GLB,
        )
    return extension


def read_mesh_source(name: str, data: bytes, companions: tuple[tuple[str, bytes], ...] = ()) -> MeshSource:
    """Take a mesh file in after a look at its name, size and head; geometry is read by the ``load_mesh`` stage.

    Raises ``InputError`` for an unknown extension, an empty or oversized file, content that is not what the
    extension says, and GLB files that are truncated or compressed by an extension that is not read here.
    """
    extension = extension_of(name)
    if not data:
        raise refused(name, "the file is empty.", "MESH_EMPTY")
    if len(data) > MAX_FILE_BYTES:
        raise refused(name, f"the file is larger than {MAX_FILE_BYTES >> 30} GiB.", "MESH_TOO_LARGE", SPLIT_REMEDY)
    refuse_other_kind(name, extension, data)
    if extension == ".glb":
        glb_chunks(name, data)
    elif extension == ".gltf":
        gltf_document(name, data)
    elif extension == ".fbx":
        require_binary_fbx(name, data)
    elif extension == ".ply" and data.lstrip()[:3] != b"ply":
        raise refused(name, "the file does not begin as a PLY file does.", "MESH_UNREADABLE")
    elif extension == ".obj" and b"\0" in data[:4096]:
        raise refused(name, "the file holds binary data, but OBJ is text.", "MESH_UNREADABLE")
    return MeshSource(name=name, data=data, companions=companions)


def refuse_other_kind(name: str, extension: str, data: bytes) -> None:
    """Raises ``InputError`` where the first bytes are those of another kind of file than the extension says."""
    for head, kind, belongs in HEADS:
        if data.startswith(head) and belongs != extension:
            remedy = f"Call it {PurePosixPath(name).with_suffix(belongs).name}." if belongs else EXPORT_GLB
            if head.startswith(b"version"):
                remedy = "Fetch the file itself with: git lfs pull."
            raise refused(
                name, f"the file is named {extension[1:].upper()} but holds {kind}.", "MESH_OTHER_KIND", remedy
            )


def require_binary_fbx(name: str, data: bytes) -> None:
    """Raises ``InputError`` for FBX in ASCII, and for what is no FBX."""
    if is_binary_fbx(data):
        return
    if data.startswith(b"Kaydara FBX Binary"):
        raise refused(
            name,
            "its head is damaged, as by a transfer that took it for text.",
            "MESH_UNREADABLE",
            "Copy it again as binary.",
        )
    if b"FBX" in data[:1024]:
        raise refused(
            name,
            "it is FBX in ASCII, and only binary FBX is read.",
            "MESH_FORMAT_UNKNOWN",
            "Export it as binary FBX or as GLB from your 3D program.",
        )
    raise refused(name, "the file does not begin as an FBX file does.", "MESH_UNREADABLE")


AS_BEFORE = {"MESH_EMPTY", "MESH_TRUNCATED"}
"""Reasons that say nothing against the format."""
SPLIT_REMEDY = f"Reduce it below {MAX_TRIANGLES // 1_000_000} million triangles or split it."


def refused(name: str, message: str, reason: str, remedy: str = "") -> InputError:
    """An ``InputError`` about this file; without a remedy of its own it has the one for a file that is broken."""
    usual = EXPORT_AGAIN if name.lower().endswith(".glb") or reason in AS_BEFORE else EXPORT_GLB
    return InputError(message, subject=name, reason=reason, remedy=remedy or usual)


def check_triangle_count(name: str, count: int) -> None:
    """Raise where a file announces more triangles than anyone can want, before memory is spent on them."""
    if count > MAX_TRIANGLES:
        raise refused(name, f"{count:,} triangles are over the limit.", "MESH_TOO_LARGE", SPLIT_REMEDY)


def glb_chunks(name: str, data: bytes) -> tuple[dict[str, object], memoryview]:
    """JSON document and binary chunk of a GLB container (glTF 2.0 specification, section 4)."""
    if data[:4] != b"glTF":
        what = "text" if _looks_like_text(data[:512]) else "something else"
        raise refused(name, f"the file is named GLB but holds {what}.", "MESH_UNREADABLE")
    if len(data) < 20:
        raise refused(name, "the file ends within its header.", "MESH_TRUNCATED")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise refused(name, f"it is glTF version {version}; only version 2 is read.", "MESH_UNREADABLE")
    if length > len(data):
        raise refused(
            name, f"the file is truncated: {len(data):,} of {length:,} bytes are there.", "MESH_TRUNCATED",
            "Copy or upload the file again.",
        )  # fmt: skip
    chunks: dict[bytes, memoryview] = {}
    at, view = 12, memoryview(data)
    while at + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, at)
        if at + 8 + size > length:
            raise refused(name, "a chunk runs past the end of the file.", "MESH_TRUNCATED")
        chunks.setdefault(kind, view[at + 8 : at + 8 + size])
        at += 8 + size + (-size) % 4
    if b"JSON" not in chunks:
        raise refused(name, "the file has no JSON chunk.", "MESH_UNREADABLE")
    return gltf_document(name, bytes(chunks[b"JSON"])), chunks.get(b"BIN\0", memoryview(b""))


def gltf_document(name: str, text: bytes) -> dict[str, object]:
    """Parse the JSON part and refuse what needs an unknown way of compression."""
    try:
        document = json.loads(text.rstrip(b"\0 "))
    except (ValueError, RecursionError) as error:
        raise refused(name, f"its JSON cannot be parsed ({error}).", "MESH_UNREADABLE") from error
    if not isinstance(document, dict) or not isinstance(document.get("asset"), dict):
        raise refused(name, "its JSON is not a glTF document.", "MESH_UNREADABLE")
    if not str(document["asset"].get("version", "")).startswith("2."):
        raise refused(name, "only glTF version 2 is read.", "MESH_UNREADABLE")
    required = document.get("extensionsRequired", [])
    for extension in required if isinstance(required, list) else []:
        if extension in UNREADABLE_EXTENSIONS:
            raise refused(
                name,
                f"it needs {UNREADABLE_EXTENSIONS[extension]} ({extension}), which is not read here.",
                "MESH_COMPRESSED",
                UNCOMPRESSED,
            )
    return document


def companion(source: MeshSource, path: str) -> bytes | None:
    """Bytes of a file that the mesh file refers to: by its path, else by its bare name, case aside."""
    wanted = PurePosixPath(path.replace("\\", "/"))
    for known, data in source.companions:
        if PurePosixPath(known.replace("\\", "/")) == wanted:
            return data
    for known, data in source.companions:
        if PurePosixPath(known.replace("\\", "/")).name.lower() == wanted.name.lower():
            return data
    return None


def _looks_like_text(head: bytes) -> bool:
    return all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)
