"""Small sparse volumes with random features."""

import torch

from vendor.trellis2.voxels import SparseTensor, Voxels, occupied_voxels


def random_voxels(edge: int, count: int, seed: int = 0) -> Voxels:
    """Distinct cells of a grid in no order."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randperm(edge**3, generator=generator)[:count]
    coords = torch.stack([places // edge**2, places // edge % edge, places % edge], dim=1)
    return Voxels(coords.to(torch.int32))


def random_volume(edge: int, count: int, channels: int, seed: int = 0) -> SparseTensor:
    generator = torch.Generator().manual_seed(seed + 1)
    return SparseTensor(random_voxels(edge, count, seed), torch.randn(count, channels, generator=generator))


def shell_voxels(edge: int) -> Voxels:
    """The cells around a sphere: what a decoder's levels look like."""
    axis = torch.arange(edge) + 0.5 - edge / 2
    distance = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt()
    return occupied_voxels((distance - 0.4 * edge).abs() < 0.87)


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Largest difference over largest value."""
    assert found.shape == wanted.shape
    return float((found.double() - wanted.double()).abs().max() / wanted.double().abs().max())
