"""The asset manifest: the contract between the pipeline and the editor, ``asset_manifest.json`` beside its files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from bridge_server.errors import InputError
from bridge_server.values import typed_json
from bridge_server.values.typed_json import JsonText

MANIFEST_SCHEMA = "open3dforge.asset_manifest.v1"
MANIFEST_NAME = "asset_manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetEntry:
    """What the asset and its parts are called in the editor."""

    name: str
    type: str
    """``static_mesh`` or ``skeletal_mesh``."""
    mesh_name: str
    material_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of the package; the manifest itself is not listed."""

    path: str
    """Relative to the manifest, forward slashes."""
    role: str
    """A ``FileRole``."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundsEntry:
    """Box of the placed asset in Unreal's axes: centimetres, Z up."""

    min: tuple[float, float, float]
    max: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementEntry:
    """Where the origin lies; already applied to every file."""

    pivot: str
    scale: float
    translation_m: tuple[float, float, float]
    height_cm: float
    bounds_cm: BoundsEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class LodEntry:
    """One level of detail and the file that holds it."""

    index: int
    path: str
    triangles: int
    vertices: int
    screen_size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LightMapEntry:
    """The second set of texture coordinates, for baked light, that every level's vertices have."""

    channel: int
    """Which set it is, counted from 0: ``TEXCOORD_1`` in a GLB."""
    resolution_px: int
    """Edge length of the light map that its charts were packed for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceEntry:
    """One collision piece, a node beside LOD0."""

    name: str
    shape: str
    vertices: int
    triangles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CollisionEntry:
    """Simple collision; no pieces where the export target takes none."""

    method: str
    containment: float
    excess_volume: float | None
    """None where the low poly is open and has no volume."""
    pieces: tuple[PieceEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextureEntry:
    """One texture file and how Unreal should take it."""

    name: str
    path: str
    role: str
    color_space: str
    """``sRGB`` or ``linear``."""
    compression: str
    """Member of ``TextureCompressionSettings``: TC_DEFAULT, TC_NORMALMAP, TC_MASKS."""
    lod_group: str
    """Member of ``TextureGroup``, e.g. TEXTUREGROUP_WORLD."""
    size_px: int
    bit_depth: int
    """Bits a channel."""
    flip_green: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialEntry:
    """The material instance: parameter name -> texture name, number, or RGBA."""

    name: str
    parent: str
    textures: Mapping[str, str]
    scalars: Mapping[str, float]
    vectors: Mapping[str, tuple[float, float, float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckEntry:
    """One rule of the game-readiness checklist."""

    rule: str
    title: str
    verdict: str
    figure: str
    limit: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputEntry:
    """One file that the user gave."""

    name: str
    sha256: str
    view: str
    """Which side a photo shows; empty for a mesh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackEntry:
    """Something that went another way than asked."""

    stage: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEntry:
    """How long a stage took."""

    name: str
    seconds: float
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What the asset was made of, by what."""

    inputs: tuple[InputEntry, ...]
    preset: str
    preset_document: JsonText
    """The preset as it ran, with the user's changes."""
    generator: str
    backends: Mapping[str, str]
    """Backend kind -> identity."""
    fallbacks: tuple[FallbackEntry, ...]
    versions: Mapping[str, str]
    stages: tuple[StageEntry, ...]
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that an importer needs to know about a package."""

    schema: str = MANIFEST_SCHEMA
    asset: AssetEntry
    created: str
    """ISO 8601, UTC."""
    files: tuple[FileEntry, ...]
    placement: PlacementEntry
    lods: tuple[LodEntry, ...]
    collision: CollisionEntry
    textures: tuple[TextureEntry, ...]
    material: MaterialEntry
    nanite: bool
    checklist: tuple[CheckEntry, ...]
    provenance: Provenance
    light_map: LightMapEntry | None = None
    """None where no such coordinates were made, and in manifests from before there was this entry."""

    def to_json(self) -> str:
        """Deterministic JSON text."""
        return typed_json.dump(self)

    @staticmethod
    def from_json(text: str | bytes) -> "Manifest":
        """Read strictly. Raises ``InputError`` that names the entry which is missing, unknown or of a wrong type."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        schema = document.get("schema") if isinstance(document, dict) else None
        if schema is not None and schema != MANIFEST_SCHEMA:
            raise InputError(
                f"has the schema {schema!r}; this version reads {MANIFEST_SCHEMA!r}.",
                subject=MANIFEST_NAME,
                remedy="Forge the asset again, or use the version of Open3DForge that wrote it.",
            )
        return typed_json.load(Manifest, text, MANIFEST_NAME)
