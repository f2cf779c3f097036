"""Pictures of the baked low poly against pictures of the high poly, in the same studio."""

import numpy as np
import pytest

from bridge_server.run import SilentRun
from bridge_server.stages.bake_albedo import BakeAlbedo
from bridge_server.stages.bake_ao import BakeAo
from bridge_server.stages.bake_metallic_roughness import BakeMetallicRoughness
from bridge_server.stages.bake_normal import BakeNormal
from bridge_server.stages.pack import Pack
from bridge_server.stages.render_subject import field_subject, mapped_subject
from bridge_server.stages.render_view import prepare_view, render_view
from bridge_server.values.mesh import Mesh
from bridge_server.values.placement import Pivot, Placement
from tests.accuracy.layouts import laid_out, traced
from tests.shapes import painted, sphere, torus
from tests.stages.bake_cases import psnr_db, raycaster

STILL = Placement(scale=1.0, translation_m=(0.0, 0.0, 0.0), pivot=Pivot.CENTER, height_cm=100.0)


def bumpy_sphere(subdivisions: int, height: float) -> Mesh:
    ball = sphere(0.5, subdivisions)
    waves = np.sin(ball.positions_m * 40).prod(axis=1, keepdims=True)
    return Mesh(positions_m=(ball.positions_m * (1 + height * waves)).astype(np.float32), faces=ball.faces)


CASES = {
    "sphere": (sphere(0.5, 4), sphere(0.5, 6), 38.0),
    "torus": (torus(rows=96, columns=48), torus(rows=384, columns=192), 38.0),
    "bumpy sphere": (sphere(0.5, 4), bumpy_sphere(6, 0.01), 32.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_pictures_of_low_and_high_poly_agree(name: str) -> None:
    low, high, least_db = CASES[name]
    case, run, caster = traced(laid_out(low, "planar"), painted(high)), SilentRun(), raycaster()
    packed = Pack()(
        run,
        ao=BakeAo(samples=64)(run, caster, **case.slots),
        metallic_roughness=BakeMetallicRoughness()(run, caster, **case.slots),
    )
    subject = mapped_subject(
        caster,
        case.unwrapped,
        STILL,
        normal=BakeNormal()(run, **case.slots),
        albedo=BakeAlbedo()(run, caster, **case.slots),
        packed=packed,
    )
    pictures = [
        render_view(run, prepare_view(part, azimuth_deg=35.0, elevation_deg=20.0, size_px=384)) / 255
        for part in (subject, field_subject(caster, case.high_poly, STILL))
    ]
    found_db = psnr_db(*pictures)
    print(f"{name}: {found_db:.1f} dB")
    assert found_db > least_db
