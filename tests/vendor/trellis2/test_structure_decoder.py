import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.vendor.trellis2.volumes import relative_error
from vendor.trellis2.norms import ChannelNorm, FeatureNorm
from vendor.trellis2.sparse_decoder import set_torso_dtype
from vendor.trellis2.structure_decoder import (
    ResidualBlock,
    StructureDecoder,
    StructureDecoderConfig,
    occupancy,
    pixel_shuffle_3d,
)


def spread(module: nn.Module) -> nn.Module:
    """Random parameters for norms too, so that none of them hides behind ones and zeros."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "norm" in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module.requires_grad_(False)


def test_feature_norm_in_half_precision_computes_in_single():
    rows = torch.randn(50, 32, generator=torch.Generator().manual_seed(0)) * 100 + 300
    norm = spread(FeatureNorm(32))
    wide = rows.half().double()
    centred = wide - wide.mean(dim=1, keepdim=True)
    wanted = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-6).sqrt() * norm.weight + norm.bias
    assert relative_error(norm(rows.half().float()), wanted) < 1e-5
    assert norm(rows.half()).dtype == torch.float16
    assert relative_error(norm(rows.half()).float(), wanted) < 1e-3


def test_channel_norm_normalises_each_cell():
    volume = torch.randn(1, 16, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    norm = spread(ChannelNorm(16))
    mean = volume.mean(dim=1, keepdim=True)
    variance = volume.var(dim=1, unbiased=False, keepdim=True)
    scale, shift = (p.view(1, 16, 1, 1, 1) for p in (norm.weight, norm.bias))
    assert relative_error(norm(volume), (volume - mean) / (variance + 1e-5).sqrt() * scale + shift) < 1e-5


def test_pixel_shuffle_moves_channels_to_the_right_cells():
    volume = torch.arange(16.0 * 2 * 3 * 4).view(1, 16, 2, 3, 4)
    fine = pixel_shuffle_3d(volume)
    assert fine.shape == (1, 2, 4, 6, 8)
    for channel, i, j, k in ((0, 0, 0, 0), (1, 1, 0, 1), (1, 0, 1, 1)):
        wanted = volume[0, 8 * channel + 4 * i + 2 * j + k]
        assert torch.equal(fine[0, channel, i::2, j::2, k::2], wanted)


def test_a_full_size_block_follows_its_formula():
    torch.manual_seed(0)
    block = spread(ResidualBlock(512))
    volume = torch.randn(1, 512, 3, 3, 3)

    def step(x, norm, conv):
        rows = x.movedim(1, -1).reshape(-1, 512)
        y = functional.silu(normal(rows[:, :, None], norm)).reshape(1, 3, 3, 3, 512).movedim(-1, 1)
        return functional.conv3d(y, conv.weight, conv.bias, padding=1)

    def normal(x, norm):  # one group over the channels of one cell is a layer norm
        return functional.group_norm(x, 1, norm.weight, norm.bias, 1e-5)

    wanted = volume + step(step(volume, block.norm1, block.conv1), block.norm2, block.conv2)
    assert relative_error(block(volume), wanted) < 1e-4


def tiny() -> StructureDecoder:
    torch.manual_seed(0)
    config = StructureDecoderConfig(latent_channels=4, num_res_blocks=1, num_res_blocks_middle=1, channels=(16, 8, 4))
    return StructureDecoder(config).eval().requires_grad_(False)


def test_four_times_as_fine():
    logits = tiny()(torch.randn(1, 4, 4, 4, 4))
    assert logits.shape == (1, 1, 16, 16, 16)


def test_half_precision_torso_keeps_the_ends_in_single():
    decoder = tiny()
    latent = torch.randn(1, 4, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    wanted = decoder(latent)
    set_torso_dtype(decoder, torch.float16)
    kinds = {name: p.dtype for name, p in decoder.named_parameters()}
    assert kinds["input_layer.weight"] == kinds["out_layer.2.weight"] == kinds["blocks.0.norm1.weight"] == torch.float32
    assert kinds["blocks.0.conv1.weight"] == kinds["middle_block.0.conv2.weight"] == torch.float16
    found = decoder(latent)
    assert found.dtype == torch.float32
    assert relative_error(found, wanted) < 3e-2


def test_a_coarse_cell_is_there_where_any_fine_one_is():
    logits = torch.full((1, 1, 4, 4, 4), -1.0)
    logits[0, 0, 3, 0, 2] = 1.0
    assert occupancy(logits, 2).nonzero().tolist() == [[1, 0, 1]]
    assert occupancy(logits, 4).nonzero().tolist() == [[3, 0, 2]]
    with pytest.raises(ValueError, match="4 cells an edge"):
        occupancy(logits, 3)
