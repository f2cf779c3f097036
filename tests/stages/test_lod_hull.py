"""The last level as a closed hull: what it shows of the maps, and that it goes where every level goes."""

import io
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.run import SilentRun
from bridge_server.stages.export import Export
from bridge_server.stages.export_files import ExportTarget
from bridge_server.stages.lods import Lods
from bridge_server.values.collision import Collision, CollisionPiece, CollisionShape
from bridge_server.values.mesh import is_watertight, volume_m3
from bridge_server.values.placement import Pivot, Placement
from tests import shapes, unwrapped_shapes
from tests.referees import node
from tests.unwrapped_shapes import CUBE_SIDES, GUTTER, unwrapped_ball, unwrapped_box


def chain_of(unwrapped, **fields):
    backends = (kind.load(kind.choose("auto")) for kind in (MESH_FILTERS, RAYCASTERS))
    return Lods(count=2, last_level_hull=True, **fields)(SilentRun(), *backends, unwrapped=unwrapped)


@pytest.fixture(scope="module")
def ball():
    ball = unwrapped_ball(0.5, 12)
    return replace(ball, lightmap_uvs=(ball.uvs * 0.5 + 0.25).astype(np.float32), lightmap_px=64)


@pytest.fixture(scope="module")
def chain(ball):
    return chain_of(ball)


