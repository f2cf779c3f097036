import numpy as np
import torch

from bridge_server.values.mesh import Mesh, is_watertight
from tests.vendor.trellis2.analytic_grids import encode, sample, sphere
from tests.vendor.trellis2.test_sparse_decoder import tiny
from tests.vendor.trellis2.volumes import random_volume
from vendor.trellis2.decoding import as_attributes, as_dual_grid, assemble, decode_shape, decode_texture
from vendor.trellis2.voxels import SparseTensor


def test_outputs_of_the_shape_decoder_mean_a_dual_grid():
    grid = encode(sample(sphere, 8))
    share = (grid.offsets + 0.5) / 2
    raw = torch.cat(
        [
            torch.logit(share),
            torch.where(grid.crossed, 3.0, -3.0),
            torch.log(torch.expm1(grid.split_weight))[:, None],
        ],
        dim=1,
    )
    found = as_dual_grid(SparseTensor(grid.voxels, raw))
    assert torch.allclose(found.offsets, grid.offsets, atol=1e-5)
    assert torch.equal(found.crossed, grid.crossed)
    assert torch.allclose(found.split_weight, grid.split_weight, atol=1e-5)


def test_base_colour_is_brought_to_linear_light_and_the_rest_is_not():
    raw = torch.tensor([[-1.0, 0.0, 1.0, 0.0, 0.5, 3.0]])
    found = as_attributes(raw)[0].numpy()
    np.testing.assert_allclose(found, [0.0, 0.21404114, 1.0, 0.5, 0.75, 1.0], atol=1e-6)
    assert raw[0, 5] == 3.0


def test_latents_become_arrays():
    latent = random_volume(edge=5, count=40, channels=4)
    grid, subdivisions = decode_shape(tiny(predicts_subdivision=True), latent)
    voxels, attributes = decode_texture(tiny(predicts_subdivision=False), latent, subdivisions)
    asset = assemble(grid, voxels, attributes, resolution=20)
    assert asset.positions.dtype == np.float32
    assert asset.faces.dtype == np.int32
    assert len(asset.coords) == len(asset.attributes) == len(grid.voxels)
    assert asset.coords.min() >= 0
    assert asset.coords.max() < 20
    assert 0 <= asset.attributes.min() <= asset.attributes.max() <= 1


def test_a_closed_solid_with_every_attribute_assembles_closed():
    grid = encode(sample(sphere, 8))
    asset = assemble(grid, grid.voxels, torch.zeros(len(grid.voxels), 6), resolution=8)
    assert is_watertight(Mesh(positions_m=asset.positions, faces=asset.faces))
