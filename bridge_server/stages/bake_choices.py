"""Choices of a bake that its users name, apart from what carries them out."""

import enum

DEFAULT_MAPS = "normal,base_color,orm"


class Bits(enum.StrEnum):
    """Depth of normal maps."""

    EIGHT = "8"
    SIXTEEN = "16"


class Green(enum.StrEnum):
    """Where green points in tangent-space maps."""

    GL = "gl"
    DX = "dx"


class RayDirection(enum.StrEnum):
    """Which way rays leave the low poly."""

    SMOOTH = "smooth"
    """Along normals that are averaged over all faces around."""
    SKEW_FREE = "skew_free"
    """Along the normals of flat faces, averaged only close to their edges."""
