import torch

from tests.vendor.trellis2.volumes import random_volume, random_voxels
from vendor.trellis2.dense_reference import channel_to_space_dense, from_dense, to_dense
from vendor.trellis2.subdivision import Subdivision, channel_to_space, space_to_channel
from vendor.trellis2.voxels import SparseTensor


def random_subdivision(volume: SparseTensor) -> Subdivision:
    present = torch.rand(len(volume.voxels), 8, generator=torch.Generator().manual_seed(3)) > 0.5
    return Subdivision(volume.voxels, present)


def test_channel_to_space_equals_the_dense_twin():
    volume = random_volume(edge=5, count=70, channels=24)
    subdivision = random_subdivision(volume)
    found = channel_to_space(volume, subdivision)
    wanted = from_dense(channel_to_space_dense(to_dense(volume, edge=5)[0]), subdivision.children)
    assert len(found.voxels) == int(subdivision.present.sum())
    assert torch.equal(found.features, wanted.features)


def test_octants_count_x_first():
    volume = SparseTensor(random_voxels(edge=1, count=1), torch.arange(8.0)[None])
    children = channel_to_space(volume, Subdivision(volume.voxels, torch.ones(1, 8, dtype=torch.bool)))
    wanted = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]]
    assert children.voxels.coords.tolist() == wanted
    assert children.features[:, 0].tolist() == list(range(8))


def test_space_to_channel_is_undone_by_channel_to_space():
    fine = random_volume(edge=10, count=200, channels=3)
    coarse, subdivision = space_to_channel(fine)
    assert coarse.features.shape == (len(coarse.voxels), 24)
    back = channel_to_space(coarse, subdivision)
    rows = back.voxels.rows_of(fine.voxels.coords).long()
    assert (rows >= 0).all()
    assert len(back.voxels) == len(fine.voxels)
    assert torch.equal(back.features[rows], fine.features)


def test_absent_children_leave_zeros():
    fine = SparseTensor(random_voxels(edge=1, count=1), torch.ones(1, 2))
    coarse, subdivision = space_to_channel(fine)
    assert coarse.features.tolist() == [[1.0, 1.0] + [0.0] * 14]
    assert subdivision.present.tolist() == [[True] + [False] * 7]
