"""A mesh whose parts have a material and a texture each, all over the whole square, bakes into one atlas."""

import numpy as np

from bridge_server.backends.unwrapper.base import UNWRAPPERS
from bridge_server.run import SilentRun
from bridge_server.stages.bake_albedo import BakeAlbedo
from bridge_server.stages.trace import Trace
from bridge_server.stages.unwrap import Unwrap
from bridge_server.values.mesh import HighPoly
from bridge_server.values.surface_texture import MaterialTextures, TextureField, TextureImage
from bridge_server.values.texel_grid import overlap_count
from tests.shapes import box, merged
from tests.stages.bake_cases import low_poly, rasterizer, raycaster

COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def test_three_textures_come_out_in_one_atlas_each_where_it_belongs() -> None:
    mesh = merged(*(box((0.5, 0.5, 0.5), (float(i), 0.0, 0.0)) for i in range(3)))
    square = np.float32([[0, 0], [1, 0], [0, 1]])
    images = [TextureImage(pixels=np.full((4, 4, 3), color, np.uint8)) for color in COLORS]
    field = TextureField(
        positions_m=mesh.positions_m,
        faces=mesh.faces,
        corner_uvs=np.tile(square, (len(mesh.faces), 1, 1)),
        face_materials=np.repeat(np.arange(3, dtype=np.int32), 12),
        materials=tuple(MaterialTextures(base_color_image=image) for image in images),
    )
    high = HighPoly(mesh=mesh, field=field, source="mesh")
    unwrapped = Unwrap(resolution_px=128)(
        SilentRun(), UNWRAPPERS.load("isometric"), low_poly=low_poly(mesh), high_poly=high
    )
    assert [notice.code for notice in unwrapped.notices] == ["uvs_replaced"]
    assert "under more than one triangle" in unwrapped.notices[0].message
    assert overlap_count(unwrapped.uvs, unwrapped.faces, 128) == 0
    hits = Trace(resolution_px=128, supersample=1)(
        SilentRun(), raycaster(), rasterizer(), high_poly=high, unwrapped=unwrapped
    )
    albedo = BakeAlbedo()(SilentRun(), raycaster(), high_poly=high, unwrapped=unwrapped, texel_hits=hits)
    found = albedo.pixels.reshape(-1, 3)[hits.index]
    part = np.rint(unwrapped.positions_m[unwrapped.faces].mean(axis=1)[hits.low_face][:, 0]).astype(int)
    assert set(part) == {0, 1, 2}
    np.testing.assert_array_equal(found, np.uint8(COLORS)[part])
