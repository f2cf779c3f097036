"""Reading ``asset_manifest.json``: only what an import needs, and nothing taken on trust."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from unreal_scripts.asset_import.errors import ImportRefused

SCHEMA = "open3dforge.asset_manifest.v1"
MANIFEST_NAME = "asset_manifest.json"
LIGHT_MAP_CHANNEL = 1
"""Where packages have coordinates for baked light that do not say so."""


@dataclass(frozen=True)
class FileEntry:
    """A file of the package."""

    path: Path
    role: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class TextureEntry:
    """A texture and how Unreal is to take it."""

    name: str
    path: Path
    role: str
    srgb: bool
    compression: str
    lod_group: str
    size_px: int
    flip_green: bool


@dataclass(frozen=True)
class LodEntry:
    """A level of detail."""

    index: int
    path: Path
    triangles: int
    screen_size: float


@dataclass(frozen=True)
class PackageManifest:
    """What the package says that it holds."""

    folder: Path
    asset_name: str
    is_skeletal: bool
    mesh_name: str
    material_name: str
    material_parent: str
    texture_parameters: dict[str, str]
    """Material parameter -> texture name."""
    scalar_parameters: dict[str, float]
    vector_parameters: dict[str, tuple[float, float, float, float]]
    bounds_min_cm: tuple[float, float, float]
    bounds_max_cm: tuple[float, float, float]
    lods: tuple[LodEntry, ...]
    collision_shapes: tuple[str, ...]
    """``convex``, ``box``, ``sphere`` or ``capsule``, one for each piece."""
    textures: tuple[TextureEntry, ...]
    files: tuple[FileEntry, ...]
    nanite: bool
    lightmap_px: int
    """Size that a second set of coordinates was made for; 0 where none was wanted."""
    lightmap_channel: int
    """Which set of coordinates that is, counted from 0."""
    tags: dict[str, str]
    """Provenance as metadata tags, without the prefix."""

    def file_of_role(self, role: str) -> Path | None:
        """The first file with that role."""
        return next((entry.path for entry in self.files if entry.role == role), None)


def read_manifest(path: Path) -> PackageManifest:
    """Read and check a manifest; ``path`` may be the file or its folder. Raises ``ImportRefused``."""
    file = path / MANIFEST_NAME if path.is_dir() else path
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ImportRefused(f"{file}: cannot be read ({error.strerror}). Choose a forged package's folder.") from error
    except ValueError as error:
        raise ImportRefused(f"{file}: is not JSON ({error}). Forge or download the package again.") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise ImportRefused(
            f"{file}: schema is {found!r}, this importer reads {SCHEMA!r}. Update the older of the two."
        )
    try:
        return _manifest_of(document, file.parent)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ImportRefused(
            f"{file}: {type(error).__name__} at {error}. Forge or download the package again."
        ) from error


def verify_files(manifest: PackageManifest) -> None:
    """Hold every file against its size and digest. Raises ``ImportRefused`` naming the first that differs."""
    for entry in manifest.files:
        try:
            data = entry.path.read_bytes()
        except OSError as error:
            raise ImportRefused(f"{entry.path}: {error.strerror}. Download the package again.") from error
        if len(data) != entry.size_bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise ImportRefused(f"{entry.path}: differs from what the manifest says. Download the package again.")


def _manifest_of(document: dict[str, Any], folder: Path) -> PackageManifest:
    asset, material, bounds = document["asset"], document["material"], document["placement"]["bounds_cm"]
    kind = asset["type"]
    if kind not in ("static_mesh", "skeletal_mesh"):
        raise ValueError(f"asset.type {kind!r}")
    provenance = document["provenance"]
    lightmap_px, lightmap_channel = _light_map(document)
    return PackageManifest(
        folder=folder,
        asset_name=str(asset["name"]),
        is_skeletal=kind == "skeletal_mesh",
        mesh_name=str(asset["mesh_name"]),
        material_name=str(material["name"]),
        material_parent=str(material["parent"]),
        texture_parameters={str(key): str(value) for key, value in material["textures"].items()},
        scalar_parameters={str(key): float(value) for key, value in material["scalars"].items()},
        vector_parameters={str(key): _four(value) for key, value in material["vectors"].items()},
        bounds_min_cm=_three(bounds["min"]),
        bounds_max_cm=_three(bounds["max"]),
        lods=tuple(
            LodEntry(int(e["index"]), _inside(folder, e["path"]), int(e["triangles"]), float(e["screen_size"]))
            for e in sorted(document["lods"], key=lambda entry: int(entry["index"]))
        ),
        collision_shapes=tuple(str(piece["shape"]) for piece in document["collision"]["pieces"]),
        textures=tuple(
            TextureEntry(
                name=str(e["name"]),
                path=_inside(folder, e["path"]),
                role=str(e["role"]),
                srgb=e["color_space"] == "sRGB",
                compression=str(e["compression"]),
                lod_group=str(e["lod_group"]),
                size_px=int(e["size_px"][0] if isinstance(e["size_px"], list) else e["size_px"]),
                flip_green=bool(e["flip_green"]),
            )
            for e in document["textures"]
        ),
        files=tuple(
            FileEntry(_inside(folder, e["path"]), str(e["role"]), str(e["sha256"]), int(e["size_bytes"]))
            for e in document["files"]
        ),
        nanite=bool(document["nanite"]),
        lightmap_px=lightmap_px,
        lightmap_channel=lightmap_channel,
        tags={
            "Preset": str(provenance["preset"]),
            "Generator": str(provenance["generator"]),
            "JobId": str(provenance["job_id"]),
            "Created": str(document["created"]),
            "Inputs": "; ".join(f"{e['name']} {e['sha256'][:12]}" for e in provenance["inputs"]),
            "Package": str(folder),
        },
    )


def _light_map(document: dict[str, Any]) -> tuple[int, int]:
    """Size and channel. A package without the entry is asked what its preset wanted of the stage unwrap."""
    entry = document.get("light_map")
    if entry is not None:
        return int(entry["resolution_px"]), int(entry["channel"])
    preset = document["provenance"].get("preset_document")
    stages = preset.get("stages", ()) if isinstance(preset, dict) else ()
    wanted = next((int(stage.get("lightmap_px", 0)) for stage in stages if stage.get("stage") == "unwrap"), 0)
    return wanted, LIGHT_MAP_CHANNEL


def _inside(folder: Path, text: str) -> Path:
    relative = PurePosixPath(str(text))
    if relative.is_absolute() or ".." in relative.parts or "\\" in str(text) or ":" in str(text):
        raise ValueError(f"path {text!r} leaves the package")
    return folder.joinpath(*relative.parts)


def _three(values: Any) -> tuple[float, float, float]:
    x, y, z = values
    return float(x), float(y), float(z)


def _four(values: Any) -> tuple[float, float, float, float]:
    r, g, b, a = values
    return float(r), float(g), float(b), float(a)
