import pytest
import torch
from torch.nn import functional

from tests.vendor.trellis2.test_structure_decoder import spread
from tests.vendor.trellis2.volumes import random_volume, relative_error
from vendor.trellis2.dense_reference import channel_to_space_dense, from_dense, masked_conv3d, to_dense
from vendor.trellis2.sparse_decoder import (
    ConvNeXtBlock,
    NothingDecoded,
    SparseDecoder,
    SparseDecoderConfig,
    UpBlock,
    set_torso_dtype,
)
from vendor.trellis2.subdivision import Subdivision
from vendor.trellis2.voxels import SparseTensor


def tiny(*, predicts_subdivision: bool) -> SparseDecoder:
    torch.manual_seed(0)
    config = SparseDecoderConfig(
        out_channels=7 if predicts_subdivision else 6,
        predicts_subdivision=predicts_subdivision,
        latent_channels=4,
        model_channels=(32, 16, 8),
        num_blocks=(1, 2, 0),
    )
    return spread(SparseDecoder(config))


@pytest.mark.parametrize("channels", [24, 1024])
def test_convnext_block_follows_its_formula(channels):
    torch.manual_seed(0)
    block = spread(ConvNeXtBlock(channels))
    volume = random_volume(edge=4, count=40, channels=channels)
    mixed = masked_conv3d(volume, block.conv.weight, block.conv.bias, edge=4).features
    normal = functional.layer_norm(mixed, (channels,), block.norm.weight, block.norm.bias, 1e-6)
    first, last = block.mlp[0], block.mlp[2]
    wanted = volume.features + last(functional.silu(first(normal)))
    assert relative_error(block(volume).features, wanted) < 1e-4


def dense_up_block(block: UpBlock, volume: SparseTensor, subdivision: Subdivision, edge: int) -> SparseTensor:
    """The up-block on dense grids: every child is computed, then those that are there are read."""
    channels = volume.features.shape[1]
    normal = functional.layer_norm(volume.features, (channels,), block.norm1.weight, block.norm1.bias, 1e-6)
    wide = masked_conv3d(volume.holding(functional.silu(normal)), block.conv1.weight, block.conv1.bias, edge)
    children = from_dense(channel_to_space_dense(to_dense(wide, edge)[0]), subdivision.children)
    normal = functional.layer_norm(children.features, children.features.shape[1:], eps=1e-6)
    mixed = masked_conv3d(children.holding(functional.silu(normal)), block.conv2.weight, block.conv2.bias, 2 * edge)
    skip = from_dense(channel_to_space_dense(to_dense(volume, edge)[0]), subdivision.children).features
    repeats = mixed.features.shape[1] // skip.shape[1]
    return mixed.holding(mixed.features + skip.repeat_interleave(repeats, dim=1))


@pytest.mark.parametrize("channels", [32, 512])
def test_up_block_equals_its_dense_twin(channels):
    torch.manual_seed(0)
    block = spread(UpBlock(channels, channels // 2, predicts_subdivision=True))
    volume = random_volume(edge=4, count=30, channels=channels)
    found, subdivision = block(volume)
    assert torch.equal(subdivision.present, block.to_subdiv(volume.features) > 0)
    assert 0 < len(found.voxels) < 8 * 30
    wanted = dense_up_block(block, volume, subdivision, edge=4)
    assert relative_error(found.features, wanted.features) < 1e-4


def test_a_guided_up_block_takes_the_subdivision_it_is_given():
    block = spread(UpBlock(32, 16, predicts_subdivision=False))
    volume = random_volume(edge=4, count=30, channels=32)
    guide = Subdivision(volume.voxels, torch.rand(30, 8) > 0.5)
    found, returned = block(volume, guide)
    assert returned is guide
    assert found.voxels is guide.children
    with pytest.raises(ValueError, match="has to be given one"):
        block(volume)


def test_the_whole_decoder_equals_its_blocks_in_a_row():
    decoder = tiny(predicts_subdivision=True)
    latent = random_volume(edge=5, count=40, channels=4)
    found, subdivisions = decoder(latent)
    volume = latent.holding(decoder.from_latent(latent.features))
    for stage in decoder.blocks:
        for block in stage:
            result = block(volume)
            volume = result[0] if isinstance(block, UpBlock) else result
    wanted = decoder.output_layer(functional.layer_norm(volume.features, (8,), eps=1e-5))
    assert torch.equal(found.voxels.coords, volume.voxels.coords)
    assert relative_error(found.features, wanted) < 1e-4
    assert len(subdivisions[0].parents) == 40
    assert subdivisions[-1].children is found.voxels


def test_texture_lies_in_the_cells_of_the_shape_and_shares_their_tables():
    latent = random_volume(edge=5, count=40, channels=4)
    shape, subdivisions = tiny(predicts_subdivision=True)(latent)
    texture, _ = tiny(predicts_subdivision=False)(latent, subdivisions)
    assert texture.voxels is shape.voxels
    assert texture.features.shape == (len(shape.voxels), 6)


def test_upsampling_gives_the_cells_of_that_level():
    decoder = tiny(predicts_subdivision=True)
    latent = random_volume(edge=5, count=40, channels=4)
    _, subdivisions = decoder(latent)
    for times in (1, 2):
        assert torch.equal(decoder.upsample(latent, times).coords, subdivisions[times - 1].children.coords)
    with pytest.raises(ValueError, match="1 to 2 times"):
        decoder.upsample(latent, 3)
    with pytest.raises(ValueError, match="cannot upsample"):
        tiny(predicts_subdivision=False).upsample(latent, 1)


def test_who_needs_a_guide_says_so():
    latent = random_volume(edge=5, count=40, channels=4)
    with pytest.raises(ValueError, match="needs the subdivision"):
        tiny(predicts_subdivision=False)(latent)
    _, subdivisions = tiny(predicts_subdivision=True)(latent)
    with pytest.raises(ValueError, match="predicts its own"):
        tiny(predicts_subdivision=True)(latent, subdivisions)


def test_nothing_left_is_an_error_that_says_where():
    decoder = tiny(predicts_subdivision=True)
    decoder.blocks[0][-1].to_subdiv.bias.fill_(-1e6)
    with pytest.raises(NothingDecoded, match="level 1"):
        decoder(random_volume(edge=5, count=40, channels=4))


def test_half_precision_torso():
    decoder = tiny(predicts_subdivision=True)
    latent = random_volume(edge=5, count=40, channels=4)
    wanted, _ = decoder(latent)
    set_torso_dtype(decoder, torch.float16)
    kinds = {name: p.dtype for name, p in decoder.named_parameters()}
    assert kinds["from_latent.weight"] == kinds["output_layer.bias"] == kinds["blocks.0.0.norm.weight"] == torch.float32
    assert kinds["blocks.0.0.conv.weight"] == kinds["blocks.0.1.to_subdiv.weight"] == torch.float16
    found, _ = decoder(latent)
    assert found.features.dtype == torch.float32
    if torch.equal(found.voxels.coords, wanted.voxels.coords):
        assert relative_error(found.features, wanted.features) < 3e-2


def test_progress_rises_to_one_and_may_stop_the_work():
    shares = []
    latent = random_volume(edge=5, count=40, channels=4)
    tiny(predicts_subdivision=True)(latent, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0

    class Stopped(Exception):
        pass

    def stop(_share):
        raise Stopped

    with pytest.raises(Stopped):
        tiny(predicts_subdivision=True)(latent, progress=stop)
