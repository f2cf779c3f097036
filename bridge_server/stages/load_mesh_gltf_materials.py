"""Materials of a glTF 2.0 document: metallic-roughness, and specular-glossiness as near as that comes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import cos, sin
from typing import Any

import numpy as np
from jaxtyping import UInt8

from bridge_server.errors import InputError
from bridge_server.stages.load_mesh_gltf_accessors import GltfFile
from bridge_server.stages.load_mesh_images import decoded_image
from bridge_server.values.base import Notice, Severity
from bridge_server.values.surface_texture import AlphaMode, MaterialTextures, TextureImage, Wrap

WRAPS = {10497: Wrap.REPEAT, 33071: Wrap.CLAMP, 33648: Wrap.MIRROR}
SPECULAR_GLOSSINESS = "KHR_materials_pbrSpecularGlossiness"


@dataclass(slots=True)
class MaterialReader:
    """Reads the materials of one file; each image is decoded once."""

    file: GltfFile
    notices: list[Notice]
    pixels: dict[int, UInt8[np.ndarray, "height width channels"] | None] = field(default_factory=dict)

    def material(self, entry: Mapping[str, Any]) -> MaterialTextures:
        """One material; what cannot be carried over is told in the notices."""
        extensions = entry.get("extensions", {})
        if "normalTexture" in entry:
            self._tell(
                "source_normal_map_dropped",
                "The source's own normal map is not carried over: surface detail comes from the geometry.",
                Severity.INFO,
            )
        strength = float(extensions.get("KHR_materials_emissive_strength", {}).get("emissiveStrength", 1.0))
        red, green, blue = (float(value) * strength for value in entry.get("emissiveFactor", (0.0, 0.0, 0.0)))
        surface = entry.get("pbrMetallicRoughness", {})
        base, metallic, roughness, metal_image = "baseColor", 1.0, 1.0, "metallicRoughnessTexture"
        if "pbrMetallicRoughness" not in entry and SPECULAR_GLOSSINESS in extensions:
            surface, base = extensions[SPECULAR_GLOSSINESS], "diffuse"
            metallic, roughness, metal_image = 0.0, 1.0 - float(surface.get("glossinessFactor", 1.0)), ""
            self._tell("specular_glossiness", "Specular-glossiness is read as non-metal with the same glossiness.")
        r, g, b, a = (float(value) for value in surface.get(f"{base}Factor", (1.0, 1.0, 1.0, 1.0)))
        return MaterialTextures(
            name=str(entry.get("name", "")),
            base_color_factor=(r, g, b, a),
            base_color_image=self._texture(surface.get(f"{base}Texture")),
            metallic_factor=float(surface.get("metallicFactor", metallic)),
            roughness_factor=float(surface.get("roughnessFactor", roughness)),
            metallic_roughness_image=self._texture(surface.get(metal_image)),
            emissive_factor=(red, green, blue),
            emissive_image=self._texture(entry.get("emissiveTexture")),
            alpha_mode=AlphaMode(str(entry.get("alphaMode", "OPAQUE")).lower()),
            alpha_cutoff=float(entry.get("alphaCutoff", 0.5)),
        )

    def _texture(self, reference: Mapping[str, Any] | None) -> TextureImage | None:
        if reference is None:
            return None
        texture = self.file.entry("textures", reference.get("index"))
        image = texture.get("extensions", {}).get("EXT_texture_webp", {}).get("source", texture.get("source"))
        if image is None:
            self._tell("texture_unreadable", "A texture is stored in a way that is not read here; its factor is used.")
            return None
        pixels = self._pixels(image)
        if pixels is None:
            return None
        sampler = self.file.entry("samplers", texture["sampler"]) if "sampler" in texture else {}
        transform = reference.get("extensions", {}).get("KHR_texture_transform", {})
        uv_set = int(transform.get("texCoord", reference.get("texCoord", 0)))
        if uv_set > 1:
            self._tell("uv_set_dropped", f"A texture uses coordinate set {uv_set}; only sets 0 and 1 are carried over.")
            return None
        return TextureImage(
            pixels=pixels,
            wrap_u=WRAPS.get(sampler.get("wrapS", 10497), Wrap.REPEAT),
            wrap_v=WRAPS.get(sampler.get("wrapT", 10497), Wrap.REPEAT),
            uv_set=uv_set,
            uv_transform=uv_transform(transform),
        )

    def _pixels(self, index: int) -> UInt8[np.ndarray, "height width channels"] | None:
        if index not in self.pixels:
            try:
                entry = self.file.entry("images", index)
                data = bytes(self.file.view(entry["bufferView"])[0]) if "bufferView" in entry else None
                self.pixels[index] = decoded_image(self.file.resolve(str(entry["uri"])) if data is None else data)
            except (ValueError, KeyError, InputError) as error:
                reason = error.message if isinstance(error, InputError) else str(error)
                self._tell("texture_unreadable", f"Texture image {index} is left out: {reason}.".replace("..", "."))
                self.pixels[index] = None
        return self.pixels[index]

    def _tell(self, code: str, message: str, severity: Severity = Severity.WARNING) -> None:
        if all(notice.message != message for notice in self.notices):
            self.notices.append(Notice(code=code, message=message, severity=severity))


def uv_transform(transform: Mapping[str, Any]) -> tuple[float, float, float, float, float, float]:
    """Rows of the 2 x 3 matrix of KHR_texture_transform: translation * rotation * scale."""
    x, y = (float(value) for value in transform.get("offset", (0.0, 0.0)))
    across, down = (float(value) for value in transform.get("scale", (1.0, 1.0)))
    angle = float(transform.get("rotation", 0.0))
    return (cos(angle) * across, sin(angle) * down, x, -sin(angle) * across, cos(angle) * down, y)
