"""Pictures that come in: photos with their view tag, and the cutouts that background removal makes of them."""

import enum
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from bridge_server.values.base import Value


class View(enum.StrEnum):
    """Which side of the asset a photo shows. ``left`` is the asset's own left, +X (see ``space``)."""

    FRONT = "front"
    BACK = "back"
    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo(Value):
    """One decoded input image, upright, sRGB, straight alpha."""

    pixels: UInt8[np.ndarray, "height width 4"]
    view: View = View.FRONT
    name: str = ""
    """The file name the user gave, for messages."""
    has_alpha: bool = False
    """True where the file brought a matte of its own (an alpha channel that is not fully opaque)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photos(Value):
    """One to four photos, each view at most once, the front one first."""

    photos: tuple[Photo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout(Value):
    """A photo with its background removed: straight alpha, soft edge, colours continued under the edge."""

    pixels: UInt8[np.ndarray, "height width 4"]
    view: View
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutouts(Value):
    """The subject of each photo, in the order of the photos."""

    cutouts: tuple[Cutout, ...]
    method: str
    """``alpha`` where all inputs brought their own matte, else the matting backend's name."""