def shown_and_meant(mesh):
    """Places on a level of the ball, and those of which the maps show the colour there."""
    weights = np.random.default_rng(0).dirichlet((1, 1, 1), 8)
    uv = np.einsum("kc,fcd->fkd", weights, mesh.uvs[mesh.faces]).reshape(-1, 2)
    shown = np.einsum("kc,fcd->fkd", weights, mesh.positions_m[mesh.faces]).reshape(-1, 3)
    side = np.repeat(mesh.charts, len(weights))
    local = (uv * (3.0, 2.0) - np.stack([side % 3, side // 3], 1) - GUTTER) / (1 - 2 * GUTTER)
    normal, right, up = np.array(CUBE_SIDES, np.float64)[side].transpose(1, 0, 2)
    cube = normal + right * (2 * local[:, :1] - 1) + up * (1 - 2 * local[:, 1:])
    return shown, 0.5 * cube / np.linalg.norm(cube, axis=1, keepdims=True)


def test_it_is_closed_light_and_the_last(chain):
    hull = chain.lods[-1]
    assert len(chain.lods) == 2
    assert 280 <= len(hull.mesh.faces) <= 300
    assert is_watertight(hull.mesh.welded_mesh())
    assert hull.seam_gap_m == 0.0
    assert volume_m3(hull.mesh.welded_mesh()) == pytest.approx(np.pi / 6, rel=0.05)
    diagonal = chain.lods[0].mesh.welded_mesh().diagonal_m
    assert hull.error_m < 0.008 * diagonal
    assert hull.error_m / diagonal * hull.screen_size * 1080 <= 1.001


def test_no_face_leaves_its_chart(chain, ball):
    mesh = chain.lods[-1].mesh
    cell = np.stack([mesh.charts % 3, mesh.charts // 3], 1) / (3.0, 2.0)
    local = (mesh.uvs[mesh.faces] - cell[:, None]) * (3.0, 2.0)
    margin = 3.0 * 0.5 * ball.padding_px / ball.atlas_px
    assert local.min() >= GUTTER - margin
    assert local.max() <= 1 - GUTTER + margin
    assert set(np.unique(mesh.charts)) == set(range(6))


def test_it_shows_the_colours_of_the_place_it_covers(chain):
    shown, meant = shown_and_meant(chain.lods[-1].mesh)
    away = np.linalg.norm(shown - meant, axis=1)
    assert np.median(away) < 0.03
    assert np.quantile(away, 0.95) < 0.15  # faces across a seam show what their chart has nearest


def test_normals_are_those_of_level_0_and_tangents_fit(chain):
    mesh = chain.lods[-1].mesh
    unit = mesh.positions_m / np.linalg.norm(mesh.positions_m, axis=1, keepdims=True)
    assert np.einsum("ij,ij->i", mesh.normals, unit).min() > 0.98
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(mesh.tangents[:, :3], axis=1), 1.0, atol=1e-4)
    assert np.abs(np.einsum("ij,ij->i", mesh.tangents[:, :3], mesh.normals)).max() < 1e-3


def test_coordinates_for_baked_light_go_along(chain):
    mesh = chain.lods[-1].mesh
    np.testing.assert_allclose(mesh.lightmap_uvs, mesh.uvs * 0.5 + 0.25, atol=1e-6)


def test_hard_edges_stay_hard_and_mirrored_charts_mirrored():
    mesh = chain_of(unwrapped_box(cells=8, mirrored_chart=2), hull_triangles=60).lods[-1].mesh
    sharp = np.abs(mesh.normals).max(axis=1) > 0.999
    assert sharp.mean() > 0.9
    of_vertex = np.zeros(len(mesh.positions_m), int)
    of_vertex[mesh.faces.reshape(-1)] = np.repeat(mesh.charts, 3)
    np.testing.assert_array_equal(mesh.tangents[:, 3], np.where(of_vertex == 2, -1.0, 1.0))


def test_charts_of_one_triangle_each_still_serve(ball):
    """No face of the hull fits into such a chart: each shows a part of one triangle, and none two."""
    corner = ball.faces.reshape(-1)
    middle = np.repeat(ball.uvs[ball.faces].mean(axis=1), 3, axis=0)
    loose = replace(
        ball,
        **{key: getattr(ball, key)[corner] for key in ("positions_m", "normals", "tangents", "welded")},
        uvs=(middle + 0.6 * (ball.uvs[corner] - middle)).astype(np.float32),
        lightmap_uvs=None,
        lightmap_px=0,
        padding_px=0,
        faces=np.arange(len(corner), dtype=np.int32).reshape(-1, 3),
        charts=np.arange(len(ball.faces), dtype=np.int32),
    )
    mesh = chain_of(loose).lods[-1].mesh
    assert is_watertight(mesh.welded_mesh())
    triangle = loose.uvs[loose.faces[mesh.charts]].astype(np.float64)
    edges = np.stack([triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0]], axis=2)
    offset = mesh.uvs[mesh.faces].astype(np.float64) - triangle[:, :1]
    weights = np.linalg.solve(edges[:, None], offset[..., None])[..., 0]
    assert weights.min() > -1e-3
    assert weights.sum(axis=2).max() < 1 + 1e-3


def test_an_inner_head_does_not_show_on_the_helmet(ball):
    """A smaller ball with charts of its own hides inside; the coarse hull cuts deep, towards it."""
    inner = unwrapped_ball(0.47, 12)
    shift = len(ball.positions_m)
    both = replace(
        ball,
        **{
            key: np.concatenate([getattr(ball, key), getattr(inner, key)])
            for key in ("positions_m", "normals", "tangents", "uvs")
        },
        lightmap_uvs=None,
        lightmap_px=0,
        faces=np.concatenate([ball.faces, inner.faces + shift]).astype(np.int32),
        charts=np.concatenate([ball.charts, inner.charts + 6]).astype(np.int32),
        welded=np.concatenate([ball.welded, inner.welded + ball.welded.max() + 1]).astype(np.int32),
    )
    assert chain_of(both, hull_triangles=40).lods[-1].mesh.charts.max() < 6


def test_a_hull_that_saves_nothing_is_left_out_and_told():
    chain = chain_of(unwrapped_box())
    assert len(chain.lods) == 1
    assert {notice.code for notice in chain.notices} == {"no_lod_hull"}


def test_results_repeat_to_the_byte(chain, ball):
    again = chain_of(ball).lods[-1].mesh
    for key in ("positions_m", "normals", "tangents", "uvs", "faces", "charts", "welded"):
        assert getattr(again, key).tobytes() == getattr(chain.lods[-1].mesh, key).tobytes()


def exported(chain, target):
    piece = CollisionPiece(shape=CollisionShape.CONVEX, mesh=shapes.sphere(0.5, 1))
    files = Export(asset_name="Orb", target=target)(
        SilentRun(),
        lods=chain,
        collision=Collision(pieces=(piece,), containment=1.0, excess_volume=0.0, method="test"),
        placement=Placement(scale=1.0, translation_m=(0.0, 0.0, 0.0), pivot=Pivot.CENTER, height_cm=100.0),
        normal=unwrapped_shapes.normal_map(32),
        albedo=unwrapped_shapes.albedo_map(32),
        packed=unwrapped_shapes.packed_map(32),
    )
    return {file.path: file.data for file in files.files}


def test_glb_and_fbx_hold_it_like_any_level(chain):
    count = len(chain.lods[-1].mesh.faces)
    glb = exported(chain, ExportTarget.UE5)["SM_Orb_LOD1.glb"]
    node.assert_valid_glb(glb)
    read = trimesh.load(io.BytesIO(glb), file_type="glb", process=False)
    assert len(read.geometry["SM_Orb_LOD1"].faces) == count
    levels = node.assimp_read(exported(chain, ExportTarget.UNITY_HDRP)["SM_Orb.fbx"])["meshes"]
    assert {part["name"]: len(part["faces"]) for part in levels} == {"SM_Orb_LOD0": 12 * 144, "SM_Orb_LOD1": count}
