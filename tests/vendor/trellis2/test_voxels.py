import itertools

import pytest
import torch

from tests.vendor.trellis2.volumes import random_voxels, relative_error
from vendor.trellis2.dense_reference import sample_trilinear_dense
from vendor.trellis2.sparse_sampling import sample_trilinear
from vendor.trellis2.voxels import ABSENT, LARGEST_COORDINATE, SparseTensor, Voxels


def test_neighbours_are_those_that_a_dictionary_finds():
    voxels = random_voxels(edge=7, count=120)
    cells = [tuple(cell) for cell in voxels.coords.tolist()]
    row_of = {cell: row for row, cell in enumerate(cells)}
    for offset, step in enumerate(itertools.product((-1, 0, 1), repeat=3)):
        wanted = [row_of.get(tuple(c + s for c, s in zip(cell, step, strict=True)), ABSENT) for cell in cells]
        assert voxels.neighbours[offset].tolist() == wanted


def test_cells_at_the_ends_of_the_range_do_not_wrap_around():
    far = LARGEST_COORDINATE
    corners = Voxels(torch.tensor([[0, 0, 0], [0, 0, far], [0, far, 0], [far, 0, 0], [far, far, far]]).int())
    others = corners.neighbours[torch.arange(27) != 13]
    assert (others == ABSENT).all()
    assert corners.neighbours[13].tolist() == [0, 1, 2, 3, 4]


def test_looking_up_cells():
    voxels = random_voxels(edge=6, count=50)
    assert voxels.rows_of(voxels.coords).tolist() == list(range(50))
    outside = torch.tensor([[-1, 0, 0], [0, 6, 0], [LARGEST_COORDINATE + 1, 0, 0]])
    assert voxels.rows_of(outside).tolist() == [ABSENT] * 3


def test_the_table_is_made_once():
    voxels = random_voxels(edge=6, count=50)
    assert voxels.neighbours is voxels.neighbours


def test_rows_and_cells_have_to_match():
    with pytest.raises(ValueError, match="50 cells"):
        SparseTensor(random_voxels(edge=6, count=50), torch.zeros(49, 2))


def test_trilinear_sampling_equals_the_dense_twin():
    voxels = random_voxels(edge=8, count=300)
    volume = SparseTensor(voxels, torch.randn(300, 5, generator=torch.Generator().manual_seed(0)))
    points = torch.rand(500, 3, generator=torch.Generator().manual_seed(1)) * 8
    wanted = sample_trilinear_dense(volume, points, edge=8)
    assert relative_error(sample_trilinear(volume, points), wanted) < 1e-4


def test_trilinear_sampling_at_a_centre_is_the_cell_and_far_away_is_zero():
    voxels = random_voxels(edge=8, count=300)
    volume = SparseTensor(voxels, torch.randn(300, 5, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(sample_trilinear(volume, voxels.coords + 0.5), volume.features)
    assert (sample_trilinear(volume, torch.full((1, 3), 50.0)) == 0).all()
