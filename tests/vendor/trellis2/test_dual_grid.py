import functools

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from bridge_server.values.mesh import Mesh, is_watertight, volume_m3
from bridge_server.values.mesh_winding import oriented_outward
from tests.vendor.trellis2.analytic_grids import DenseField, dual_contour, encode, sample, sphere, torus
from vendor.trellis2.dual_grid import DualGrid, extract_mesh
from vendor.trellis2.voxels import Voxels

RESOLUTION = 20
SOLIDS = {"sphere": sphere, "torus": torus}
GENUS = {"sphere": 0, "torus": 1}


@functools.cache
def solid(name: str) -> DenseField:
    return sample(SOLIDS[name], RESOLUTION)


def mesh_of(grid: DualGrid) -> Mesh:
    positions, faces = extract_mesh(grid, RESOLUTION)
    return Mesh(positions_m=positions.numpy(), faces=faces.int().numpy())


@pytest.mark.parametrize("name", SOLIDS)
def test_faces_are_those_of_an_independent_dual_contouring(name):
    dense, grid = solid(name), encode(solid(name))
    weight = {tuple(cell): float(w) for cell, w in zip(grid.voxels.coords.tolist(), grid.split_weight, strict=True)}
    wanted = set()
    for a, b, c, d in dual_contour(dense):
        cut = weight[a] * weight[c] > weight[b] * weight[d]
        wanted |= {from_smallest(t) for t in ([(a, b, c), (a, c, d)] if cut else [(a, b, d), (b, c, d)])}
    mesh, _ = oriented_outward(mesh_of(grid))
    cells = np.argwhere(~np.isnan(dense.vertices[..., 0]))
    apart, row = cKDTree(dense.vertices[tuple(cells.T)] / RESOLUTION - 0.5).query(mesh.positions_m)
    assert apart.max() < 1e-6
    found = {from_smallest([tuple(cell) for cell in corners]) for corners in cells[row[mesh.faces]].tolist()}
    assert len(found) == len(mesh.faces)
    assert found == wanted


def from_smallest(triangle):
    """The corners in the same sense, starting at the smallest."""
    first = triangle.index(min(triangle))
    return (*triangle[first:], *triangle[:first])


@pytest.mark.parametrize("name", SOLIDS)
def test_closed_solids_come_back_closed_with_their_genus(name):
    mesh = mesh_of(encode(solid(name)))
    assert is_watertight(mesh)
    edges = {
        tuple(sorted(pair)) for face in mesh.faces.tolist() for pair in zip(face, face[1:] + face[:1], strict=True)
    }
    assert len(mesh.positions_m) - len(edges) + len(mesh.faces) == 2 - 2 * GENUS[name]
    outward, winding = oriented_outward(mesh)
    assert winding.conflicts == 0
    assert volume_m3(outward) > 0


@pytest.mark.parametrize("name", SOLIDS)
def test_surface_stays_within_half_a_voxel(name):
    mesh = mesh_of(encode(solid(name)))
    corners = mesh.positions_m[mesh.faces].astype(float)
    points = np.concatenate([mesh.positions_m, corners.mean(axis=1), (corners[:, 0] + corners[:, 1]) / 2])
    assert np.abs(SOLIDS[name](points)).max() * RESOLUTION < 0.5


def test_a_quad_without_all_its_cells_is_left_out_and_so_are_unused_vertices():
    grid = encode(solid("sphere"))
    kept = torch.ones(len(grid.voxels), dtype=torch.bool)
    kept[0] = False
    holed = DualGrid(Voxels(grid.voxels.coords[kept]), grid.offsets[kept], grid.crossed[kept], grid.split_weight[kept])
    mesh = mesh_of(holed)
    assert not is_watertight(mesh)
    assert 0 < len(mesh_of(grid).faces) - len(mesh.faces) <= 12
    assert set(mesh.faces.ravel().tolist()) == set(range(len(mesh.positions_m)))


def test_no_crossed_edge_gives_an_empty_mesh():
    grid = encode(solid("sphere"))
    mesh = mesh_of(DualGrid(grid.voxels, grid.offsets, torch.zeros_like(grid.crossed), grid.split_weight))
    assert mesh.positions_m.shape == (0, 3)
    assert mesh.faces.shape == (0, 3)
