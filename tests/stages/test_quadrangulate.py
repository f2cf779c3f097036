"""Quads: how many, how square, never a triangle lost or moved, and files that hold them."""

import numpy as np
import pytest

from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.backends.unwrapper.base import UNWRAPPERS
from bridge_server.errors import Cancelled
from bridge_server.run import CallbackRun, SilentRun
from bridge_server.stages.decimate import Decimate
from bridge_server.stages.export_model import MaterialFiles, Model, render_mesh
from bridge_server.stages.fbx_writer import write_fbx
from bridge_server.stages.load_mesh import LoadMesh
from bridge_server.stages.obj_writer import write_obj
from bridge_server.stages.quad_field import cross_field
from bridge_server.stages.quad_matching import matched
from bridge_server.stages.quadrangulate import QuadMode, Quadrangulate
from bridge_server.stages.unwrap import Unwrap
from bridge_server.values.mesh import LowPoly, Mesh
from bridge_server.values.placement import Pivot, Placement
from bridge_server.values.source import MeshSource
from tests import shapes, unwrapped_shapes
from tests.referees import node as referee

STILL = Placement(scale=1.0, translation_m=(0.0, 0.0, 0.0), pivot=Pivot.CENTER, height_cm=100.0)


def sheet(cells=12, wave_m=0.0):
    """Open square, bent to a wave."""
    x, z = np.meshgrid(np.linspace(0, 1, cells + 1), np.linspace(0, 1, cells + 1), indexing="ij")
    place = np.stack([x, wave_m * np.sin(4 * x) * np.cos(3 * z), z], axis=-1)
    return shapes.grid_surface(cells + 1, cells + 1, place, wrap_rows=False, wrap_columns=False)


def unwrapped(mesh):
    low_poly = LowPoly(
        mesh=mesh, target_triangle_count=len(mesh.faces), hausdorff_m=0.0, mean_distance_m=0.0, method="test"
    )
    return Unwrap()(SilentRun(), UNWRAPPERS.load(UNWRAPPERS.choose("auto")), low_poly=low_poly)


def decimated(mesh, count):
    backends = [kind.load(kind.choose("auto")) for kind in (MESH_FILTERS, RAYCASTERS)]
    return Decimate(triangle_count=count)(SilentRun(), *backends, high_poly=shapes.painted(mesh)).mesh


def quads_of(mesh, **fields):
    return Quadrangulate(**{"mode": QuadMode.PAIRS, **fields})(SilentRun(), unwrapped=mesh)


def assert_sound(mesh, layout, max_deg=160.0, bend_deg=45.0):
    """No triangle twice, each quad is its two triangles, convex, and no half of either split turns over."""
    used = layout.faces.reshape(-1)
    assert len(np.unique(used)) == len(used)
    assert layout.triangle_share == pytest.approx(len(used) / len(mesh.faces))
    halves = np.stack([layout.corners[:, [0, 1, 2]], layout.corners[:, [0, 2, 3]]], axis=1)
    first = np.sort(np.array([_turned(face) for face in mesh.faces[used]]).reshape(-1, 2, 3), axis=1)
    np.testing.assert_array_equal(
        np.sort(np.array([_turned(f) for f in halves.reshape(-1, 3)]).reshape(first.shape), 1), first
    )
    places = mesh.positions_m.astype(np.float64)[layout.corners]
    onward, back = np.roll(places, -1, 1) - places, np.roll(places, 1, 1) - places
    cosine = (onward * back).sum(-1) / np.linalg.norm(onward, axis=-1) / np.linalg.norm(back, axis=-1)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max(initial=0.0) <= max_deg + 1e-3
    normals = np.cross(onward, back)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    for a, b in ((1, 3), (0, 2)):
        assert (normals[:, a] * normals[:, b]).sum(-1).min(initial=1.0) >= np.cos(np.radians(bend_deg)) - 1e-6


def _turned(face):
    start = int(np.argmin(face))
    return [int(face[(start + k) % 3]) for k in range(3)]


@pytest.mark.parametrize(
    "mesh",
    [unwrapped_shapes.unwrapped_box(), unwrapped_shapes.unwrapped_box(cells=6), unwrapped_shapes.unwrapped_ball()],
    ids=["box", "box grid", "ball grid"],
)
def test_a_regular_grid_becomes_quads_and_nothing_else(mesh):
    layout = quads_of(mesh)
    assert layout.triangle_share == 1.0
    assert_sound(mesh, layout)
    sides = mesh.charts[layout.faces]
    assert (sides[:, 0] == sides[:, 1]).all()


def test_a_plane_becomes_its_grid_again():
    mesh = unwrapped(sheet())
    layout = quads_of(mesh)
    assert layout.triangle_share == 1.0
    assert layout.angle_deviation_deg == pytest.approx(0.0, abs=1e-3)
    assert [notice.code for notice in layout.notices] == ["quadrangulated"]


