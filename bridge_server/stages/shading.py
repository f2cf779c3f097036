"""Metal-rough shading as glTF and Unreal have it, and the way from light to pixels.

Image-based lighting is split into prefiltered radiance and a lookup of the GGX lobe's share (Karis, "Real shading in
Unreal Engine 4", 2013), with the light that bounces more than once between microfacets given back (Fdez-Agüera, "A
multiple-scattering microfacet model for real-time image-based lighting", 2019), so that a white surface in a white
room stays white at every roughness.
"""

import functools

import numpy as np
from jaxtyping import Float32, UInt8

from bridge_server.stages.environment_light import Environment
from bridge_server.stages.render_places import dot

LUT_SIZE = 48
DIELECTRIC_F0 = np.float32(0.04)


@functools.lru_cache(maxsize=1)
def lobe_shares() -> Float32[np.ndarray, "2 roughness cosine"]:
    """Scale and bias of F0 for (roughness, N.V) at cell centres, Smith GGX with height correlation, 256 samples."""
    samples = 256
    u = (np.arange(samples) + 0.5) / samples
    turn = 2.0 * np.pi * ((np.arange(samples) * 0.6180339887498949) % 1.0)
    centers = (np.arange(LUT_SIZE) + 0.5) / LUT_SIZE
    alpha_2 = (centers[:, None, None] ** 2) ** 2
    n_v = centers[None, :, None]
    cos_h = np.sqrt((1.0 - u) / (1.0 + (alpha_2 - 1.0) * u))
    sin_h = np.sqrt(np.maximum(1.0 - cos_h**2, 0.0))
    v_h = np.sqrt(1.0 - n_v**2) * sin_h * np.cos(turn) + n_v * cos_h
    n_l = np.maximum(2.0 * v_h * cos_h - n_v, 0.0)
    lit = (n_l > 0.0) & (v_h > 0.0)
    masked = n_l * np.sqrt(n_v**2 * (1.0 - alpha_2) + alpha_2) + n_v * np.sqrt(n_l**2 * (1.0 - alpha_2) + alpha_2)
    share = np.where(lit, 2.0 * n_l * v_h / np.maximum(masked * cos_h, 1e-12), 0.0)
    fresnel = np.where(lit, (1.0 - np.minimum(np.maximum(v_h, 0.0), 1.0)) ** 5, 0.0)
    pair = np.stack([((1.0 - fresnel) * share).mean(axis=2), (fresnel * share).mean(axis=2)])
    return pair.astype(np.float32)


def shade(
    lights: Environment,
    *,
    normals: Float32[np.ndarray, "points 3"],
    to_viewer: Float32[np.ndarray, "points 3"],
    base_color: Float32[np.ndarray, "points 3"],
    metallic: Float32[np.ndarray, "points"],
    roughness: Float32[np.ndarray, "points"],
    openness: Float32[np.ndarray, "points"],
    key_visible: Float32[np.ndarray, "points"],
) -> Float32[np.ndarray, "points 3"]:
    """Linear light that leaves each point towards the viewer.

    ``openness`` (ambient occlusion, 1 is open) dims every light but the key one, which ``key_visible`` dims.
    """
    raw_n_v = dot(normals, to_viewer)
    n_v = np.clip(raw_n_v, 0.02, 1.0)
    mirror = normals * (2.0 * raw_n_v)[:, None] - to_viewer
    scale, bias = _lookup(roughness, n_v)
    f0 = DIELECTRIC_F0 + (base_color - DIELECTRIC_F0) * metallic[:, None]
    single = f0 * scale[:, None] + bias[:, None]
    lost = (1.0 - scale - bias)[:, None]
    average = f0 + (1.0 - f0) * np.float32(1.0 / 21.0)
    multiple = single * average * lost / (1.0 - average * lost)
    body = base_color * (1.0 - metallic)[:, None] * (1.0 - single - multiple)
    key_gloss, room_gloss = lights.reflected(mirror, roughness)
    key_matte, room_matte = lights.diffused(normals)
    gloss_open = glossy_openness(n_v, openness, roughness)[:, None]
    key = key_visible[:, None]
    glossy = room_gloss * gloss_open + key_gloss * key
    matte = room_matte * openness[:, None] + key_matte * key
    return single * glossy + (multiple + body) * matte


