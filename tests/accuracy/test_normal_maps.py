"""What a shader rebuilds from normal maps, against two truths, at 8 and 16 bits and under several UV layouts.

``own`` is the normal that the high poly itself has at the traced place: what storing and decoding costs. ``surface``
is the formula of the shape at the texel's place on the low poly: what the whole way costs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from bridge_server.run import SilentRun
from bridge_server.stages.bake_normal import BakeNormal
from bridge_server.stages.corner_normals import corner_normals, hard_half_edges
from bridge_server.stages.png_writer import to_8_bits
from bridge_server.values.mesh import Mesh
from tests.accuracy.layouts import LAYOUTS, laid_out, traced
from tests.shapes import box, sphere, torus
from tests.stages.bake_cases import Case, height_field, plane

Truth = Callable[[Case], np.ndarray]


@dataclass(frozen=True)
class Shape:
    """A pair of meshes and the normals of the surface that both stand for."""

    low: Callable[[], Mesh]
    high: Callable[[], Mesh]
    surface: Truth


def round_out(case: Case) -> np.ndarray:
    return unit(case.low_at_texels(case.unwrapped.positions_m))


def ring_out(case: Case) -> np.ndarray:
    place = case.low_at_texels(case.unwrapped.positions_m).astype(np.float64)
    return unit(place - unit(place * [1, 0, 1]) * 0.5)


def slope(case: Case) -> np.ndarray:
    x, y, _ = case.low_at_texels(case.unwrapped.positions_m).T
    return unit(np.stack([-0.25 * np.cos(25 * x), 0.248 * np.sin(31 * y), np.ones(len(x))], axis=1))


def flat_sides(case: Case) -> np.ndarray:
    low = case.unwrapped
    corners = low.positions_m[low.faces].astype(np.float64)
    return unit(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))[case.texel_hits.low_face]


def waves() -> Mesh:
    return height_field(lambda x, y: 0.01 * np.sin(25 * x) + 0.008 * np.cos(31 * y), 300)


def wedge() -> Mesh:
    """A prism over a right triangle."""
    corners = [(-0.5, -0.3), (0.5, -0.3), (-0.5, 0.3)]
    positions = np.float32([(x, y, z) for z in (-0.25, 0.25) for x, y in corners])
    faces = [(0, 2, 1), (3, 4, 5), (0, 1, 4), (0, 4, 3), (1, 2, 5), (1, 5, 4), (2, 0, 3), (2, 3, 5)]
    return Mesh(positions_m=positions, faces=np.int32(faces))


SHAPES = {
    "sphere": Shape(lambda: sphere(0.5, 3), lambda: sphere(0.5, 6), round_out),
    "torus": Shape(lambda: torus(rows=48, columns=24), lambda: torus(rows=384, columns=192), ring_out),
    "displaced plane": Shape(plane, waves, slope),
    "wedge": Shape(wedge, wedge, flat_sides),
    "box corner": Shape(lambda: box((1.0, 0.8, 0.6)), lambda: box((1.0, 0.8, 0.6)), flat_sides),
}


@pytest.mark.parametrize(
    "layout", [LAYOUTS[0], *(pytest.param(layout, marks=pytest.mark.slow) for layout in LAYOUTS[1:])]
)
@pytest.mark.parametrize("name", SHAPES)
def test_shaded_normals_equal_the_surface(name: str, layout: str) -> None:
    shape = SHAPES[name]
    case = traced(laid_out(shape.low(), layout), shape.high())
    pixels = BakeNormal()(SilentRun(), **case.slots).pixels
    for truth, expected in (("own", own_normals(case)), ("surface", shape.surface(case))):
        fine = degrees(shaded(case, pixels / 65535), expected)
        coarse = degrees(shaded(case, to_8_bits(pixels) / 255), expected)
        print(f"{name}, {layout}, {truth}: 16 bit {figures(fine)}; 8 bit {figures(coarse)}")
        assert fine.mean() < 0.05
        assert coarse.mean() < 0.3
        assert np.percentile(coarse, 99) < 1.5


def own_normals(case: Case) -> np.ndarray:
    mesh, hits = case.high_poly.mesh, case.texel_hits
    corners = corner_normals(mesh, hard_half_edges(mesh, BakeNormal().hard_edge_angle_deg)).astype(np.float64)
    weights = np.concatenate([1 - hits.high_weights.sum(axis=1, keepdims=True), hits.high_weights], axis=1)
    return unit(np.einsum("tc,tcd->td", weights, corners[hits.high_face]))


def shaded(case: Case, stored: np.ndarray) -> np.ndarray:
    """World normals at the texels' centres, as MikkTSpace shaders form them."""
    vectors = stored.reshape(-1, 3)[case.texel_hits.index] * 2 - 1
    normal, tangent = case.low_at_texels(case.unwrapped.normals), case.low_at_texels(case.unwrapped.tangents)
    bitangent = np.sign(tangent[:, 3:]) * np.cross(normal, tangent[:, :3])
    return unit(vectors[:, :1] * tangent[:, :3] + vectors[:, 1:2] * bitangent + vectors[:, 2:] * normal)


def degrees(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(one, other), axis=1), (one * other).sum(axis=1)))


def figures(errors: np.ndarray) -> str:
    return f"mean {errors.mean():.4f} p99 {np.percentile(errors, 99):.3f} max {errors.max():.2f}"


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
