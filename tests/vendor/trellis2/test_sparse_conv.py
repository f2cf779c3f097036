import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.vendor.trellis2.volumes import random_volume, relative_error, shell_voxels
from vendor.trellis2.dense_reference import masked_conv3d
from vendor.trellis2.sparse_conv import ConvSettings, SparseConv3d, best_path, configure
from vendor.trellis2.voxels import SparseTensor, Voxels

ROOT = Path(__file__).parents[3]
ON_THE_PROCESSOR = ("per_offset", "gathered")


def convolution(in_channels: int, out_channels: int, settings: ConvSettings) -> SparseConv3d:
    torch.manual_seed(0)
    layer = SparseConv3d(in_channels, out_channels)
    configure(layer, settings)
    return layer.requires_grad_(False)


@pytest.mark.parametrize("path", ON_THE_PROCESSOR)
@pytest.mark.parametrize("block_bytes", [1, 128 << 20])
@pytest.mark.parametrize("count", [1, 600])
def test_equals_the_dense_twin(path, block_bytes, count):
    volume = random_volume(edge=9, count=count, channels=6)
    layer = convolution(6, 10, ConvSettings(path=path, block_bytes=block_bytes))
    wanted = masked_conv3d(volume, layer.weight, layer.bias, edge=9)
    for _ in range(2):  # a second time, since the first must not have changed the weights
        assert relative_error(layer(volume).features, wanted.features) < 1e-4


@pytest.mark.parametrize("path", ON_THE_PROCESSOR)
def test_equals_the_dense_twin_at_the_widest_official_layer(path):
    volume = random_volume(edge=5, count=60, channels=1024)
    layer = convolution(1024, 1024, ConvSettings(path=path))
    wanted = masked_conv3d(volume, layer.weight, layer.bias, edge=5)
    assert relative_error(layer(volume).features, wanted.features) < 1e-4


def test_the_order_of_cells_does_not_matter():
    volume = random_volume(edge=9, count=300, channels=6)
    layer = convolution(6, 10, ConvSettings())
    turned = SparseTensor(Voxels(volume.voxels.coords.flip(0)), volume.features.flip(0))
    assert relative_error(layer(turned).features.flip(0), layer(volume).features) < 1e-6


@pytest.mark.parametrize("path", ON_THE_PROCESSOR)
def test_half_precision_stays_close_to_single(path):
    volume = SparseTensor(shell_voxels(12), torch.randn(len(shell_voxels(12)), 16))
    layer = convolution(16, 16, ConvSettings(path=path))
    wanted = layer(volume).features
    halved = layer.half()(volume.holding(volume.features.half())).features
    assert halved.dtype == torch.float16
    assert relative_error(halved.float(), wanted) < 5e-3


def test_the_processor_multiplies_only_what_is_there():
    assert best_path(torch.device("cpu")) == "per_offset"


def test_the_same_twice():
    volume = random_volume(edge=9, count=300, channels=6)
    layer = convolution(6, 10, ConvSettings())
    assert torch.equal(layer(volume).features, layer(volume).features)


BY_INTERPRETER = """
import torch
from tests.vendor.trellis2.test_sparse_conv import convolution
from tests.vendor.trellis2.volumes import random_volume, relative_error
from vendor.trellis2.dense_reference import masked_conv3d
from vendor.trellis2.sparse_conv import ConvSettings
for count, channels in ((150, (16, 24)), (1, (8, 8))):
    volume = random_volume(edge=6, count=count, channels=channels[0])
    layer = convolution(*channels, ConvSettings(path="triton"))
    wanted = masked_conv3d(volume, layer.weight, layer.bias, edge=6)
    assert relative_error(layer(volume).features, wanted.features) < 1e-4
"""


def test_the_triton_kernel_by_its_interpreter():
    """What the kernel computes, where there is Triton but no card; the interpreter has to be chosen before import."""
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", BY_INTERPRETER], cwd=ROOT, env=environment, check=True, timeout=120)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("channels", [(16, 24), (128, 512)])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-4), (torch.float16, 5e-3), (torch.bfloat16, 3e-2)])
def test_triton_equals_the_dense_twin(channels, dtype, limit):
    pytest.importorskip("triton")
    volume = random_volume(edge=12, count=900, channels=channels[0])
    layer = convolution(*channels, ConvSettings(path="triton"))
    wanted = masked_conv3d(volume, layer.weight, layer.bias, edge=12)
    on_card = SparseTensor(Voxels(volume.voxels.coords.cuda()), volume.features.cuda().to(dtype))
    assert relative_error(layer.to("cuda", dtype)(on_card).features.float().cpu(), wanted.features) < limit