def glossy_openness(
    n_v: Float32[np.ndarray, "points"],
    openness: Float32[np.ndarray, "points"],
    roughness: Float32[np.ndarray, "points"],
) -> Float32[np.ndarray, "points"]:
    """Occlusion of reflections from that of diffuse light (Lagarde and de Rousiers, "Moving Frostbite to PBR")."""
    power = np.exp2(-16.0 * roughness - 1.0)
    return np.clip(np.power(n_v + openness, power) - 1.0 + openness, 0.0, 1.0)


def neutral_tone(light: Float32[np.ndarray, "... 3"]) -> Float32[np.ndarray, "... 3"]:
    """Khronos PBR Neutral tone mapper: base colours come out as they are, highlights roll off to white."""
    start, fade = np.float32(0.8 - 0.04), np.float32(0.15)
    red, green, blue = light[..., 0], light[..., 1], light[..., 2]
    low = np.minimum(np.minimum(red, green), blue)
    toe = np.where(low < 0.08, low - np.float32(6.25) * low * low, np.float32(0.04))
    peak = np.maximum(np.maximum(red, green), blue) - toe
    rolled = 1.0 - (1.0 - start) ** 2 / np.maximum(peak + 1.0 - 2.0 * start, np.float32(1e-6))
    bright = peak >= start
    keep = np.where(bright, 1.0 / (fade * (peak - rolled) + 1.0), np.float32(1.0))
    gain = np.where(bright, keep * rolled / np.maximum(peak, np.float32(1e-6)), np.float32(1.0))
    white = np.where(bright, rolled * (1.0 - keep), np.float32(0.0))
    return light * gain[..., None] + (white - toe * gain)[..., None]


def encode_srgb(light: Float32[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Linear light 0 to 1 to 8-bit sRGB (IEC 61966-2-1)."""
    return _srgb_bytes().take((np.clip(light, 0.0, 1.0) * np.float32(65535.0) + np.float32(0.5)).astype(np.uint16))


@functools.lru_cache(maxsize=1)
def _srgb_bytes() -> UInt8[np.ndarray, "65536"]:
    light = np.arange(65536) / 65535.0
    curved = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.power(light, 1.0 / 2.4) - 0.055)
    return (curved * 255.0 + 0.5).astype(np.uint8)


def decode_srgb(pixels: UInt8[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """8-bit sRGB to linear light 0 to 1."""
    stored = np.arange(256) / 255.0
    table = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    return table.astype(np.float32)[pixels]


def _lookup(
    roughness: Float32[np.ndarray, "points"], n_v: Float32[np.ndarray, "points"]
) -> tuple[Float32[np.ndarray, "points"], Float32[np.ndarray, "points"]]:
    table = lobe_shares()
    row = np.clip(roughness * np.float32(LUT_SIZE) - np.float32(0.5), 0.0, LUT_SIZE - 1.001)
    column = np.clip(n_v * np.float32(LUT_SIZE) - np.float32(0.5), 0.0, LUT_SIZE - 1.001)
    cell, column_0 = row.astype(np.int64), column.astype(np.int64)
    row_t, column_t = row - cell, column - column_0
    cell *= LUT_SIZE
    cell += column_0
    cells = cell, cell + 1, cell + LUT_SIZE, cell + (LUT_SIZE + 1)
    shares = (1 - row_t) * (1 - column_t), (1 - row_t) * column_t, row_t * (1 - column_t), row_t * column_t
    scale, bias = (sum(part.take(cell) * share for cell, share in zip(cells, shares, strict=True)) for part in table)
    return scale, bias