@pytest.mark.parametrize(
    ("make", "count", "most_deviation_deg"),
    [
        (lambda: shapes.sphere(0.5, 3), None, 30.0),
        (lambda: shapes.torus(rows=48, columns=24), None, 5.0),
        (lambda: sheet(20, 0.1), None, 12.0),
        pytest.param(shapes.torus, 1200, 35.0, marks=pytest.mark.slow),
        (lambda: shapes.sphere(0.5, 4), 800, 35.0),
        pytest.param(lambda: sheet(40, 0.1), 600, 35.0, marks=pytest.mark.slow),
    ],
    ids=["sphere", "torus", "wave", "decimated torus", "decimated sphere", "decimated wave"],
)
def test_most_triangles_lie_in_quads(make, count, most_deviation_deg):
    mesh = make()
    mesh = unwrapped(decimated(mesh, count) if count else mesh)
    layout = quads_of(mesh)
    assert layout.triangle_share > 0.8
    assert layout.angle_deviation_deg < most_deviation_deg
    assert_sound(mesh, layout)
    again = quads_of(mesh)
    assert (again.faces == layout.faces).all()
    assert (again.corners == layout.corners).all()


def test_limits_hold_and_a_warning_tells_of_few_quads():
    mesh = unwrapped(shapes.sphere(0.5, 2))
    layout = quads_of(mesh, max_corner_deviation_deg=29.0)
    assert layout.triangle_share < 0.6
    assert_sound(mesh, layout, max_deg=119.0)
    (notice,) = layout.notices
    assert notice.code == "few_quads"
    assert "max_corner_deviation_deg" in notice.remedy


def test_off_makes_none_and_says_nothing():
    layout = quads_of(unwrapped_shapes.unwrapped_box(), mode=QuadMode.OFF)
    assert len(layout.faces) == 0
    assert layout.notices == ()


def test_the_field_follows_the_border():
    field = cross_field(sheet(6), SilentRun())
    square = np.abs(field.edges - field.crosses[:, None]) < 1e-6
    assert (square.sum(axis=1) == 2).all()  # two sides of each triangle along the grid, one across


def test_chains_free_nobody():
    """The best pair would leave both ends of a row of four alone."""
    pairs = np.array([[0, 1], [1, 2], [2, 3]])
    assert matched(4, pairs, np.array([0.5, 0.9, 0.5]), SilentRun()).tolist() == [0, 2]
    assert matched(3, pairs[:2], np.array([0.5, 0.9]), SilentRun()).tolist() == [1]


@pytest.mark.parametrize("make", [lambda: shapes.torus(rows=24, columns=12), lambda: shapes.sphere(0.5, 2)])
def test_files_hold_the_quads_and_the_same_surface(make):
    mesh = unwrapped(make())
    layout = quads_of(mesh)
    model = Model(meshes=(render_mesh("SM_Q", mesh, STILL, layout),), hulls=(), material=MaterialFiles(name="MI_Q"))
    obj = write_obj(model, "q.mtl")
    sizes = [len(line.split()) - 1 for line in obj.decode().splitlines() if line.startswith("f ")]
    single = len(mesh.faces) - 2 * len(layout.faces)
    assert (sizes.count(4), sizes.count(3), len(sizes)) == (len(layout.faces), single, len(layout.faces) + single)
    for name, data in (("q.obj", obj), ("q.fbx", write_fbx(model))):
        read = LoadMesh()(SilentRun(), mesh_source=MeshSource(name=name, data=data)).mesh
        assert triangles_of(read) == triangles_of(mesh.welded_mesh())


def triangles_of(mesh: Mesh):
    """The places of all triangles, whatever their order and first corner, to a tenth of a millimetre."""
    places = np.round(mesh.positions_m.astype(np.float64) * 1e4).astype(int) + 0
    rows = (tuple(map(tuple, corner.tolist())) for corner in places[mesh.faces])
    return sorted(min(row[k:] + row[:k] for k in range(3)) for row in rows)


def test_assimp_reads_polygons_of_the_fbx():
    mesh = unwrapped_shapes.unwrapped_box(cells=2)
    model = Model(
        meshes=(render_mesh("SM_Q", mesh, STILL, quads_of(mesh)),), hulls=(), material=MaterialFiles(name="MI_Q")
    )
    (part,) = referee.assimp_read(write_fbx(model))["meshes"]
    assert {len(face) for face in part["faces"]} <= {3, 4}
    assert sum(len(face) - 2 for face in part["faces"]) == len(mesh.faces)


def test_cancellation_is_heard():
    def stop(fraction, note):
        raise Cancelled

    with pytest.raises(Cancelled):
        Quadrangulate(mode=QuadMode.PAIRS)(CallbackRun(stop), unwrapped=unwrapped_shapes.unwrapped_box())
