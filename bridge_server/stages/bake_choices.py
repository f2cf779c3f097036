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
