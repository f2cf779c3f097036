"""Numbers that steer a sampler; apart from the sampler, so that reading them needs no torch."""

from dataclasses import dataclass

NOISE_FLOOR = 1e-5
"""``sigma_min`` of the official samplers: how much noise is left at the end of the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSettings:
    """How one of the three samplers goes; the official values stand in ``pipeline.json``."""

    steps: int = 12
    guidance_strength: float = 1.0
    """1 follows the picture, more exaggerates what it adds, 0 ignores it."""
    guidance_rescale: float = 0.0
    """Share of the spread that guidance widened and that is taken back (Lin et al. 2023, section 3.4)."""
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    """Times within which guidance acts, ends included (Kynkäänniemi et al. 2024); outside the picture is followed."""
    rescale_t: float = 1.0
    """More than 1 spends more of the steps near the noise."""
    sigma_min: float = NOISE_FLOOR
