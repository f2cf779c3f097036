"""What the user gave, so that a remedy speaks of that: a photo is taken again, a mesh gets its colours in its file."""

import enum

import numpy as np

from bridge_server.values.mesh import HighPoly
from bridge_server.values.surface import SurfaceField
from bridge_server.values.surface_folded import FoldedField
from bridge_server.values.surface_texture import TextureField

MESH_SOURCE = "mesh"
"""``HighPoly.source`` of a mesh file."""


class Given(enum.Enum):
    """The input, as far as it matters for what is to be done about colours."""

    PHOTO = enum.auto()
    MESH = enum.auto()
    BARE_MESH = enum.auto()
    """A mesh file without vertex colours, textures or a coloured material: it is baked white."""
    UNKNOWN = enum.auto()


COLOR_REMEDIES = {
    Given.PHOTO: "The photo has deep shadows or burnt highlights: take one in softer light, or grade the texture.",
    Given.MESH: "The mesh brings colours as dark or bright as that: grade its textures, vertex colours or materials.",
    Given.BARE_MESH: "The mesh brings no colour, so it is white: give it vertex colours, a texture or a coloured "
    "material, and bring files that lie beside it along.",
    Given.UNKNOWN: "Grade the texture, or what it was baked from.",
}
METALLIC_REMEDIES = {
    Given.PHOTO: "Half metal looks like grey plastic: paint the metallic channel of the packed map black or white.",
    Given.MESH: "Half metal looks like grey plastic: set metallic to 0 or 1 in the mesh's materials or their textures.",
    Given.BARE_MESH: "Half metal looks like grey plastic: set metallic to 0 or 1 in the mesh's materials.",
    Given.UNKNOWN: "Half metal looks like grey plastic: set the metallic of the source to 0 or 1.",
}


def given_by(high_poly: HighPoly | None) -> Given:
    """Photo or mesh, and whether the mesh has any colour of its own."""
    if high_poly is None:
        return Given.UNKNOWN
    if high_poly.source != MESH_SOURCE:
        return Given.PHOTO
    return Given.BARE_MESH if _is_bare(high_poly.field) else Given.MESH


def _is_bare(field: SurfaceField) -> bool:
    while isinstance(field, FoldedField):
        field = field.inner
    if not isinstance(field, TextureField) or field.corner_colors is not None:
        return False
    used = [field.materials[index] for index in np.unique(field.face_materials)]
    return all(each.base_color_image is None and each.base_color_factor[:3] == (1.0, 1.0, 1.0) for each in used)
