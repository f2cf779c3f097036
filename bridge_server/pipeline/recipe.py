"""A recipe: everything that decides what is made, before the inputs are looked at."""

from dataclasses import dataclass

from bridge_server.pipeline.preset import Preset
from bridge_server.pipeline.quality import Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A preset with its overrides laid over it, the quality that it names, and the asset's name."""

    preset: Preset
    quality: Quality
    asset_name: str
    """Without prefix, e.g. ``CoffeeCup``."""
