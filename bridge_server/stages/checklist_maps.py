"""Rules about textures: size, normals of unit length, plausible colours, metal or not, occlusion, rays of the bake."""

import numpy as np
from jaxtyping import Bool, UInt8

from bridge_server.stages.checklist_given import COLOR_REMEDIES, METALLIC_REMEDIES, Given
from bridge_server.stages.checklist_verdicts import counted, graded, judged, passed, share, skipped
from bridge_server.values.checklist import Check, Verdict
from bridge_server.values.texture import AlbedoMap, NormalMap, PackedMap, Packing, TexelHits

DARKEST_SRGB, BRIGHTEST_SRGB = 30, 243
"""Fresh snow and coal: outside of these a non-metal looks wrong in any light."""


def covered_texels(hits: TexelHits | None, size: int) -> Bool[np.ndarray, "size size"]:
    """Texels of a map of that size which lie in a chart; all of them where that is not known."""
    if hits is None or not hits.coverage.any():
        return np.ones((size, size), np.bool_)
    place = np.arange(size) * hits.resolution_px // size
    return hits.coverage[np.ix_(place, place)]


def texture_resolution(
    normal: NormalMap | None, albedo: AlbedoMap | None, packed: PackedMap | None, wanted_px: int
) -> Check:
    """All maps are squares of the size asked for, a power of two."""
    rule, title = "texture_resolution", "Texture size"
    sizes = {name: value.pixels.shape[0] for name, value in _named(normal, albedo, packed) if value is not None}
    if not sizes:
        return skipped(rule, title, "no textures were made")
    powers = all(size & (size - 1) == 0 for size in sizes.values())
    as_asked = len(set(sizes.values())) == 1 and wanted_px in (0, *sizes.values())
    figure = ", ".join(f"{name} {size} px" for name, size in sizes.items())
    return graded(
        rule,
        title,
        good=powers and as_asked,
        bearable=powers,
        figure=figure if len(set(sizes.values())) > 1 else f"{next(iter(sizes.values()))} px",
        limit=f"{wanted_px} px, power of two" if wanted_px else "alike, power of two",
        remedy="Set resolution_px of all bakes to the same power of two; other sizes cannot be streamed.",
    )


def _named(
    normal: NormalMap | None, albedo: AlbedoMap | None, packed: PackedMap | None
) -> tuple[tuple[str, NormalMap | AlbedoMap | PackedMap | None], ...]:
    return (("base colour", albedo), ("normal", normal), ("packed", packed))


def normal_map(normal: NormalMap | None, hits: TexelHits | None) -> Check:
    """Tangent-space normals have unit length and point out of the surface."""
    rule, title = "normal_map", "Normal map is sound"
    if normal is None:
        return skipped(rule, title, "no normal map was made")
    vectors = normal.pixels[covered_texels(hits, len(normal.pixels))].astype(np.float32) * (2.0 / 65535.0) - 1.0
    length_error = float(np.abs(np.linalg.norm(vectors, axis=1) - 1.0).mean())
    inward = float((vectors[:, 2] <= 0.0).mean())
    outward = float(vectors[:, 2].mean())
    return graded(
        rule,
        title,
        good=length_error <= 0.01 and inward <= 0.01 and outward >= 0.7,
        bearable=length_error <= 0.05 and inward <= 0.1 and outward > 0.4,
        figure=f"length off by {share(length_error)}, {share(inward)} inward, mean blue {outward:.2f}",
        limit="length within 1 %, at most 1 % inward, mean blue 0.7",
        remedy="Raise trace.cage_offset_m if parts are missed, or lower it if parts hit their neighbours.",
    )


def base_color_range(
    albedo: AlbedoMap | None, packed: PackedMap | None, hits: TexelHits | None, limit: float, given: Given
) -> Check:
    """Colours of non-metals stay where real materials lie."""
    rule, title = "base_color_range", "Base colour is plausible"
    if albedo is None:
        return skipped(rule, title, "no base colour was made")
    size = len(albedo.pixels)
    judged_texels = covered_texels(hits, size)
    if packed is not None and packed.pixels.shape[0] == size:
        judged_texels = judged_texels & (_channel(packed, "metallic") < 128)
    colors = albedo.pixels[judged_texels]
    if not len(colors):
        return passed(rule, title, "all metal")
    luma = colors @ np.array([0.2126, 0.7152, 0.0722])
    dark, bright = float((luma < DARKEST_SRGB).mean()), float((luma > BRIGHTEST_SRGB).mean())
    return judged(
        rule,
        title,
        ok=dark + bright <= limit,
        figure=f"{share(dark)} too dark, {share(bright)} too bright",
        limit=f"at most {share(limit)} outside sRGB {DARKEST_SRGB} to {BRIGHTEST_SRGB}",
        remedy=COLOR_REMEDIES[given],
        otherwise=Verdict.WARN,
    )


def metallic_binary(packed: PackedMap | None, hits: TexelHits | None, limit: float, given: Given) -> Check:
    """A surface is metal or it is not; in between only at borders."""
    rule, title = "metallic_binary", "Metal or not, little between"
    if packed is None:
        return skipped(rule, title, "no packed map was made")
    metallic = _channel(packed, "metallic")[covered_texels(hits, packed.pixels.shape[0])]
    between = float(((metallic > 30) & (metallic < 225)).mean())
    metal = float((metallic >= 225).mean())
    return judged(
        rule,
        title,
        ok=between <= limit,
        figure=f"{share(metal)} metal, {share(between)} between",
        limit=f"at most {share(limit)} between",
        remedy=METALLIC_REMEDIES[given],
        otherwise=Verdict.WARN,
    )


def ambient_occlusion(packed: PackedMap | None, hits: TexelHits | None) -> Check:
    """Occlusion is there and leaves light on the asset."""
    rule, title = "ambient_occlusion", "Ambient occlusion"
    if packed is None:
        return skipped(rule, title, "no packed map was made")
    occlusion = _channel(packed, "occlusion")[covered_texels(hits, packed.pixels.shape[0])]
    mean = float(occlusion.mean()) / 255.0
    return judged(
        rule,
        title,
        ok=mean >= 0.3,
        figure=f"{share(mean)} open on average",
        limit="at least 30 %",
        remedy="Shorten bake_ao.distance_m; the asset would look dirty.",
        otherwise=Verdict.WARN,
    )


def bake_ray_share(hits: TexelHits | None, limit: float) -> Check:
    """Most texels found the high poly by a ray inside the cage, not by the nearest point."""
    rule, title = "bake_ray_share", "Bake rays hit the high poly"
    if hits is None or not len(hits.by_ray):
        return skipped(rule, title, "nothing was traced")
    found = float(hits.by_ray.mean())
    return judged(
        rule,
        title,
        ok=found >= limit,
        figure=f"{share(found)} of {counted(len(hits.by_ray), 'sample')}",
        limit=f"at least {share(limit)}",
        remedy="Raise trace.cage_offset_m, or raise decimate.triangle_count so that LOD0 lies closer.",
        otherwise=Verdict.WARN,
    )


def _channel(packed: PackedMap, wanted: str) -> UInt8[np.ndarray, "size size"]:
    mask_map = {"metallic": 0, "occlusion": 1}
    orm = {"occlusion": 0, "metallic": 2}
    return packed.pixels[..., (mask_map if packed.packing is Packing.MASK_MAP else orm)[wanted]]
