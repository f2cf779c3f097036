"""Thin walls: no ray and no closest point takes the other side, however the cage is set."""

import numpy as np
import pytest

from bridge_server.stages.corner_normals import unit_face_normals
from bridge_server.values.mesh import Mesh
from tests.shapes import box, flipped, grid_surface, merged
from tests.stages.bake_cases import Case, case, height_field, plane

WALL_M = 0.001


def tube(radius_m: float, columns: int, rows: int = 3, height_m: float = 0.1) -> Mesh:
    """Open tube around Y that faces outward."""
    angle = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None, :]
    y = np.linspace(0, height_m, rows)[:, None]
    place = np.stack([radius_m * np.cos(angle) + 0 * y, y + 0 * angle, radius_m * np.sin(angle) + 0 * y], axis=-1)
    return grid_surface(rows, columns, place, wrap_rows=False, wrap_columns=True)


def cup_wall(columns: int) -> Mesh:
    """Two skins, 1 mm apart."""
    return merged(tube(0.04, columns), flipped(tube(0.04 - WALL_M, columns)))


def folded_cloth(lift_m: float, steps: int) -> Mesh:
    """Two layers of cloth that touch nearly: each 0.5 mm thick, 0.5 mm of air between them."""
    skins = []
    for base in (0.0, 0.001):
        for above, up in ((0.0, False), (0.0005, True)):
            z = base + above + lift_m
            skin = height_field(lambda x, y, z=z: z + 0.0001 * np.sin(40 * x) * np.sin(33 * y), steps, 0.2)
            skins.append(skin if up else flipped(skin))
    return merged(*skins)


def wrong_side(found: Case) -> np.ndarray:
    """Places whose high poly faces away from the low poly."""
    low = unit_face_normals(found.unwrapped.welded_mesh())[found.texel_hits.low_face]
    high = unit_face_normals(found.high_poly.mesh)[found.texel_hits.high_face]
    return (low * high).sum(axis=1) <= 0


def off_m(found: Case) -> np.ndarray:
    hits, high = found.texel_hits, found.high_poly.mesh
    weights = np.concatenate([1 - hits.high_weights.sum(axis=1, keepdims=True), hits.high_weights], axis=1)
    place = np.einsum("tc,tcd->td", weights, high.positions_m[high.faces[hits.high_face]])
    return np.linalg.norm(place - found.low_at_texels(found.unwrapped.positions_m), axis=1)


def test_a_high_poly_that_winds_outward() -> None:
    mesh = tube(0.04, 24)
    centers = mesh.positions_m[mesh.faces].mean(axis=1) * [1, 0, 1]
    assert ((unit_face_normals(mesh) * centers).sum(axis=1) > 0).all()


@pytest.mark.parametrize("cage_m", [0.0, 0.0001, 0.0004, 0.002, 0.03])
def test_the_wall_of_a_cup_keeps_its_sides(cage_m: float) -> None:
    """The low poly lies up to 0.8 mm inside the high one, nearer to the far skin than to its own."""
    found = case(cup_wall(16), cup_wall(256), size=128, cage_offset_m=cage_m)
    assert not wrong_side(found).any()
    assert off_m(found).max() < 0.0011
    assert "other_side_baked" not in [notice.code for notice in found.texel_hits.notices]


@pytest.mark.parametrize("cage_m", [0.0, 0.00005, 0.005])
@pytest.mark.parametrize("lift_m", [-0.0003, 0.0, 0.0003])
def test_each_layer_of_folded_cloth_takes_its_own_skin(cage_m: float, lift_m: float) -> None:
    layers = [plane(0.2), flipped(plane(0.2))]
    low = merged(
        *(
            Mesh(positions_m=skin.positions_m + np.float32([0, 0, base + above]), faces=skin.faces)
            for base in (0.0, 0.001)
            for skin, above in ((layers[1], 0.0), (layers[0], 0.0005))
        )
    )
    found = case(low, folded_cloth(lift_m, 24), size=128, cage_offset_m=cage_m)
    assert not wrong_side(found).any()
    assert np.abs(off_m(found) - abs(lift_m)).max() < 0.00012


@pytest.mark.parametrize("cage_m", [0.0, 0.00001, 0.01])
def test_a_plate_of_one_millimetre_keeps_its_sides(cage_m: float) -> None:
    plate, thinner = box((0.2, WALL_M, 0.2)), box((0.2, WALL_M * 0.2, 0.2))
    for low, high in ((plate, thinner), (thinner, plate), (plate, plate)):
        found = case(low, high, size=128, smooth=False, cage_offset_m=cage_m)
        low_up = unit_face_normals(found.unwrapped.welded_mesh())[found.texel_hits.low_face][:, 1]
        high_up = unit_face_normals(high)[found.texel_hits.high_face][:, 1]
        large = np.abs(low_up) > 0.5
        assert (low_up[large] * high_up[large] > 0).mean() > 0.999
        assert (low_up[large] * high_up[large] >= 0).all()


def test_where_there_is_no_side_to_take_the_user_is_told() -> None:
    found = case(merged(plane(), flipped(plane())), plane(steps=4), size=64, cage_offset_m=0.01)
    told = {notice.code: notice for notice in found.texel_hits.notices}
    assert "other side of a wall" in told["other_side_baked"].message
    assert wrong_side(found).mean() == pytest.approx(0.5, abs=0.05)
